"""Priors of what is not known exactly of a measurement: its noise level, a blur's width, a gain."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posterior.checks import Positive, check_fields
from posterior.noise import Noise


@dataclass(frozen=True)
class ParameterPrior:
    """The distribution of a positive parameter before anything was measured; one of your own defines these methods."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def centre(self) -> float:
        """A usual value."""
        raise NotImplementedError

    def log_prob(self, value: Tensor) -> Tensor:
        """The log-density of values > 0, of any shape, up to a constant."""
        raise NotImplementedError

    def sample(self, noise: Noise) -> Tensor:
        """Draws (S, B), in double precision."""
        raise NotImplementedError


@dataclass(frozen=True)
class LogNormal(ParameterPrior):
    r"""A parameter known up to a factor, \(\log\theta \sim N(\log\text{median}, \text{spread}^2)\).

    Args:
        median: θ lies above and below it with equal probability.
        spread: Standard deviation of log θ: 0.2 says "to about 20 %", 1 "to a factor of e".

    Raises:
        InvalidValueError: One of them is not positive.
    """

    median: Positive
    spread: Positive

    @property
    def centre(self) -> float:
        return self.median

    def log_prob(self, value: Tensor) -> Tensor:
        return -0.5 * ((value.log() - math.log(self.median)) / self.spread).square() - value.log()

    def sample(self, noise: Noise) -> Tensor:
        return self.median * (self.spread * replace(noise, dtype=torch.float64).normal()).exp()


@dataclass(frozen=True)
class InverseGamma(ParameterPrior):
    r"""A parameter whose square is inverse-gamma, \(\sigma^2 \sim \text{InvGamma}(\nu/2,\ \nu s^2/2)\): a noise level.

    It says as much as ν earlier values of noise with the mean square s². Of Gaussian noise it is conjugate:

    $$ \sigma^2 \mid x, y \sim \text{InvGamma}\big(\tfrac{\nu + m}{2},\ \tfrac{\nu s^2 + \|y - A(x)\|^2}{2}\big). $$

    Args:
        std: s, about which σ lies.
        degrees: ν, by how many values it is known: 2 is vague.

    Raises:
        InvalidValueError: One of them is not positive.

    References:
        Gelman, Carlin, Stern, Dunson, Vehtari & Rubin 2013, Bayesian Data Analysis, 3rd edition, section 2.6 (there
        called a scaled inverse χ²).
    """

    std: Positive
    degrees: Positive

    @property
    def centre(self) -> float:
        return self.std

    def log_prob(self, value: Tensor) -> Tensor:
        return -(self.degrees + 1) * value.log() - 0.5 * self.degrees * (self.std / value).square()

    def sample(self, noise: Noise) -> Tensor:
        zero = torch.zeros((), dtype=torch.float64, device=noise.keys.device)
        return self.sample_given(zero, zero, noise)

    def sample_given(self, count: Tensor, squares: Tensor, noise: Noise) -> Tensor:
        """Draws (S, B) of σ given `count` values of noise, () or (B,), with the sum of squares `squares`, (S, B)."""
        from scipy.special import gammaincinv

        shape = 0.5 * (self.degrees + count)
        uniform = replace(noise, dtype=torch.float64).uniform()
        gamma = gammaincinv(shape.cpu().numpy(), uniform.cpu().numpy())
        scale = 0.5 * (self.degrees * self.std**2 + squares.double())
        return (scale / torch.as_tensor(gamma, device=scale.device)).sqrt()
