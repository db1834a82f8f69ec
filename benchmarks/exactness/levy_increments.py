"""The laws of a Lévy process's increments: their densities, their draws, and the normals of which they are mixtures.

Each is N(0, w) of a random variance w, so that a signal is Gaussian given the variances of its increments.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.noise import Noise


@dataclass(frozen=True)
class Increments:
    """A law that is zero with probability 1 − share, and else has a symmetric density f.

    Attributes:
        name: What tables call it.
        share: Probability of an increment that is not zero.
    """

    name: str
    share: float = 1.0

    @property
    def variance(self) -> float:
        """Variance of an increment."""
        raise NotImplementedError

    @property
    def corner(self) -> float:
        """f′ on the right of zero, which is not 0 where the density has a corner."""
        return 0.0

    def density(self, t: Tensor) -> Tensor:
        """f(t)."""
        raise NotImplementedError

    def draw(self, shape: tuple[int, ...], noise: Noise) -> Tensor:
        """Increments (S, B, *shape)."""
        raise NotImplementedError

    def draw_variances(self, t: Tensor, noise: Noise) -> Tensor:
        """Draw w given increments t (S, B, n) that are not zero, of p(w | t) ∝ N(t; 0, w) p(w)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Gaussian(Increments):
    """N(0, 1)."""

    name: str = "Gaussian"

    @property
    def variance(self) -> float:
        return 1.0

    def density(self, t: Tensor) -> Tensor:
        return t.square().mul_(-0.5).exp_().div_(math.sqrt(2 * math.pi))

    def draw(self, shape: tuple[int, ...], noise: Noise) -> Tensor:
        return noise.use("increments").normal(shape)

    def draw_variances(self, t: Tensor, noise: Noise) -> Tensor:
        return torch.ones_like(t)


@dataclass(frozen=True)
class Laplace(Increments):
    """f(t) = ½ exp(−|t|), the mixture of N(0, w) with w exponential of mean 2; with share < 1, Bernoulli–Laplace."""

    name: str = "Laplace"

    @property
    def variance(self) -> float:
        return 2 * self.share

    @property
    def corner(self) -> float:
        return -0.5

    def density(self, t: Tensor) -> Tensor:
        return t.abs().neg_().exp_().mul_(0.5)

    def draw(self, shape: tuple[int, ...], noise: Noise) -> Tensor:
        u = noise.use("increments").uniform(shape)
        jump = torch.log1p(-u)  # exponential, with the sign that an independent number gives it
        signed = torch.where(noise.use("sign").uniform(shape) < 0.5, jump, -jump)
        return signed * (noise.use("jump").uniform(shape) < self.share)

    def draw_variances(self, t: Tensor, noise: Noise) -> Tensor:
        shape = tuple(t.shape[2:])
        return laplace_variances(t, noise.use("chi").normal(shape), noise.use("root").uniform(shape))


@dataclass(frozen=True)
class StudentT(Increments):
    """f(t) = 2 (1 + t²/3)⁻² / (π√3), of three degrees of freedom: the mixture of N(0, w) with 3/w a χ² of three."""

    name: str = "Student t"

    @property
    def variance(self) -> float:
        return 3.0

    def density(self, t: Tensor) -> Tensor:
        return t.square().div_(3).add_(1).pow_(-2).mul_(2 / (math.pi * math.sqrt(3)))

    def draw(self, shape: tuple[int, ...], noise: Noise) -> Tensor:
        chi = noise.use("chi").normal((3, *shape)).square().sum(2)
        return noise.use("increments").normal(shape) * (3 / chi).sqrt()

    def draw_variances(self, t: Tensor, noise: Noise) -> Tensor:
        shape = tuple(t.shape[2:])
        chi = noise.use("chi").normal((4, *shape)).square().sum(2)
        return (3 + t.square()) / chi


def laplace_variances(t: Tensor, normal: Tensor, uniform: Tensor) -> Tensor:
    """w of p(w | t) for Laplace increments, from random numbers: 1/w is inverse Gaussian, of mean 1/|t| and shape 1.

    References:
        Michael, Schucany & Haas 1976, Generating Random Variates Using Transformations with Multiple Roots.
    """
    size = t.abs().clamp_min(1e-10)
    half = 0.5 * normal.square() / size
    root = 1 / (size * (1 + half + (half * (2 + half)).sqrt()))  # the smaller one, free of cancellation
    other = 1 / (size.square() * root)
    return 1 / torch.where(uniform * (1 + size * root) < 1, root, other)


LAWS: dict[str, Increments] = {
    law.name: law for law in (Gaussian(), Laplace(), Laplace("Bernoulli–Laplace", 0.1), StudentT())
}
