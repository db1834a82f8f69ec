"""Operators and methods by name on the command line: `name` or `name:key=value,key=value`.

Only what is registered here can be built, so a specification never runs other code.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError, UnknownNameError
from posterior.operators import Blur, Downsampling, GaussianMeasurement, Grayscale, Identity, Inpainting, Matrix
from posterior.operators.base import Operator
from samplers import (
    AnnealedLangevin,
    AuxiliaryGibbs,
    AuxiliaryMH,
    ReplicaExchange,
    Sampler,
    Solver,
    TemperedSMC,
    guided,
)
from samplers.baselines import BM3D
from samplers.flows import PLMCMC, AmbientVI, ComposedFlow, FlowHMC
from samplers.latent import HMC, LatentLangevin
from samplers.map import CSGM, ILO, PULSE, Lasso, TotalVariation


def mask(event_shape: Sequence[int], path: str) -> Operator:
    """Inpainting with a mask from an npy file."""
    return Inpainting(array(path) != 0, event_shape)


def matrix(event_shape: Sequence[int], path: str) -> Operator:
    """A dense matrix (m, n) from an npy file."""
    values = array(path)
    return Matrix(values if values.is_complex() else values.float(), event_shape)


OPERATORS: dict[str, Callable[..., Operator]] = {
    "identity": Identity,
    "mask": mask,
    "half": Inpainting.half_image,
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
    "AuxiliaryGibbs": AuxiliaryGibbs,
    "AuxiliaryMH": AuxiliaryMH,
    "ReplicaExchange": ReplicaExchange,
    "AnnealedLangevin": AnnealedLangevin,
    "AnnealedLangevin.jalal2021": AnnealedLangevin.jalal2021,
    **{name: method for name, method in vars(guided).items() if name in guided.__all__ and issubclass(method, Sampler)},
    "HMC": HMC,
    "LatentLangevin": LatentLangevin,
    "ComposedFlow": ComposedFlow,
    "AmbientVI": AmbientVI,
    "FlowHMC": FlowHMC,
    "PLMCMC": PLMCMC,
}
SOLVERS: dict[str, Callable[..., Solver]] = {
    "CSGM": CSGM,
    "PULSE": PULSE,
    "ILO": ILO,
    "Lasso": Lasso,
    "TotalVariation": TotalVariation,
    "REDDiff": guided.REDDiff,
    "BM3D": BM3D,
}

_EQUALS = re.compile(r"(^|,)\s*(\w+)=")  # after a key, and not inside a value


def build(kind: str, registry: dict[str, Callable[..., Any]], text: str, **context: Any) -> Any:
    """Build what `text` names.

    Args:
        kind: What it is, for messages.
        registry: What can be built.
        text: `name` or `name:key=value,…`, names in capitals or not, values as in YAML.
        context: Arguments that the command knows, given where they are taken.

    Raises:
        UnknownNameError: No such name.
        InvalidValueError: Arguments that it does not take, that it lacks, or that are of another type.
    """
    given, _, rest = text.partition(":")
    small = {known.lower(): known for known in registry}
    name = small.get(given.lower(), given)
    if name not in registry:
        near = difflib.get_close_matches(given.lower(), small, n=1, cutoff=0.4)
        hint = f" (did you mean {small[near[0]]!r}?)" if near else ""
        raise UnknownNameError(f"no {kind} is called {name!r}{hint}; there are {', '.join(registry)}")
    signature = _signature(registry[name])
    takes = {key: p for key, p in signature.parameters.items() if key not in context and p.kind != p.VAR_KEYWORD}
    try:
        settings = yaml.safe_load("{" + _EQUALS.sub(r"\1\2: ", rest) + "}")
        values = {key: _converted(key, takes, value) for key, value in settings.items()}
        known = {key: value for key, value in context.items() if key in signature.parameters}
        arguments = signature.bind(**known, **values)
    except (yaml.YAMLError, TypeError) as error:
        problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        usage = "; ".join(map(str, takes.values())) or "no arguments"
        raise InvalidValueError(f"{kind} {text!r}: {problem}. {name} takes {usage}") from error
    return registry[name](*arguments.args, **arguments.kwargs)


def array(path: str | Path) -> Tensor:
    """Read numbers from an npy file.

    Raises:
        FileFormatError: The file is missing, corrupt, or of another kind.
    """
    try:
        with open(path, "rb") as file:
            return torch.from_numpy(np.lib.format.read_array(file, allow_pickle=False))
    except (OSError, ValueError, EOFError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FileFormatError(f"cannot read an npy array from {path}: {reason}") from error


def _signature(factory: Callable[..., Any]) -> inspect.Signature:
    """What a function takes, or a class's __init__: some classes have a looser __new__."""
    if not isinstance(factory, type):
        return inspect.signature(factory, eval_str=True)
    init = factory.__init__  # type: ignore[misc]
    # a dataclass's __init__ has annotations of its bases, whose names are known where these were written
    hints = get_type_hints(factory if dataclasses.is_dataclass(factory) else init)
    own = list(inspect.signature(init).parameters.values())[1:]
    return inspect.Signature([p.replace(annotation=hints.get(p.name, p.annotation)) for p in own])


def _converted(key: str, takes: Mapping[str, inspect.Parameter], value: Any) -> Any:
    """A value from YAML as the type that is wanted: 1e-3 is a string there, and 1 an int."""
    if key not in takes:
        raise TypeError(f"there is no argument {key!r}")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--value", type=takes[key].annotation)
    try:
        return parser.parse_object({"value": value}).value
    except ArgumentError as error:
        raise TypeError(f"{key} cannot be {value!r}") from error
