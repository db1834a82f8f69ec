"""Magnitudes of measurements: detectors that lose the sign or the phase."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.errors import IncompatibleError
from posterior.operators.base import LinearOperator, Operator


class Magnitude(Operator):
    """|A x| of each entry: the absolute value of a real measurement, the modulus of a complex one (phase retrieval).

    Its derivative where an entry of A x is 0 is taken to be 0.

    Args:
        operator: The linear operator A.

    Raises:
        IncompatibleError: It is not linear.
    """

    operator: LinearOperator

    def __init__(self, operator: LinearOperator) -> None:
        if not isinstance(operator, LinearOperator):
            raise IncompatibleError(f"Magnitude takes a linear operator, but {type(operator).__name__} is not")
        super().__init__(operator.event_shape, operator.measurement_shape)
        self.operator = operator

    @property
    def num_measured(self) -> int | Tensor:
        """Number of entries that A measures, all real here."""
        return self.operator.num_measured

    def restrict(self, y: Tensor) -> Tensor:
        """Zero y where A measures nothing."""
        return self.operator.restrict(y)

    def _forward(self, x: Tensor) -> Tensor:
        return torch.abs(self.operator(x))  # torch's derivative at 0 is sgn(0) = 0, of complex numbers too
