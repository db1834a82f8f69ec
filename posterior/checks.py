"""Arguments checked against their annotations: type, range and finiteness.

The annotation says what is allowed, as in `steps: Annotated[int, Range(2)]`, and nothing else has to: `check_fields`
reads those of a dataclass, `checked` those of a function or a constructor. Numbers of numpy and tensors of no dimension
count as numbers.
"""

from __future__ import annotations

import inspect
import math
import reprlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache, wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, Union, get_args, get_origin

import numpy as np
import torch
from torch import Tensor

from posterior.errors import InvalidValueError

P = ParamSpec("P")
R = TypeVar("R")

_LARGEST = 2**63  # integers that torch takes
_REFUSALS = (TypeError, ValueError, OverflowError, RuntimeError, AssertionError)  # of what converts; the last of CUDA's


@dataclass(frozen=True)
class Range:
    """Numbers from low to high; `ends` says, as in mathematics, which of the two are among them."""

    low: float = -math.inf
    high: float = math.inf
    ends: Literal["[]", "(]", "[)", "()"] = "[]"

    def __contains__(self, value: float) -> bool:
        above = value > self.low if self.ends[0] == "(" else value >= self.low
        below = value < self.high if self.ends[1] == ")" else value <= self.high
        return above and below

    def __str__(self) -> str:
        if self.high == math.inf:
            return f"{'>' if self.ends[0] == '(' else '≥'} {self.low:g}"
        return f"in {self.ends[0]}{self.low:g}, {self.high:g}{self.ends[1]}"


Count = Annotated[int, Range(1)]
Size = Annotated[int, Range(0)]
Several = Annotated[int, Range(2)]
Positive = Annotated[float, Range(0, ends="(]")]
NonNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Level = Annotated[float, Range(0, 1, "()")]
Shape = Sequence[Count]
Values = Annotated[Tensor, "numbers"]  # finite or not: what then comes of them, or is raised, the function says
Real = Annotated[Tensor, "real numbers"]  # likewise, and without complex ones and bools


def check_fields(record: Any) -> None:
    """Check the fields of a dataclass, and write numbers and sequences back as Python's own.

    Raises:
        InvalidValueError: A field is of another type than its annotation says, out of range, or not finite.
    """
    annotations = _annotations(type(record))
    for field in fields(record):
        if field.name in annotations:
            value = check_value(type(record).__name__, field.name, getattr(record, field.name), annotations[field.name])
            object.__setattr__(record, field.name, value)


def check_falling(record: Any, first: str, last: str) -> None:
    """Raise `InvalidValueError` unless a field is larger than another: the ends of a schedule that goes down."""
    high, low = getattr(record, first), getattr(record, last)
    if not high > low:
        raise InvalidValueError(f"{type(record).__name__} needs {first} > {last}; got {high:g} and {low:g}")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """A function or a constructor whose arguments are checked, and converted, before it runs.

    Raises (when called):
        InvalidValueError: An argument is of another type than its annotation says, out of range, or not finite.
    """
    signature = inspect.signature(function)
    annotations = cache(lambda: _annotations(function))  # later, when all the names in them are defined

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # so that Python itself says which argument is missing
        owner = function.__name__
        if next(iter(signature.parameters), "") in ("self", "cls"):
            kind = args[0] if isinstance(args[0], type) else type(args[0])
            owner = kind.__name__ if owner == "__init__" else f"{kind.__name__}.{owner}"
        for name, annotation in annotations().items():
            if name in bound.arguments:
                bound.arguments[name] = check_value(owner, name, bound.arguments[name], annotation)
        return function(*bound.args, **bound.kwargs)

    return call


def check_value(owner: str, name: str, value: Any, annotation: Any) -> Any:
    """A value as its annotation says.

    Raises:
        InvalidValueError: It is something else; the message names the owner, the argument, and what is allowed.
    """
    try:
        return _converted(value, annotation)
    except _REFUSALS:
        raise InvalidValueError(f"{owner} needs {name} to be {_words(annotation)}; got {_shown(value)}") from None


def _annotations(owner: Any) -> dict[str, Any]:
    """The annotations of a function's arguments, or of a class and its bases; those that can be evaluated."""
    found: dict[str, Any] = {}
    for one in reversed(owner.__mro__) if isinstance(owner, type) else [owner]:
        try:
            found |= inspect.get_annotations(one, eval_str=True)
        except NameError:  # a name that a user imports for type checkers alone
            continue
    found.pop("return", None)
    return found


def _converted(value: Any, annotation: Any) -> Any:
    """The value, where it is of the annotated type and in range; else a ValueError or TypeError."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation is Any:
        return value
    if annotation in (Values, Real):
        return _values(value, real=annotation == Real)
    if origin is Annotated:
        value = _converted(value, args[0])
        _require(not isinstance(value, int) or abs(value) < _LARGEST)
        _require(all(value in range_ for range_ in args[1:] if isinstance(range_, Range)))
    elif origin in (Union, UnionType):
        return _first_of(value, [arg for arg in args if arg is not str or torch.device not in args])
    elif origin is Literal:
        _require(any(type(value) is type(choice) and value == choice for choice in args))
    elif isinstance(annotation, TypeVar):
        return value if annotation.__bound__ is None else _converted(value, annotation.__bound__)
    elif annotation in (bool, int, float):
        return _number(value, annotation)
    elif annotation is Tensor:
        return _tensor(value)
    elif annotation is torch.device:
        return _device(value)
    elif annotation in (None, NoneType):
        _require(value is None)
    elif isinstance(origin, type) and issubclass(origin, tuple | Sequence):
        return _sequence(value, args)
    elif isinstance(kind := origin or annotation, type) and _can_be_asked_for(kind):
        _require(isinstance(value, kind))
    return value


def _can_be_asked_for(kind: type) -> bool:
    """Whether `isinstance` knows the class: not a protocol, unless it is one of those that say so."""
    return not getattr(kind, "_is_protocol", False) or getattr(kind, "_is_runtime_protocol", False)


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError


def _first_of(value: Any, options: Sequence[Any]) -> Any:
    for option in options:
        try:
            return _converted(value, option)
        except _REFUSALS:
            continue
    raise ValueError


def _number(value: Any, kind: type) -> Any:
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    allowed = (int, float) if kind is float else (kind,)
    _require(type(value) in allowed)  # which a bool is not, though Python has it for an integer
    value = kind(value)
    _require(math.isfinite(value))
    return value


def _device(value: Any) -> torch.device:
    _require(isinstance(value, str | torch.device))
    return torch.empty(0, device=value).device


def _tensor(value: Any) -> Tensor:
    tensor = _values(value)
    _require(tensor.is_meta or bool(tensor.isfinite().all()))
    return tensor


def to_tensor(value: Any, dtype: torch.dtype | None = None) -> Tensor:
    """A value as a tensor, of an array that must not be written to a copy."""
    read_only = isinstance(value, np.ndarray) and not value.flags.writeable
    return torch.as_tensor(value.copy() if read_only else value, dtype=dtype)


def _values(value: Any, real: bool = False) -> Tensor:
    _require(isinstance(value, Tensor | np.ndarray | list | tuple | range))
    tensor = to_tensor(value)
    _require(tensor.layout is torch.strided)
    _require(not real or not (tensor.is_complex() or tensor.dtype is torch.bool))
    return tensor


def _sequence(value: Any, args: Sequence[Any]) -> tuple[Any, ...]:
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()  # a RuntimeError of sparse ones
    _require(isinstance(value, Sequence) and not isinstance(value, str | bytes))
    kinds = args if args and args[-1] is not Ellipsis and len(args) > 1 else [args[0] if args else Any] * len(value)
    return tuple(_converted(one, kind) for one, kind in zip(value, kinds, strict=True))


def _words(annotation: Any, plural: bool = False) -> str:
    """What an annotation allows, in words."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in (Values, Real):
        return f"{'tensors' if plural else 'a tensor'} of {args[1]}"
    if origin is Annotated:
        return " ".join([_words(args[0], plural), *map(str, args[1:])])
    if origin in (Union, UnionType):
        return " or ".join(_words(option, plural) for option in args)
    if origin is Literal:
        return " or ".join(map(repr, args))
    if annotation in (None, NoneType):
        return "None"
    if isinstance(origin, type) and issubclass(origin, tuple | Sequence) and args:
        return f"a sequence of {_words(args[0], plural=True)}"
    known = {int: "integer", float: "finite number", bool: "bool", Tensor: "tensor of finite numbers", str: "text"}
    name = known.get(annotation) or str(getattr(origin or annotation, "__name__", annotation))
    if plural:
        return name if annotation is str else name + "s"
    return name if annotation is str else f"{'an' if name[0].lower() in 'aeio' else 'a'} {name}"


def _shown(value: Any) -> str:
    if isinstance(value, Tensor | np.ndarray) and value.ndim > 0:
        sparse = isinstance(value, Tensor) and value.layout is not torch.strided
        kind = "sparse Tensor" if sparse else type(value).__name__
        return f"a {kind} {value.dtype} of shape {tuple(value.shape)}"
    return reprlib.repr(value)
