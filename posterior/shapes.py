"""Checks of trailing shapes, and the broadcasting of values over leading axes."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from posterior.errors import ShapeError


def check_shape(what: str, shape: Sequence[int], expected: Sequence[int]) -> None:
    """Raise `ShapeError` unless the trailing dimensions of `shape` are `expected`."""
    shape, expected = tuple(shape), tuple(expected)
    if len(shape) < len(expected) or shape[len(shape) - len(expected) :] != expected:
        raise ShapeError(f"{what} has shape {shape}; expected (..., {', '.join(map(str, expected))})")


def expand_right(values: Tensor, dims: int) -> Tensor:
    """Append `dims` singleton dimensions, so that values over leading axes broadcast against events."""
    return values.reshape(values.shape + (1,) * dims)


def over_channels(values: Tensor, event_dims: int) -> Tensor:
    """Make values for each pixel, (H, W) or (B, H, W), broadcast over the channels of events (..., H, W)."""
    return values.reshape(values.shape[:-2] + (1,) * (event_dims - 2) + values.shape[-2:])
