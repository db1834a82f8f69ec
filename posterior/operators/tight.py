"""Linear operators with orthogonal rows of one length, whose norm and spectral functions are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from posterior.linalg import SpectralFunction
from posterior.operators.base import LinearOperator
from posterior.shapes import expand_right


class TightOperator(LinearOperator):
    """A linear operator with AᵀA = c P, P an orthogonal projection: orthogonal rows of one length √c.

    Args:
        event_shape: Shape of one image.
        measurement_shape: Shape of one measurement.
        scale: c = ‖A‖².
    """

    knows_spectrum = True

    def __init__(self, event_shape: Sequence[int], measurement_shape: Sequence[int], scale: float) -> None:
        super().__init__(event_shape, measurement_shape)
        self.scale = scale

    def norm(self) -> Tensor:
        """√c, exactly."""
        return torch.tensor(math.sqrt(self.scale), dtype=torch.float64)

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(AᵀA) x = f(0) x + (f(c) − f(0)) AᵀA x / c."""
        values = function(x.new_tensor([0.0, self.scale])).to(x.dtype)
        at_zero, at_scale = (expand_right(value, len(self.event_shape)) for value in values.unbind(-1))
        return torch.addcmul(at_zero * x, (at_scale - at_zero) / self.scale, self.gram(x))
