"""Operators of which some measurements are taken and others are not."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.operators.base import LinearOperator


class MaskedOperator(LinearOperator):
    """A linear operator whose measurements are zero where its mask says that nothing is measured.

    Attributes:
        mask: True where measured, (*measurement_shape) or what broadcasts to it on the left; with one dimension more,
            a mask for each of B measurements.
    """

    mask: Tensor

    def _set_mask(self, mask: Tensor) -> None:
        """Take a mask of ones and zeros.

        Raises:
            InvalidValueError: It holds other numbers, or a measurement has no entry at all.
            ShapeError: It does not fit measurement_shape.
        """
        name, shape = type(self).__name__, self.measurement_shape
        if not bool(((mask == 0) | (mask == 1)).all()):  # NaN is neither
            raise InvalidValueError(
                f"the mask of {name} holds numbers other than 0 and 1 ({mask.dtype}); say what is measured, e.g. "
                "mask > 0"
            )
        trailing = tuple(mask.shape)[-len(shape) :] if shape else ()
        own = shape[len(shape) - len(trailing) :]
        if mask.ndim > len(shape) + 1 or any(k not in (1, n) for k, n in zip(trailing, own, strict=True)):
            raise ShapeError(
                f"the mask of {name} has shape {tuple(mask.shape)}; expected one that broadcasts to {shape}, with at "
                "most one leading dimension more for a batch of measurements"
            )
        self.register_batched("mask", mask == 1, len(shape))
        if not bool((torch.as_tensor(self.num_measured) > 0).all()):
            raise InvalidValueError(f"the mask of {name} measures nothing; without a measurement sample the prior")

    @property
    def num_measured(self) -> int | Tensor:
        """Number of measured entries, over all channels; (B,) where each measurement has its own mask."""
        return self._cached("num_measured", self._count)

    def _count(self) -> int | Tensor:
        batch = self.mask.shape[: max(0, self.mask.ndim - len(self.measurement_shape))]
        repeats = math.prod(batch) * math.prod(self.measurement_shape) // self.mask.numel()
        count = self.mask.sum(tuple(range(len(batch), self.mask.ndim))) * repeats
        return count if batch else int(count)

    def restrict(self, y: Tensor) -> Tensor:
        """Zero y where nothing is measured, whatever it holds there."""
        self._check_count(y)
        return torch.where(self.mask, y, 0.0)

    def _masked(self, y: Tensor) -> Tensor:
        """y where measured, zero elsewhere; seven times faster than `where`, and no NaN hides in what samplers do."""
        self._check_count(y)
        return y * self.mask

    def _whole_mask(self) -> Tensor:
        """The mask with its rows and columns in full."""
        return self.mask.expand(*self.mask.shape[:-2], *self.measurement_shape[-2:])

    def _check_count(self, y: Tensor) -> None:
        dims = len(self.measurement_shape)
        if self.mask.ndim > dims and y.ndim > dims and 1 != y.shape[-dims - 1] != len(self.mask) != 1:
            raise ShapeError(
                f"{type(self).__name__} has {len(self.mask)} masks, one for each measurement, but was given "
                f"{y.shape[-dims - 1]} images; use operator.select(...)"
            )
