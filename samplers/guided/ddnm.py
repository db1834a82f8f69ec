"""Denoising diffusion null-space models (DDNM)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.guided.base import noise_variance
from samplers.guided.spectral import Spectral
from samplers.state import State


@dataclass(frozen=True)
class DDNM(Spectral[State]):
    r"""The denoised image, its measured part replaced by the measurement (DDNM+, for noisy ones).

    With \(a = 1 - \sigma'^2/\sigma^2\) the weight of x0 in DDPM's step and \(s_t = \sigma'\sqrt a\) its noise, each
    spectral component of singular value s is corrected as far as the step's noise covers that of the measurement:

    $$ x_0 = D + \Lambda A^+ (y - AD), \quad \lambda = \min\Bigl(1, \frac{s_t\,s}{a\,\sigma_y}\Bigr), \qquad
       \text{fresh noise } s_t^2 - (a\,\lambda\,\sigma_y/s)^2 $$

    No gradients of the network.

    References:
        Wang, Yu & Zhang 2023, Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model, arXiv:2212.00490.
    """

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        clean = problem.prior.denoise(x, sigma)
        a = 1 - (following / sigma) ** 2
        step = following * math.sqrt(a)
        tiny = self.tiny(problem)

        def share(values: Tensor) -> Tensor:  # λ
            std = noise_variance(problem, values.ndim).sqrt()
            return torch.where(values > tiny, (step * values.clamp_min(tiny).sqrt() / (a * std)).clamp_max(1), 0.0)

        def correction(values: Tensor) -> Tensor:
            return share(values) / values.clamp_min(tiny)

        def fresh(values: Tensor) -> Tensor:
            spent = (a * share(values)) ** 2 * noise_variance(problem, values.ndim) / values.clamp_min(tiny)
            return (step**2 - spent).clamp_min(0).sqrt()

        f = problem.operator.gram_function
        clean = clean + f(correction, problem.operator.adjoint(problem.y - problem.operator(clean)))
        if following == 0:
            return clean
        x = clean + (following / sigma) ** 2 * (x - clean)
        return x + f(fresh, noise.use("renoise").normal(problem.event_shape))
