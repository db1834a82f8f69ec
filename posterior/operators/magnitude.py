"""Detectors that lose the sign or the phase."""

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

    @property
    def is_real(self) -> bool:
        """Whether A measures real numbers, so that signs are lost and not phases."""
        image = self.operator._example().new_zeros(self.event_shape)
        return self._cached(("real", image.dtype), lambda: not self.operator(image).is_complex())

    def restrict(self, y: Tensor) -> Tensor:
        """Zero y where A measures nothing."""
        return self.operator.restrict(y)

    def select(self, measurements: Tensor) -> Magnitude:
        """The magnitudes for some of the measurements, by index."""
        operator = self.operator.select(measurements)
        return self if operator is self.operator else Magnitude(operator)  # type: ignore[arg-type]

    def _forward(self, x: Tensor) -> Tensor:
        return torch.abs(self.operator(x))  # torch's derivative at 0 is sgn(0) = 0, of complex numbers too
