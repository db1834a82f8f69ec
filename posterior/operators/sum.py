"""The sum of two images, which are to be told apart again."""

from __future__ import annotations

from torch import Tensor

from posterior.checks import Shape, checked
from posterior.errors import ShapeError
from posterior.operators.tight import TightOperator


class Sum(TightOperator):
    r"""What two images add up to, \(A(x_1, x_2) = x_1 + x_2\): source separation, under a `ProductPrior`.

    Args:
        event_shape: (2, ...), the two images one after the other; measurements are (...).

    Raises:
        ShapeError: event_shape does not begin with 2, or ends with it.
    """

    @checked
    def __init__(self, event_shape: Shape) -> None:
        if len(event_shape) < 2 or event_shape[0] != 2:
            raise ShapeError(f"Sum takes pairs of images, of event_shape (2, ...), got {tuple(event_shape)}")
        super().__init__(event_shape, tuple(event_shape)[1:], scale=2.0)

    def _forward(self, x: Tensor) -> Tensor:
        return x.sum(-len(self.event_shape))

    def _adjoint(self, y: Tensor) -> Tensor:
        dim = y.ndim - len(self.measurement_shape)
        return y.unsqueeze(dim).expand(*y.shape[:dim], *self.event_shape)
