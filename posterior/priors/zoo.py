"""Priors in folders: those shipped with the library, and your own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch

from posterior.errors import FileFormatError, IncompatibleError, InvalidValueError
from posterior.io.folders import (
    construct,
    entry,
    find_folder,
    list_folders,
    load_weights,
    read_config,
    registered,
    save_folder,
    shipped_folder,
)
from posterior.networks.table import build_network, describe_network
from posterior.priors.base import Prior
from posterior.priors.diffusers import from_diffusers
from posterior.priors.pipelines import is_diffusers_folder
from posterior.priors.pyramid import PyramidPrior
from posterior.priors.score_prior import ScorePrior

SHIPPED = Path(__file__).parent.parent / "assets" / "priors"


def list_priors() -> list[str]:
    """Names of the priors that are shipped with the library."""
    return list_folders(SHIPPED)


def prior_card(name: str) -> str:
    """What a shipped prior was made of and how good it is: its README, in Markdown.

    Raises:
        UnknownNameError: No prior of this name is shipped.
    """
    return (_shipped_folder(name) / "README.md").read_text(encoding="utf-8")


def load_prior(
    name_or_folder: str | Path,
    *,
    event_shape: Sequence[int] | None = None,
    class_label: int | Sequence[int] | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> Prior:
    """Load a prior, ready for sampling: in evaluation mode, without parameter gradients.

    Args:
        name_or_folder: A name from `list_priors()`, a folder written by `save_prior`, or that of a pipeline or a model
            of diffusers (see `posterior.priors.diffusers`). A shipped name wins over a folder of that name: for that
            write "./name".
        event_shape: Shape of one image, of a prior that takes any size (that of the file unless given).
        class_label: Which class, of a class-conditional prior: one for all measurements, or one for each.
        device: Where to put it (the CPU unless given).
        dtype: Its precision (that of the file unless given).

    Raises:
        UnknownNameError: Neither a shipped prior nor a folder.
        FileFormatError: The folder does not hold a readable prior.
        IncompatibleError: The prior's images are of one size, and event_shape is another.
        InvalidValueError: A class label is missing, out of range, or of a prior without classes.
    """
    folder = find_folder(name_or_folder, SHIPPED, "prior", "save_prior or diffusers")
    if is_diffusers_folder(folder):
        if event_shape is not None:
            raise IncompatibleError("a model of diffusers says which shape its images have: leave event_shape out")
        return from_diffusers(folder, class_label=class_label, device=device, dtype=dtype)
    prior = _build(folder, event_shape)
    prior.to(device, dtype)
    if class_label is not None:
        if not isinstance(prior, ScorePrior) or prior.num_classes is None:
            raise InvalidValueError(f"{folder.name} has no classes: leave class_label out")
        prior = prior.with_class(class_label)
    for parameter in prior.parameters():
        if parameter.ndim == 4:  # Module.to would stumble over tensors of five dimensions
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return prior.eval().requires_grad_(False)


def save_prior(prior: Prior, folder: str | Path) -> Path:
    """Write a prior to a folder: `config.json` and `weights.safetensors`.

    Raises:
        IncompatibleError: The prior or its network is of a class that `load_prior` does not know.
    """
    kind = type(prior).__name__
    if _saved_classes().get(kind) is not type(prior):
        raise IncompatibleError(f"cannot save a {kind}: it is none of {', '.join(_saved_classes())}")
    config = {
        "class": kind,
        "settings": {name: getattr(prior, name) for name in prior.settings},
        "network": describe_network(getattr(prior, "network", None)),
    }
    return save_folder(folder, config, prior)


def _saved_classes(base: type[Prior] = Prior) -> dict[str, type[Prior]]:
    """The classes that a config may name: the library's own that have `settings`. Nothing else in a folder is run."""
    found = {base.__name__: base} if "settings" in vars(base) and base.__module__.startswith("posterior.") else {}
    for kind in base.__subclasses__():
        found |= _saved_classes(kind)
    return found


def _shipped_folder(name: str) -> Path:
    return shipped_folder(name, SHIPPED, "prior")


def _build(folder: Path, event_shape: Sequence[int] | None) -> Prior:
    path = folder / "config.json"
    config = read_config(path, "save_prior", "class, settings and network")
    prior_class = registered(config, _saved_classes(), path)
    network = build_network(entry(config, "network", dict, path), path)
    values = entry(config, "settings", dict, path)
    if not set(values) <= set(prior_class.settings):
        raise FileFormatError(
            f"{path}: the settings of {prior_class.__name__} are {sorted(prior_class.settings)}, but the file has "
            f"{sorted(values)}"
        )
    for name, value in values.items():
        numbers = value if name in ("event_shape", "value_range") and isinstance(value, list) else [value]
        least = -math.inf if name == "value_range" else 0
        if not all(type(v) in (int, float) and least < v < math.inf for v in numbers):
            raise FileFormatError(f"{path}: the setting {name!r} is {value!r}, not a positive number or a list of them")
    if event_shape is not None:
        if prior_class is not PyramidPrior:
            raise IncompatibleError(f"{folder.name} is a prior of images of one shape: leave event_shape out")
        values["event_shape"] = list(event_shape)
    prior: Prior = construct(prior_class, path, network, **values)
    load_weights(prior, folder)
    return prior
