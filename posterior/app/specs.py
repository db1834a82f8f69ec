"""Operators and methods by name on the command line: `name` or `name:key=value,key=value`.

Only what is registered here can be built, so a specification never runs other code.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError, UnknownNameError
from posterior.operators import Blur, Downsampling, GaussianMeasurement, Grayscale, Identity, Inpainting, Matrix
from posterior.operators.base import Operator
from samplers import AnnealedLangevin, Sampler, Solver, TemperedSMC
from samplers.map import CSGM


def mask(event_shape: Sequence[int], path: str) -> Operator:
    """Inpainting with a mask from an npy file."""
    return Inpainting(array(path) != 0, event_shape)


def matrix(event_shape: Sequence[int], path: str) -> Operator:
    """A dense matrix (m, n) from an npy file."""
    return Matrix(array(path).float(), event_shape)


OPERATORS: dict[str, Callable[..., Operator]] = {
    "identity": Identity,
    "mask": mask,
    "half": Inpainting.half,
    "box": Inpainting.box,
    "random": Inpainting.random,
    "downsampling": Downsampling,
    "gaussian-blur": Blur.gaussian,
    "motion-blur": Blur.motion,
    "gaussian": GaussianMeasurement,
    "grayscale": Grayscale,
    "matrix": matrix,
}
SAMPLERS: dict[str, Callable[..., Sampler]] = {
    "TemperedSMC": TemperedSMC,
    "AnnealedLangevin": AnnealedLangevin,
    "AnnealedLangevin.jalal2021": AnnealedLangevin.jalal2021,
}
SOLVERS: dict[str, Callable[..., Solver]] = {"CSGM": CSGM}


def build(kind: str, registry: dict[str, Callable[..., Any]], text: str, **context: Any) -> Any:
    """Build what `text` names.

    Args:
        kind: What it is, for messages.
        registry: What can be built.
        text: `name` or `name:key=value,…`; values are YAML, so that lists and numbers are what they look like.
        context: Arguments that the command knows, given where they are taken.

    Raises:
        UnknownNameError: No such name.
        InvalidValueError: Arguments that it does not take, or lacks.
    """
    name, _, rest = text.partition(":")
    if name not in registry:
        near = difflib.get_close_matches(name, registry, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UnknownNameError(f"no {kind} is called {name!r}{hint} There are: {', '.join(registry)}")
    factory = registry[name]
    parameters = [p for p in inspect.signature(factory).parameters if p not in context]
    try:
        given = yaml.safe_load("{" + rest.replace("=", ": ") + "}") or {}
        known = {key: value for key, value in context.items() if key in inspect.signature(factory).parameters}
        arguments = inspect.signature(factory).bind(**known, **given)
    except (yaml.YAMLError, TypeError) as error:
        raise InvalidValueError(
            f"{kind} {text!r}: {error}. {name} takes {', '.join(parameters) or 'no arguments'}, as in "
            f"'{name}:{parameters[0] if parameters else 'key'}=value'"
        ) from error
    return factory(*arguments.args, **arguments.kwargs)


def array(path: str) -> Tensor:
    """Read an npy file."""
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise FileFormatError(f"cannot read an array from {path}: {error}") from error
