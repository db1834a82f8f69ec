"""Denoising diffusion restoration (DDRM)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.checks import Several, Share
from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.guided.base import noise_variance
from samplers.guided.spectral import Spectral
from samplers.state import State


@dataclass(frozen=True)
class DDRM(Spectral[State]):
    r"""Diffusion of the image's spectral components, each guided by its own measurement.

    With A = USVᵀ, components \(\bar x = V^T x\) and \(\bar y = S^{-1}U^T y\), whose noise is σ_y/s:

    $$ \bar x' \sim N\bigl(\bar D + \sqrt{1 - \eta^2}\,\sigma'\,(\bar x - \bar D)/\sigma,\; \eta^2\sigma'^2\bigr)
       \quad (s = 0) $$
    $$ \bar x' \sim N\bigl(\bar D + \sqrt{1 - \eta^2}\,\sigma'\,(\bar y - \bar D)\,s/\sigma_y,\; \eta^2\sigma'^2\bigr)
       \quad (\sigma' < \sigma_y/s) $$
    $$ \bar x' \sim N\bigl((1 - \eta_b)\bar D + \eta_b\bar y,\; \sigma'^2 - \eta_b^2\sigma_y^2/s^2\bigr)
       \quad (\sigma' \ge \sigma_y/s) $$

    No gradients of the network.

    Args:
        eta: Fresh noise in components not measured, or measured worse than they are known.
        eta_b: Weight of the measurement in the others.

    References:
        Kawar, Elad, Ermon & Song 2022, Denoising Diffusion Restoration Models, arXiv:2201.11793.
    """

    steps: Several = 100
    eta: Share = 0.85
    eta_b: Share = 1.0

    def start(self, problem: Posterior, sigma: float, noise: Noise) -> Tensor:
        x = super().start(problem, sigma, noise)
        seen = problem.operator.adjoint(problem.y)
        xi = noise.use("measured").normal(problem.event_shape)

        def replaced(values: Tensor) -> Tensor:  # components of y that are better than σ
            return self.known(problem, values, sigma).to(values.dtype)

        def scatter(values: Tensor) -> Tensor:
            rest = sigma**2 - noise_variance(problem, values.ndim) / values.clamp_min(self.tiny(problem))
            return replaced(values) * rest.clamp_min(0).sqrt()

        f = problem.operator.gram_function
        return (
            f(lambda v: 1 - replaced(v), x) + f(lambda v: replaced(v) / v.clamp_min(self.tiny(problem)), seen)
            + f(scatter, xi)
        )  # fmt: skip

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        clean = problem.prior.denoise(x, sigma)
        seen = problem.operator.adjoint(problem.y - problem.operator(clean))  # s² (ȳ − D̄)
        tiny = self.tiny(problem)
        kept = (1 - self.eta**2) ** 0.5

        def from_x(values: Tensor) -> Tensor:
            return torch.where(values > tiny, 0.0, kept * following / sigma)

        def from_y(values: Tensor) -> Tensor:
            v, std = values.clamp_min(tiny), noise_variance(problem, values.ndim).sqrt()
            factor = torch.where(self.known(problem, values, following), self.eta_b, kept * following * v.sqrt() / std)
            return torch.where(values > tiny, factor / v, 0.0)

        def fresh(values: Tensor) -> Tensor:
            rest = following**2 - self.eta_b**2 * noise_variance(problem, values.ndim) / values.clamp_min(tiny)
            known = self.known(problem, values, following)
            return torch.where(known, rest.clamp_min(0).sqrt(), self.eta * following)

        f = problem.operator.gram_function
        x = clean + f(from_x, x - clean) + f(from_y, seen)
        return x + f(fresh, noise.use("renoise").normal(problem.event_shape)) if following > 0 else x
