"""Methods as commands run them: without warnings, and from checkpoints."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from posterior.errors import IncompatibleError, TooLargeWarning, TrustWarning
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from samplers import Plan, Sampler, Solver
from samplers.solver import IterativeSolver


def answer(
    problem: Posterior,
    method: Sampler | Solver,
    *,
    num_samples: int = 64,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = True,
    checkpoint: Path | None = None,
) -> Samples | PointEstimate:
    """Run a method, without the warnings that its result's `summary` repeats; arguments as for `Sampler.sample`.

    What speaks against the run before it begins goes to stderr at once.

    Raises:
        IncompatibleError: There is a checkpoint, and the method cannot go on from one.
    """
    options: dict[str, Any] = {"seed": seed, "batch_size": batch_size, "progress": progress}
    if isinstance(method, Sampler | IterativeSolver):
        options["checkpoint"] = checkpoint
    elif checkpoint is not None:
        raise IncompatibleError(f"{method.name} takes no steps to go on from: leave the checkpoint out")
    with without_trust_warnings():
        if isinstance(method, Sampler):
            return method.sample(problem, num_samples, **options)
        return method.solve(problem, **options)


@contextmanager
def without_trust_warnings() -> Iterator[None]:
    """Keep back warnings that results repeat; what speaks against a run before it begins goes to stderr at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        warnings.simplefilter("always", TooLargeWarning)
        warnings.showwarning = _say
        yield


def _say(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: object = None,
) -> None:
    print(f"warning: {message}", file=sys.stderr)


def plan(problem: Posterior, method: Sampler | Solver, *, num_samples: int = 64, batch_size: int | None = None) -> Plan:
    """What `answer` would cost."""
    if isinstance(method, Sampler):
        return method.plan(problem, num_samples, batch_size=batch_size)
    return method.plan(problem, batch_size=batch_size)


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
