"""Counts of photons or events."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.likelihoods.base import Likelihood, OperatorT
from posterior.noise import Noise

_LARGEST = 1e12  # counts: of more, double precision knows log p(y | x) to 0.01 at best


class PoissonLikelihood(Likelihood[OperatorT]):
    r"""Counts of an intensity, which images in [−1, 1] have as (x + 1)/2.

    $$ y_i \sim \text{Poisson}(\lambda_i), \quad
       \lambda = \text{gain} \cdot \max(A((x + 1)/2), 0) + \text{background} $$

    Args:
        operator: The forward operator A, of real measurements.
        gain: Expected counts of intensity 1: one number, or (B,) for a batch of measurements.
        background: Expected counts without any light, one number or (B,), positive: no count is impossible.

    Raises:
        InvalidValueError: gain or background is not positive and at most 10¹².
    """

    gain: Tensor
    background: Tensor
    input_scale = 0.5
    input_shift = 0.5

    def __init__(self, operator: OperatorT, gain: float | Tensor, background: float | Tensor) -> None:
        super().__init__(operator)
        self._add_parameter("gain", gain)
        self._add_parameter("background", background)
        self._check_parameters()

    def _check_parameters(self) -> None:
        for name in ("gain", "background"):
            if bool((getattr(self, name) > _LARGEST).any()):
                raise InvalidValueError(
                    f"PoissonLikelihood: {name} is at most {_LARGEST:g}; larger counts are Gaussian, of that variance"
                )

    def rate(self, u: Tensor) -> Tensor:
        """λ of each entry, as u (..., B, *measurement)."""
        return self._entrywise(self.gain, u) * u.clamp_min(0) + self._entrywise(self.background, u)

    def check(self, y: Tensor) -> None:
        super().check(y)
        if not bool(((y >= 0) & (y == y.round())).all()):
            raise InvalidValueError(
                f"y holds values between {float(y.min())} and {float(y.max())}, some negative or not whole; Poisson "
                "counts are 0, 1, 2, …: give raw counts, not scaled ones, and their scale as gain"
            )

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        rate = self.rate(u)
        return y * rate.log() - rate - torch.lgamma(y + 1)

    def slope(self, u: Tensor, y: Tensor) -> Tensor:
        return self._rate_slope(u) * (y / self.rate(u) - 1)

    def fisher(self, u: Tensor) -> Tensor:
        return self._rate_slope(u).square() / self.rate(u)

    def mean_and_variance(self, u: Tensor) -> tuple[Tensor, Tensor]:
        rate = self.rate(u)
        return rate, rate

    def _rate_slope(self, u: Tensor) -> Tensor:
        return self._entrywise(self.gain, u) * (u >= 0).to(u.dtype)

    def _draw(self, u: Tensor, noise: Noise) -> Tensor:
        uniform = replace(noise, dtype=torch.float64).uniform(self.operator.measurement_shape)
        return poisson_quantile(uniform, self.rate(u.double())).to(u.dtype)


def poisson_quantile(probability: Tensor, rate: Tensor) -> Tensor:
    """The smallest whole k with P(N ≤ k) ≥ probability for N ~ Poisson(rate), in float64, by bisection.

    Args:
        probability: In (0, 1 − 2⁻³⁴], of any shape.
        rate: Positive, broadcastable to it.
    """
    probability, rate = torch.broadcast_tensors(probability, rate)
    below = torch.full_like(rate, -1.0)
    # Bernstein's bound: P(N > λ + t) ≤ exp(−t²/(2(λ + t/3))) < 2⁻³⁴ for t = 7√λ + 16.
    above = (rate + 7 * rate.sqrt() + 16).ceil()
    while bool((above - below > 1).any()):
        middle = ((below + above) / 2).floor()
        enough = torch.special.gammaincc(middle + 1, rate) >= probability  # P(N ≤ k) = Q(k + 1, λ)
        below, above = torch.where(enough, below, middle), torch.where(enough, middle, above)
    return above
