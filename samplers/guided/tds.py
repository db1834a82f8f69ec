"""Twisted diffusion sampling (TDS)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.curvature import is_linear_gaussian
from samplers.guided.base import denoise_with_grad, step_length, white_guidance
from samplers.guided.particles import FEW, ParticleGuided, ParticleState
from samplers.population import take
from samplers.state import Info


@dataclass(frozen=True)
class TDS(ParticleGuided):
    r"""Sequential Monte Carlo along reverse diffusion, its particles guided by what they promise to explain.

    A twist \(\tilde p(x)\) stands for p(y | x): p(y | D(x, σ)), and for Gaussian noise on a linear operator that with
    the variance σ_y² + r² AAᵀ of `PiGDM`, which particles can live with where σ_y is small. They go by

    $$ x' \sim q = N\bigl(\mu + (\sigma^2 - \sigma'^2)\,\nabla\log\tilde p(x),\; v\bigr), \qquad
       p(x' \mid x) = N(\mu, v) = \text{DDPM's step}, $$

    and take on the weight \(p(x' \mid x)\,\tilde p(x')/(q(x' \mid x)\,\tilde p(x))\). The last image is D itself, and
    its weight the likelihood over the twist. With ever more particles, the posterior under the discretised diffusion as
    prior. The gradient is shortened to the `step_length` of each draw. Any differentiable likelihood.

    Reports (in `Samples.info`): effective_samples; log_evidence, log p(y) under that prior, NaN where all particles
    come from few of the first: the estimate is then far too low, by tens of nats where hundreds of values are measured.

    References:
        Wu, Trippe, Naesseth, Blei & Cunningham 2023, Practical and Asymptotically Exact Conditional Sampling in
        Diffusion Models, arXiv:2306.17775.
    """

    linear_only: ClassVar[bool] = False
    backward: ClassVar[int] = 1

    def advance(
        self, problem: Posterior, state: ParticleState, sigma: float, following: float, noise: Noise
    ) -> ParticleState:
        last = following == 0
        clean, vjp = denoise_with_grad(problem, state.x, sigma)
        promised, slope = self.twist(problem, clean, sigma, vjp)
        # log_target holds log p̃ of the parent, and log q − log p of the move from it.
        reached = problem.log_likelihood(clean) if last else promised
        state = replace(state, log_weights=state.log_weights + reached - state.log_target)
        index, state = self.resample(state, noise)
        clean, slope, promised = (take(v, index) for v in (clean, slope, promised))
        x, spent = clean, torch.zeros_like(promised)
        if not last:
            variance = following**2 * (1 - (following / sigma) ** 2)
            push = (sigma**2 - following**2) * slope
            drawn = math.sqrt(variance) * noise.use("renoise").normal(problem.event_shape)
            x = clean + (following / sigma) ** 2 * (state.x - clean) + push + drawn
            # log q − log p = (‖x' − μ‖² − ‖x' − μ − push‖²)/2v
            spent = (push * (push + 2 * drawn)).flatten(2).sum(2) / (2 * variance)
        return replace(state, x=x, log_target=promised + spent)

    def twist(
        self, problem: Posterior, clean: Tensor, sigma: float, vjp: Callable[..., Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Log p̃ up to a constant of the level, which weights do without, and α times its gradient in x."""
        if not is_linear_gaussian(problem):
            return problem.log_likelihood(clean), vjp(problem.log_likelihood_grad(clean), last=True)
        slope, along, own = white_guidance(problem, clean, sigma)
        pulled = vjp(slope, last=True)
        return -0.5 * along, step_length(along, own, slope, pulled, sigma) * pulled

    def finish(self, problem: Posterior, state: ParticleState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        x, info = super().finish(problem, state, noise, num_samples)
        left = state.log_weights.logsumexp(0) - math.log(len(state.x))
        known = info["effective_samples"] >= FEW
        return x, {**info, "log_evidence": (state.log_evidence + left).where(known, torch.nan)}
