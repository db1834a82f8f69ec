"""Weighted particles on their way down the noise levels, for TDS and MCGDiff."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Several, Share
from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.guided.base import Guided
from samplers.population import conditional_effective_sample_size, systematic, take
from samplers.state import Info, State, per_draw

FEW = 10.0  # particles that a weighted population should be worth at its end


@dataclass(kw_only=True)
class ParticleState(State):
    """Particles and what their weights are made of.

    Attributes:
        log_weights: Of the particles, (N, B), since they were last resampled.
        log_target: Logarithm of the density by which weights were corrected last, (N, B).
        ancestor: The particle at the first level from which each descends, (N, B).
        log_evidence: Estimate of log p(y) so far, (B,).
    """

    log_weights: Tensor = per_draw()
    log_target: Tensor = per_draw()
    ancestor: Tensor = per_draw()
    log_evidence: Tensor

    def watched(self) -> dict[str, Tensor]:
        return {**super().watched(), "the particles' weights": self.log_weights.logsumexp(0)}


@dataclass(frozen=True)
class ParticleGuided(Guided[ParticleState]):
    """A guided sampler whose particles are weighted, so that more of them bring it nearer to the posterior.

    Args:
        population: Particles of each measurement; more if more samples are wanted.
        resample_below: Effective share of the population below which it is resampled.
    """

    population: Several = 256
    resample_below: Share = 0.5

    exact_for: ClassVar = "any posterior under its discretised diffusion as the prior, as particles grow in number"
    state_type: ClassVar = ParticleState
    advice: ClassVar[str] = "give more particles (population) or more steps, or take TemperedSMC"

    def draws_at_once(self, num_samples: int) -> int:
        return max(self.population, num_samples)

    def memory(self, problem: Posterior, x: Tensor) -> dict[str, Tensor]:
        zero = torch.zeros(x.shape[:2], dtype=problem.dtype, device=problem.device)
        ancestor = torch.arange(len(zero), device=problem.device)[:, None].expand_as(zero)
        return {"log_weights": zero, "log_target": zero, "ancestor": ancestor, "log_evidence": zero[0]}

    def resample(self, state: ParticleState, noise: Noise) -> tuple[Tensor, ParticleState]:
        """Systematic resampling where few particles carry the weight: the indices kept (N, B), and the new state."""
        size = len(state.log_weights)
        equal = torch.zeros_like(state.log_weights)
        few = conditional_effective_sample_size(equal, state.log_weights) < self.resample_below * size
        index = systematic(state.log_weights, noise.for_draws(1).use("resample").uniform()[0])
        stay = torch.arange(size, device=index.device)[:, None]
        index = torch.where(few, index, stay)
        weights = take(state.log_weights, index)
        gained = state.log_weights.logsumexp(0) - math.log(size)
        return index, ParticleState(
            x=take(state.x, index), done=state.done, progress=state.progress,
            log_weights=torch.where(few, 0.0, weights), log_target=take(state.log_target, index),
            ancestor=take(state.ancestor, index), log_evidence=state.log_evidence + torch.where(few, gained, 0.0),
        )  # fmt: skip

    def finish(self, problem: Posterior, state: ParticleState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        size = len(state.x)
        index = systematic(state.log_weights, noise.for_draws(1).use("resample").uniform()[0])
        shuffle = noise.use("order").uniform().argsort(0)  # neighbours came from one particle
        ancestor = state.ancestor.gather(0, index)
        members = torch.zeros_like(state.log_weights).scatter_add_(0, ancestor, torch.ones_like(state.log_weights))
        info = {"effective_samples": size**2 / members.square().sum(0)}
        return take(take(state.x, index), shuffle)[:num_samples], info

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        return {"all particles come from few of the first": info["effective_samples"] < FEW}
