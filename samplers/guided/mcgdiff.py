"""Monte Carlo guided diffusion (MCGDiff)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.guided.base import noise_variance
from samplers.guided.particles import ParticleGuided, ParticleState
from samplers.guided.spectral import Spectral
from samplers.population import take


@dataclass(frozen=True)
class MCGDiff(ParticleGuided, Spectral[ParticleState]):
    r"""Sequential Monte Carlo on spectral components, each measured one drawn to a noisier copy of its measurement.

    A component of singular value s is measured with noise \(\tau = \sigma_y/s\): what was measured, \(\bar y\), is a
    diffusion's state at level τ, and at σ > τ its state is \(N(\bar y, \sigma^2 - \tau^2)\). Particles go by

    $$ x' \sim p(x' \mid x) \prod_{\tau_i < \sigma'} N(\bar x'_i; \bar y_i, \sigma'^2 - \tau_i^2) $$

    normalised, and are weighted by the normalisation over the same product at x. Components below their τ go on as in
    DDPM. With ever more particles and levels, the posterior under the diffusion as prior. No gradients of the network.

    References:
        Cardoso, Janati El Idrissi, Le Corff & Moulines 2023, Monte Carlo guided Diffusion for Bayesian linear inverse
        problems, arXiv:2308.07983.
    """

    def start(self, problem: Posterior, sigma: float, noise: Noise) -> Tensor:
        x = super().start(problem, sigma, noise)
        mean = problem.prior.mean().to(x).expand_as(x)
        return self.towards_measured(problem, x, mean, sigma**2 + problem.prior.sigma_data**2, sigma)

    def advance(
        self, problem: Posterior, state: ParticleState, sigma: float, following: float, noise: Noise
    ) -> ParticleState:
        clean = problem.prior.denoise(state.x, sigma)
        if following == 0:
            return replace(state, x=clean)
        ratio = (following / sigma) ** 2
        variance = following**2 * (1 - ratio)
        mean = clean + ratio * (state.x - clean)
        # Components that are not measured at the next level keep the weight that they have.
        gained = self.log_density(problem, mean, following, variance, following)
        gained = gained - self.log_density(problem, state.x, sigma, 0.0, following)
        state = replace(state, log_weights=state.log_weights + gained)
        index, state = self.resample(state, noise)
        mean = take(mean, index)
        x = mean + math.sqrt(variance) * noise.use("renoise").normal(problem.event_shape)
        return replace(state, x=self.towards_measured(problem, x, mean, variance, following))

    def log_density(self, problem: Posterior, x: Tensor, sigma: float, variance: float, among: float) -> Tensor:
        """Log N(ȳ; x̄, variance + σ² − τ²) up to a constant, over components measured better than `among`: (N, B)."""
        back = problem.operator.adjoint(problem.y - problem.operator(x))  # s² (ȳ − x̄)

        def precision(values: Tensor) -> Tensor:
            total = variance + self.room(problem, values, sigma)
            return torch.where(self.known(problem, values, among), 1 / (values**2 * total), 0.0)

        return -0.5 * (back * problem.operator.gram_function(precision, back)).flatten(2).sum(2)

    def towards_measured(self, problem: Posterior, x: Tensor, mean: Tensor, variance: float, sigma: float) -> Tensor:
        """Draws x of N(mean, variance) moved to those of the product with what was measured."""

        def kept(values: Tensor) -> Tensor:
            room = self.room(problem, values, sigma)
            return torch.where(self.known(problem, values, sigma), (room / (variance + room)).sqrt(), 1.0)

        def gain(values: Tensor) -> Tensor:
            share = variance / (variance + self.room(problem, values, sigma))
            return torch.where(self.known(problem, values, sigma), share / values, 0.0)

        f = problem.operator.gram_function
        back = problem.operator.adjoint(problem.y - problem.operator(mean))
        return mean + f(kept, x - mean) + f(gain, back)

    def room(self, problem: Posterior, values: Tensor, sigma: float) -> Tensor:
        """σ² − τ², above 0 for the sake of rounding."""
        tau = noise_variance(problem, values.ndim) / values.clamp_min(self.tiny(problem))
        return (sigma**2 - tau).clamp_min(1e-6 * sigma**2)
