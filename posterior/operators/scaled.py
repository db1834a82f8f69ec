"""An operator times a number."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.checks import check_value
from posterior.linalg import SpectralFunction, own_values
from posterior.operators.base import LinearOperator
from posterior.shapes import expand_right


class Scaled(LinearOperator):
    """Another linear operator times a positive number, such as the unknown gain of a coil or a sensor.

    Args:
        operator: A linear operator A.
        factor: c in c·A(x), the parameter `factor`: one number, or (B,) for a batch of measurements.

    Raises:
        InvalidValueError: The operator is not linear, or the factor is not positive and finite.
    """

    operator: LinearOperator
    factor: Tensor

    def __init__(self, operator: LinearOperator, factor: float | Tensor) -> None:
        check_value("Scaled", "operator", operator, LinearOperator)
        super().__init__(operator.event_shape, operator.measurement_shape)
        self.operator, self.is_complex = operator, operator.is_complex
        self._add_parameter("factor", factor)
        self._buffers["factor"] = self.factor.to(operator.device, operator.dtype or torch.get_default_dtype())
        self.knows_spectrum = operator.knows_spectrum

    @property
    def num_measured(self) -> int | Tensor:
        """Number of entries that the operator measures."""
        return self.operator.num_measured

    def restrict(self, y: Tensor) -> Tensor:
        """Zero y where the operator measures nothing."""
        return self.operator.restrict(y)

    def norm(self) -> Tensor:
        """c‖A‖."""
        return self.factor * self.operator.norm()

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(c²AᵀA) x, as the operator has it."""

        def scaled(eigenvalue: Tensor) -> Tensor:
            points = expand_right(self.factor.square(), eigenvalue.ndim).to(eigenvalue) * eigenvalue
            return own_values(function, points) if self.factor.ndim else function(points)

        return self.operator.gram_function(scaled, x)

    def _forward(self, x: Tensor) -> Tensor:
        return self._times(self.operator(x), len(self.measurement_shape))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._times(self.operator.adjoint(y), len(self.event_shape))

    def _times(self, values: Tensor, dims: int) -> Tensor:
        return expand_right(self.factor, dims).to(values.real.dtype) * values
