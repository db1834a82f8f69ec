"""Operators of several kinds: public classes whose argument `kind` chooses how they are computed."""

from __future__ import annotations

from torch import Tensor

from posterior.linalg import SpectralFunction
from posterior.operators.base import LinearOperator
from posterior.shapes import check_values


class OperatorOfKinds(LinearOperator):
    """A linear operator whose values are computed by another one, which the constructor of a subclass chooses.

    Types and errors are those of the subclass.

    Args:
        algorithm: The operator that was chosen.
    """

    def __init__(self, algorithm: LinearOperator) -> None:
        super().__init__(algorithm.event_shape, algorithm.measurement_shape)
        self.algorithm = algorithm
        self.knows_spectrum = algorithm.knows_spectrum

    def norm(self) -> Tensor:
        """The norm of the chosen operator, or its bound."""
        return self.algorithm.norm()

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(AᵀA) x, exactly if the chosen operator knows its spectrum."""
        check_values(f"x, given to {type(self).__name__}.gram_function,", x, self.event_shape)
        return self.algorithm.gram_function(function, x)

    def _forward(self, x: Tensor) -> Tensor:
        return self.algorithm._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.algorithm._adjoint(y)
