"""Several measurements of one image at once, of whatever kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from posterior.checks import check_value
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.likelihoods.base import Likelihood
from posterior.noise import Noise
from posterior.operators.base import Operator


class JointLikelihood(Likelihood[Operator]):
    r"""Measurements that are independent given the image, each with an operator and a law of its own.

    $$ \log p(y_1, y_2, \ldots \mid x) = \sum_i \log p_i(y_i \mid x) $$

    A measurement y is a vector (m,), the parts flattened one after the other, complex ones as real and imaginary parts:
    `join` makes it, `split` takes it apart.

    Args:
        parts: Likelihoods p_i of images of one event_shape.

    Raises:
        InvalidValueError: There is no part, or one is no likelihood.
        ShapeError: Event shapes differ.
        IncompatibleError: Operators work in different precisions.
    """

    operator: JointOperator

    def __init__(self, parts: Sequence[Likelihood]) -> None:
        parts = list(check_value("JointLikelihood", "parts", parts, Sequence[Likelihood]))
        if not parts:
            raise InvalidValueError("JointLikelihood needs parts: one likelihood at least")
        super().__init__(JointOperator(parts))

    @property
    def parts(self) -> list[Likelihood[Any]]:
        """The likelihoods, in order."""
        return self.operator.parts

    def join(self, measurements: Sequence[Tensor]) -> Tensor:
        """The measurement (..., m) of those of the parts, (..., *measurement_shape) each."""
        return self.operator.join(measurements)

    def split(self, y: Tensor) -> list[Tensor]:
        """The measurements of the parts of y (..., m)."""
        return self.operator.split(y)

    def check(self, y: Tensor) -> None:
        super().check(y)
        for part, own in zip(self.parts, self.split(y), strict=True):
            part.check(own)

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        """That of a complex entry is in its real component, and its imaginary one has 0."""
        values = self._of_parts(lambda part, u, y: part.log_density(u, y), u, y)
        return self._joined(values, lambda v: torch.stack([v, torch.zeros_like(v)], -1))

    def slope(self, u: Tensor, y: Tensor) -> Tensor:
        return self.join(self._of_parts(lambda part, u, y: part.slope(u, y), u, y))

    def fisher(self, u: Tensor) -> Tensor:
        values = [part.fisher(own) for part, own in zip(self.parts, self.split(u), strict=True)]
        return self._joined(values, lambda v: torch.stack([v, v], -1))

    def mean_and_variance(self, u: Tensor) -> tuple[Tensor, Tensor]:
        both = [part.mean_and_variance(own) for part, own in zip(self.parts, self.split(u), strict=True)]
        means, variances = zip(*both, strict=True)
        return self.join(means), self._joined(variances, lambda v: torch.stack([v, v], -1))

    def residual(self, u: Tensor, y: Tensor) -> Tensor:
        return self.join(self._of_parts(lambda part, u, y: part.residual(u, y), u, y))

    def _draw(self, u: Tensor, noise: Noise) -> Tensor:
        pairs = enumerate(zip(self.parts, self.split(u), strict=True))
        return self.join([part._draw(own, noise.use(i)) for i, (part, own) in pairs])

    def _of_parts(
        self, function: Callable[[Likelihood[Any], Tensor, Tensor], Tensor], u: Tensor, y: Tensor
    ) -> list[Tensor]:
        return [function(*own) for own in zip(self.parts, self.split(u), self.split(y), strict=True)]

    def _joined(self, values: Sequence[Tensor], both: Callable[[Tensor], Tensor]) -> Tensor:
        """Join real values of the entries, of which complex ones get two by `both`, a last dimension."""
        pairs = zip(self.parts, values, strict=True)
        return self.join([
            torch.view_as_complex(both(value).contiguous()) if part.operator.is_complex else value
            for part, value in pairs
        ])  # fmt: skip


class JointOperator(Operator):
    """What noiseless instruments see of one image, one after the other as a real vector (m,).

    Args:
        parts: The likelihoods of the instruments.
    """

    def __init__(self, parts: Sequence[Likelihood[Any]]) -> None:
        for part in parts:
            if part.operator.event_shape != parts[0].operator.event_shape:
                raise ShapeError(
                    f"the parts of JointLikelihood take images of one event_shape, but "
                    f"{type(parts[0].operator).__name__} has {parts[0].operator.event_shape} and "
                    f"{type(part.operator).__name__} has {part.operator.event_shape}"
                )
        precisions = {part.operator.dtype for part in parts} - {None}
        if len(precisions) > 1:
            raise IncompatibleError(
                f"the parts of JointLikelihood work in different precisions, {sorted(map(str, precisions))}; convert "
                "their operators with .to(...)"
            )
        sizes = [math.prod(p.operator.measurement_shape) * (1 + p.operator.is_complex) for p in parts]
        super().__init__(parts[0].operator.event_shape, (sum(sizes),))
        self.likelihoods, self._sizes = nn.ModuleList(parts), sizes

    @property
    def parts(self) -> list[Likelihood[Any]]:
        """The likelihoods, in order."""
        return list(self.likelihoods)  # type: ignore[arg-type]

    @property
    def dtype(self) -> torch.dtype | None:
        return next((part.operator.dtype for part in self.parts if part.operator.dtype is not None), None)

    @property
    def num_measured(self) -> int | Tensor:
        """Number of real values that are measured, two for a complex entry."""
        return sum((part.operator.num_measured * (1 + part.operator.is_complex) for part in self.parts), start=0)

    def join(self, pieces: Sequence[Tensor]) -> Tensor:
        """One real vector (..., m) of what belongs to the parts, (..., *measurement_shape) each, real or complex."""
        flat = []
        for part, piece in zip(self.parts, pieces, strict=True):
            lead = piece.shape[: piece.ndim - len(part.operator.measurement_shape)]
            real = torch.view_as_real(piece.resolve_conj()) if piece.is_complex() else piece
            flat.append(real.reshape(*lead, -1))
        lead = torch.broadcast_shapes(*(piece.shape[:-1] for piece in flat))  # only some parts may carry a B
        return torch.cat([piece.expand(*lead, -1) for piece in flat], -1)

    def split(self, y: Tensor) -> list[Tensor]:
        """What belongs to the parts of real vectors (..., m)."""
        pieces = []
        for part, piece in zip(self.parts, y.split(self._sizes, -1), strict=True):
            if part.operator.is_complex:
                piece = torch.view_as_complex(piece.unflatten(-1, (-1, 2)).contiguous())
            pieces.append(piece.reshape(*y.shape[:-1], *part.operator.measurement_shape))
        return pieces

    def restrict(self, y: Tensor) -> Tensor:
        """Zero y where its part measures nothing."""
        return self.join([part.operator.restrict(own) for part, own in zip(self.parts, self.split(y), strict=True)])

    def _forward(self, x: Tensor) -> Tensor:
        return self.join([part.noiseless(x) for part in self.parts])
