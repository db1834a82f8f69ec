"""Several linear measurements of one image."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from posterior.checks import check_value
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.operators.base import LinearOperator


class Stack(LinearOperator):
    """Several linear measurements of one image, flattened and concatenated in order.

    Args:
        operators: Linear operators of one event_shape; measurements are all real, or all complex.

    Raises:
        InvalidValueError: There is no operator.
        ShapeError: Event shapes differ.
        IncompatibleError: One is not linear, or some measurements are complex and others real.
    """

    def __init__(self, operators: Sequence[LinearOperator]) -> None:
        operators = list(check_value("Stack", "operators", operators, Sequence[object]))
        if not operators:
            raise InvalidValueError("Stack needs at least one operator")
        for operator in operators:
            if not isinstance(operator, LinearOperator):
                raise IncompatibleError(f"Stack takes linear operators, but {type(operator).__name__} is not")
            if operator.event_shape != operators[0].event_shape:
                raise ShapeError(
                    f"Stack takes operators of one event_shape, but {type(operators[0]).__name__} has "
                    f"{operators[0].event_shape} and {type(operator).__name__} has {operator.event_shape}"
                )
        sizes = [math.prod(operator.measurement_shape) for operator in operators]
        super().__init__(operators[0].event_shape, (sum(sizes),))
        self.operators = nn.ModuleList(operators)
        self._sizes = sizes
        self.is_complex = operators[0].is_complex
        if any(operator.is_complex != self.is_complex for operator in operators):
            raise IncompatibleError(
                "Stack takes operators whose measurements are all real or all complex; give complex ones a last "
                "dimension of real and imaginary parts"
            )

    @property
    def num_measured(self) -> int | Tensor:
        """Number of measured entries of all parts."""
        return sum((operator.num_measured for operator in self.parts), start=0)

    @property
    def parts(self) -> list[LinearOperator]:
        """The operators, in order."""
        return list(self.operators)  # type: ignore[arg-type]

    def split(self, y: Tensor) -> list[Tensor]:
        """The measurement of each part, y (..., m) → [(..., *measurement_shape of the part), …]."""
        pieces = y.split(self._sizes, dim=-1)
        return [piece.unflatten(-1, part.measurement_shape) for piece, part in zip(pieces, self.parts, strict=True)]

    def restrict(self, y: Tensor) -> Tensor:
        """Zero y where its part measures nothing."""
        return self._join([part.restrict(piece) for part, piece in zip(self.parts, self.split(y), strict=True)])

    def _forward(self, x: Tensor) -> Tensor:
        return self._join([part(x) for part in self.parts])

    def _adjoint(self, y: Tensor) -> Tensor:
        adjoints = [part.adjoint(piece) for part, piece in zip(self.parts, self.split(y), strict=True)]
        return sum(adjoints[1:], start=adjoints[0])

    def _join(self, pieces: list[Tensor]) -> Tensor:
        pairs = zip(self.parts, pieces, strict=True)
        flat = [piece.reshape(*piece.shape[: piece.ndim - len(part.measurement_shape)], -1) for part, piece in pairs]
        # Only some parts may carry a B.
        lead = torch.broadcast_shapes(*(piece.shape[:-1] for piece in flat))
        return torch.cat([piece.expand(*lead, -1) for piece in flat], dim=-1)
