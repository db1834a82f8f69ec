"""A detector that rounds: few bits for each measurement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

import torch
from torch import Tensor

from posterior.checks import Range, check_value
from posterior.errors import InvalidValueError
from posterior.likelihoods.base import Likelihood, OperatorT
from posterior.likelihoods.quantised import mills
from posterior.noise import Noise

_EDGE = 1e-3  # of a cell, by which readings may miss its centre
_FAR = 1e6  # standard deviations, in place of infinity, of which derivatives are NaN


class QuantisedLikelihood(Likelihood[OperatorT]):
    r"""Gaussian noise before a uniform quantiser of L levels: y is the centre of the cell that holds u + σn.

    $$ p(y_i \mid u_i) = \Phi\!\left(\frac{y_i + \Delta/2 - u_i}{\sigma}\right)
       - \Phi\!\left(\frac{y_i - \Delta/2 - u_i}{\sigma}\right), \quad \Delta = \frac{\text{high} - \text{low}}{L} $$

    The first and the last cell reach to −∞ and ∞. A measurement of m entries takes m log₂ L bits.

    Args:
        operator: The forward operator A, of real measurements.
        noise_std: σ: one number, or (B,) for a batch of measurements.
        low, high: The ends of the range, one number or (B,).
        levels: L, from 2 to 256.

    Raises:
        InvalidValueError: noise_std is not positive and finite, low and high are not finite with low < high, or levels
            is no whole number from 2 to 256.

    References:
        Zymnis, Boyd & Candès 2010, Compressed sensing with quantized measurements, IEEE Signal Process. Lett. 17.
    """

    noise_std: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, operator: OperatorT, noise_std: float | Tensor, low: float | Tensor, high: float | Tensor, levels: int
    ) -> None:
        super().__init__(operator)
        self._add_parameter("noise_std", noise_std)
        self._add_parameter("low", low, positive=False)
        self._add_parameter("high", high, positive=False)
        self.levels: int = check_value(type(self).__name__, "levels", levels, Annotated[int, Range(2, 256)])
        if not bool((self.low < self.high).all()):
            raise InvalidValueError(f"low must be less than high, got {low} and {high}")

    def check(self, y: Tensor) -> None:
        super().check(y)
        low, step = self._cells(y)
        place = (y - low) / step - 0.5
        off = ((place - place.round()).abs() > _EDGE) | (place < -_EDGE) | (place > self.levels - 1 + _EDGE)
        if bool(self.measured(off.to(y.dtype)).any()):
            raise InvalidValueError(
                f"y must hold centres of the {self.levels} cells between low = {self.low.tolist()} and high = "
                f"{self.high.tolist()}; quantise(values) gives them"
            )

    def quantise(self, values: Tensor) -> Tensor:
        """The centre of the cell of each value (..., B, *measurement)."""
        low, step = self._cells(values)
        return low + step * (((values - low) / step).floor().clamp(0, self.levels - 1) + 0.5)

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        _, (_, b), ratio = self._lower(u, y)
        return torch.special.log_ndtr(b) + torch.log1p(-ratio)

    def slope(self, u: Tensor, y: Tensor) -> Tensor:
        sign, (a, b), ratio = self._lower(u, y)
        return sign * mills(b) * (_decay(a, b) - 1) / (1 - ratio) / self._entrywise(self.noise_std, u)

    def fisher(self, u: Tensor) -> Tensor:
        low, step = self._cells(u)
        total = torch.zeros_like(u)
        for k in range(self.levels):
            centre = (low + (k + 0.5) * step).expand_as(u)
            total = total + self.log_density(u, centre).exp() * self.slope(u, centre).square()
        return total

    def mean_and_variance(self, u: Tensor) -> tuple[Tensor, Tensor]:
        low, step = self._cells(u)
        # The number of edges below u + σn has mean Σ p_k and second moment Σ (2k − 1) p_k. It is counted from the
        # nearest edge, so that a certain reading has a variance that is small and accurate.
        here = ((u - low) / step).floor().clamp(0, self.levels - 1)
        first, second = torch.zeros_like(u), torch.zeros_like(u)
        for k, above, below in self._edges(u):
            first = first + torch.where(k > here, above, -below)
            second = second + torch.where(k > here, (2 * (k - here) - 1) * above, (2 * (here - k) + 1) * below)
        return low + step * (here + 0.5 + first), step.square() * (second - first.square()).clamp_min(0)

    def _draw(self, u: Tensor, noise: Noise) -> Tensor:
        std = self._entrywise(self.noise_std, u)
        return self.quantise(u + std * noise.normal(self.operator.measurement_shape).to(u.dtype))

    def _cells(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """The lower end of the range, and the width of a cell."""
        low, high = self._entrywise(self.low, like), self._entrywise(self.high, like)
        return low, (high - low) / self.levels

    def _lower(self, u: Tensor, y: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
        """The cell of y, in standard deviations from u, mirrored to where its nearer end b is the upper one.

        Returns:
            1, or −1 where it was mirrored; its ends (a, b), a < b and a + b ≤ 0; and Φ(a)/Φ(b).
        """
        (low, step), std = self._cells(u), self._entrywise(self.noise_std, u)
        place = ((y - low) / step).floor()
        a = torch.where(place <= 0, -_FAR, (low + place * step - u) / std)
        b = torch.where(place >= self.levels - 1, _FAR, (low + (place + 1) * step - u) / std)
        mirrored = a + b > 0
        a, b = torch.where(mirrored, -b, a), torch.where(mirrored, -a, b)
        # Φ(t) = φ(t)/mills(t) far below 0, where logarithms cancel; and by these above, where φ/Φ has no derivative.
        c, d = a.clamp_max(0), b.clamp_max(0)
        below = _decay(c, d) * mills(d) / mills(c)
        above = (torch.special.log_ndtr(a) - torch.special.log_ndtr(b)).exp()
        return torch.where(mirrored, -1.0, 1.0), (a, b), torch.where(b > 0, above, below)

    def _edges(self, u: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """The inner edges' numbers, 1 to L − 1, with the probabilities that a value is above each, and below."""
        (low, step), std = self._cells(u), self._entrywise(self.noise_std, u)
        for k in range(1, self.levels):
            t = (u - (low + k * step)) / std
            yield k, torch.special.ndtr(t), torch.special.ndtr(-t)


def _decay(a: Tensor, b: Tensor) -> Tensor:
    """φ(a)/φ(b)."""
    return (0.5 * (b - a) * (b + a)).exp()
