"""Diffusion posterior sampling (DPS)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import NonNegative, Several
from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.guided.base import Guided, check_differentiable, renoise
from samplers.state import State


@dataclass(frozen=True)
class DPS(Guided[State]):
    r"""Ancestral steps, each followed by a gradient step of the residual of the denoised image.

    $$ x' = \text{DDPM}(x, D) - \zeta\sqrt{(1 + \sigma^2)(1 + \sigma'^2)}\,\nabla_x \|y - A(D(x, \sigma))\| $$

    The norm is not squared, and each draw has its own; the root turns the paper's step for \(x_t\) into one for x. σ_y
    is not used, so draws do not spread as the noise says. Any operator, Gaussian noise.

    Args:
        step_size: ζ, 0.3 to 1 in the paper.

    References:
        Chung, Kim, McCann, Klasky & Ye 2023, Diffusion Posterior Sampling for General Noisy Inverse Problems,
        arXiv:2209.14687.
    """

    steps: Several = 1000
    step_size: NonNegative = 1.0

    linear_only: ClassVar[bool] = False
    backward: ClassVar[int] = 1

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if not isinstance(problem.likelihood, GaussianLikelihood):
            raise IncompatibleError(f"{self.name} takes Gaussian noise, not {type(problem.likelihood).__name__}")

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            clean = problem.prior.denoise(leaf, sigma)
            norms = problem.likelihood.squared_residual(clean, problem.y).clamp_min(torch.finfo(x.dtype).tiny).sqrt()
            check_differentiable(problem.prior, clean)
            (slope,) = torch.autograd.grad(norms.sum(), leaf)
        # Of a residual that is not finite the derivative above may be 0.
        slope = slope.where(expand_right(norms.isfinite(), len(problem.event_shape)), torch.nan)
        size = self.step_size * math.sqrt((1 + sigma**2) * (1 + following**2))
        return renoise(clean.detach(), x, sigma, following, noise) - size * slope
