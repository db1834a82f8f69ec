"""Checks of tensors and their trailing shapes, and the broadcasting of values over leading axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from posterior.checks import to_tensor
from posterior.errors import InvalidValueError, ShapeError


def as_tensor(what: str, values: Any) -> Tensor:
    """A tensor of what is one, an array, a number or a list of these.

    Raises:
        InvalidValueError: It is something else.
    """
    try:
        return to_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidValueError(f"{what} must be numbers, not a {type(values).__name__}: {error}") from error


def check_values(what: str, values: Tensor, expected: Sequence[int], *, real: bool = False) -> None:
    """Raise unless `values` are a floating-point or complex tensor whose trailing dimensions are `expected`.

    Raises:
        InvalidValueError: They are no tensor, or a sparse one; complex where they are to be `real`; or integers, of
            which means and products would be wrong.
        ShapeError: They are of another shape.
    """
    if not isinstance(values, Tensor):
        raise InvalidValueError(f"{what} is a {type(values).__name__}, not a tensor; use torch.as_tensor(...)")
    if values.layout is not torch.strided:
        raise InvalidValueError(f"{what} is a {values.layout} tensor; use .to_dense()")
    if real and values.is_complex():
        raise InvalidValueError(f"{what} is {values.dtype}; a complex image is two channels here, real and imaginary")
    if not (values.is_floating_point() or values.is_complex()):
        raise InvalidValueError(f"{what} holds {values.dtype} numbers, not floating-point ones; use e.g. x.float()")
    check_shape(what, values.shape, expected)


def check_broadcast(what: str, *leads: Sequence[int]) -> None:
    """Raise `ShapeError` unless leading shapes broadcast; `what` says of what they are."""
    try:
        torch.broadcast_shapes(*map(tuple, leads))
    except RuntimeError as error:
        raise ShapeError(
            f"the leading shapes of {what} do not fit: {' and '.join(str(tuple(s)) for s in leads)}"
        ) from error


def check_shape(what: str, shape: Sequence[int], expected: Sequence[int]) -> None:
    """Raise `ShapeError` unless the trailing dimensions of `shape` are `expected`."""
    shape, expected = tuple(shape), tuple(expected)
    if len(shape) < len(expected) or shape[len(shape) - len(expected) :] != expected:
        raise ShapeError(f"{what} has shape {shape}; expected (..., {', '.join(map(str, expected))})")


def image_shape(event_shape: Sequence[int]) -> tuple[int, int]:
    """Rows and columns of an image; a `ShapeError` where it has none."""
    if len(event_shape) < 2:
        raise ShapeError(f"event_shape {tuple(event_shape)} has no rows and columns; expected (..., H, W)")
    return tuple(event_shape)[-2], tuple(event_shape)[-1]


def expand_right(values: Tensor, dims: int) -> Tensor:
    """Append `dims` singleton dimensions, so that values over leading axes broadcast against events."""
    return values.reshape(values.shape + (1,) * dims)


def over_channels(values: Tensor, event_dims: int) -> Tensor:
    """Make values for each pixel, (H, W) or (B, H, W), broadcast over the channels of events (..., H, W)."""
    return values.reshape(values.shape[:-2] + (1,) * (event_dims - 2) + values.shape[-2:])
