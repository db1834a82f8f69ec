"""Detectors that clip: a sensor that saturates, and one that keeps a single bit."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.likelihoods.base import Likelihood, OperatorT
from posterior.noise import Noise

# A reading that went through float32 is at an end if it is this close to it, in units of the range.
_EDGE = 1e-6


class SaturatedLikelihood(Likelihood[OperatorT]):
    r"""Gaussian noise before a detector that clips, \(y_i = \min(\max(u_i + \sigma n_i, \text{low}), \text{high})\).

    A density N(y_i; u_i, σ²) between the ends, and masses Φ((low − u_i)/σ) and Φ((u_i − high)/σ) at them.

    Args:
        operator: The forward operator A, of real measurements.
        noise_std: σ: one number, or (B,) for a batch of measurements.
        low, high: The ends of the range, one number or (B,).

    Raises:
        InvalidValueError: noise_std is not positive and finite, or low and high are not finite with low < high.

    References:
        Tobin 1958, Estimation of relationships for limited dependent variables, Econometrica 26.
    """

    noise_std: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self, operator: OperatorT, noise_std: float | Tensor, low: float | Tensor, high: float | Tensor
    ) -> None:
        super().__init__(operator)
        self._add_parameter("noise_std", noise_std)
        self._add_parameter("low", low, positive=False)
        self._add_parameter("high", high, positive=False)
        self._check_parameters()

    def _check_parameters(self) -> None:
        if not bool((self.low < self.high).all()):
            raise InvalidValueError(f"low must be less than high, got {self.low.tolist()} and {self.high.tolist()}")

    def check(self, y: Tensor) -> None:
        super().check(y)
        low, high = self._entrywise(self.low, y), self._entrywise(self.high, y)
        edge = _EDGE * (high - low)
        if bool(self.measured((y < low - edge) | (y > high + edge)).any()):
            raise InvalidValueError(
                f"y holds values between {float(y.min())} and {float(y.max())}; a detector that saturates reads from "
                f"low = {self.low.tolist()} to high = {self.high.tolist()}"
            )

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        std, low, high = self._at(u)
        inside = -0.5 * ((y - u) / std).square() - (math.sqrt(2 * math.pi) * std).log()
        at_low, at_high = torch.special.log_ndtr((low - u) / std), torch.special.log_ndtr((u - high) / std)
        return self._by_place(y, low, high, at_low, inside, at_high)

    def slope(self, u: Tensor, y: Tensor) -> Tensor:
        std, low, high = self._at(u)
        at_low, at_high = -mills((low - u) / std), mills((u - high) / std)
        return self._by_place(y, low, high, at_low, (y - u) / std, at_high) / std

    def fisher(self, u: Tensor) -> Tensor:
        std, low, high = self._at(u)
        a, b = (low - u) / std, (high - u) / std
        # φ(a)²/Φ(a) + φ(b)²/Φ(−b) + ∫ t² φ(t) dt from a to b, the last by the two upper tails of t²φ(t)
        ends = _phi(a) * mills(a) + _phi(b) * mills(-b)
        flip = a + b < 0  # where tails are the lower ones: a difference of small numbers is accurate
        first, last = torch.where(flip, -b, a), torch.where(flip, -a, b)
        inside = _cdf(-first) - _cdf(-last) + first * _phi(first) - last * _phi(last)
        return (ends + inside.clamp_min(0)) / std.square()

    def mean_and_variance(self, u: Tensor) -> tuple[Tensor, Tensor]:
        std, low, high = self._at(u)
        nearest = torch.minimum(torch.maximum(u, low), high)
        a, r, b = (low - u) / std, (nearest - u) / std, (high - u) / std
        # Moments of clip(t, a, b) − r, t ~ N(0, 1), above and below r, by those of (t − c)₊; next to an end one of the
        # two is exactly 0, and the other small and accurate.
        first = (_excess(r) - _excess(b)) - (_excess(-r) - _excess(-a))
        above = _square_excess(r) - _square_excess(b) - 2 * (b - r) * _excess(b)
        below = _square_excess(-r) - _square_excess(-a) - 2 * (r - a) * _excess(-a)
        return nearest + std * first, std.square() * (above + below - first.square()).clamp_min(0)

    def _draw(self, u: Tensor, noise: Noise) -> Tensor:
        std, low, high = self._at(u)
        value = u + std * noise.normal(self.operator.measurement_shape).to(u.dtype)
        return torch.minimum(torch.maximum(value, low), high)

    def _at(self, u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self._entrywise(self.noise_std, u), self._entrywise(self.low, u), self._entrywise(self.high, u)

    @staticmethod
    def _by_place(y: Tensor, low: Tensor, high: Tensor, at_low: Tensor, inside: Tensor, at_high: Tensor) -> Tensor:
        edge = _EDGE * (high - low)
        return torch.where(y <= low + edge, at_low, torch.where(y >= high - edge, at_high, inside))


class OneBitLikelihood(Likelihood[OperatorT]):
    r"""The sign of a noisy value, \(y_i = \operatorname{sign}(u_i + \sigma n_i)\): \(p(y_i) = \Phi(y_i u_i/\sigma)\).

    Args:
        operator: The forward operator A, of real measurements.
        noise_std: σ: one number, or (B,) for a batch of measurements.

    Raises:
        InvalidValueError: noise_std is not positive and finite.

    References:
        Boufounos & Baraniuk 2008, 1-bit compressive sensing, CISS.
    """

    noise_std: Tensor

    def __init__(self, operator: OperatorT, noise_std: float | Tensor) -> None:
        super().__init__(operator)
        self._add_parameter("noise_std", noise_std)

    def check(self, y: Tensor) -> None:
        super().check(y)
        if bool(self.measured(y.abs() != 1).any()):
            raise InvalidValueError("y must hold signs, −1 and 1 (0 only where nothing is measured); use e.g. y.sign()")

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        return torch.special.log_ndtr(y * u / self._entrywise(self.noise_std, u))

    def slope(self, u: Tensor, y: Tensor) -> Tensor:
        std = self._entrywise(self.noise_std, u)
        return y * mills(y * u / std) / std

    def fisher(self, u: Tensor) -> Tensor:
        std = self._entrywise(self.noise_std, u)
        return mills(u / std) * mills(-u / std) / std.square()  # φ²/(Φ(1 − Φ)σ²)

    def mean_and_variance(self, u: Tensor) -> tuple[Tensor, Tensor]:
        t = u / (math.sqrt(2) * self._entrywise(self.noise_std, u))
        return torch.erf(t), torch.erfc(t) * torch.erfc(-t)

    def _draw(self, u: Tensor, noise: Noise) -> Tensor:
        draw = noise.normal(self.operator.measurement_shape).to(u.dtype)
        return torch.where(u + self._entrywise(self.noise_std, u) * draw >= 0, 1.0, -1.0).to(u.dtype)


def _phi(t: Tensor) -> Tensor:
    return (-0.5 * t.square()).exp() / math.sqrt(2 * math.pi)


def _cdf(t: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-t / math.sqrt(2))  # torch.special.ndtr loses small values


def mills(t: Tensor) -> Tensor:
    """φ(t)/Φ(t), for any t: about −t far below 0."""
    return math.sqrt(2 / math.pi) / torch.special.erfcx(-t / math.sqrt(2))


def _excess(c: Tensor) -> Tensor:
    """E[(t − c)₊] for t ~ N(0, 1)."""
    return _phi(c) - c * _cdf(-c)


def _square_excess(c: Tensor) -> Tensor:
    """E[(t − c)₊²] for t ~ N(0, 1)."""
    return (1 + c.square()) * _cdf(-c) - c * _phi(c)
