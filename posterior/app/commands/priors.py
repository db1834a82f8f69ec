"""The commands that show priors and convert them: `posterior priors list | show | convert`."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from posterior.priors import checkpoints
from posterior.priors.zoo import list_priors, prior_card


def priors_list() -> None:
    """List the shipped priors."""
    names = list_priors()
    for name in names:
        print(f"{name:{max(map(len, names))}}  {prior_card(name).splitlines()[2]}")


def priors_show(name: str) -> None:
    """Print the card of a shipped prior: data, licence, training, held-out error.

    Args:
        name: Its name.
    """
    print(prior_card(name))


def _command(convert: Callable[..., Path]) -> Callable[..., None]:
    """A converter as a command, with the same arguments."""

    @wraps(convert)
    def command(*args: Any, **kwargs: Any) -> None:
        print(f"saved to {convert(*args, **kwargs)}")

    return command


# convert_score_sde is `posterior priors convert score-sde`
CONVERTERS = {
    name.removeprefix("convert_").replace("_", "-"): _command(getattr(checkpoints, name))
    for name in checkpoints.__all__
}
