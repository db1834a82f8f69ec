"""What tempered sequential Monte Carlo spends, and what it carries from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from samplers.state import State, per_draw


class Budget(NamedTuple):
    """The settings of an accuracy.

    Attributes:
        population: Particles at the least.
        prior_samples: Samples of the prior for each particle.
        ess: Conditional effective sample size after each change of temperature, as a fraction of the population.
        steps: Network calls a move.
        prior_steps: Network calls for a sample of the prior.
        final_moves: Most moves at β = 1; fewer if the particles of one ancestor have drifted apart before.
        final_kinetic: The same of kinetic moves.
        inflation: Variance of the population's mean, in units of that of independent draws, at which they have.
    """

    population: int
    prior_samples: int
    ess: float
    steps: int
    prior_steps: int
    final_moves: int
    final_kinetic: int
    inflation: float


BUDGETS = {
    "fast": Budget(
        128, prior_samples=2, ess=0.7, steps=5, prior_steps=12, final_moves=10, final_kinetic=3, inflation=1.5
    ),
    "standard": Budget(
        256, prior_samples=4, ess=0.91, steps=6, prior_steps=20, final_moves=28, final_kinetic=8, inflation=1.1
    ),
    "high": Budget(
        1024, prior_samples=8, ess=0.95, steps=12, prior_steps=32, final_moves=100, final_kinetic=30, inflation=1.05
    ),
}


@dataclass(kw_only=True)
class PopulationState(State):
    """A population at its current temperature.

    Attributes:
        epsilon: The auxiliary noise of each particle, (N, B, *event).
        log_likelihood: log p(y | x) of each particle, (N, B).
        ancestor: The slot in which each particle's lineage began, (N, B).
        beta: Inverse temperature, (B,).
        scale: Size of a move as a fraction of the largest, (B,).
        moves: Moves accepted since the last change of temperature, on average, (B,).
        final_moves: Moves made at β = 1, (B,).
        inflation: Variance of the population's mean in units of that of independent draws, (B,).
        compared: The inflation that the next comparison is with, (B,).
        log_evidence: Estimates of log p(y) by the islands, their weights until β = 1, (B, islands).
        spread: What tells how many levels are ahead, (B, K), see `samplers.levels.spread`.
        levels: How many were ahead at the start, (B,).
    """

    epsilon: Tensor = per_draw()
    log_likelihood: Tensor = per_draw()
    ancestor: Tensor = per_draw()
    beta: Tensor
    scale: Tensor
    moves: Tensor
    final_moves: Tensor
    inflation: Tensor
    compared: Tensor
    log_evidence: Tensor
    spread: Tensor
    levels: Tensor

    def watched(self) -> dict[str, Tensor]:
        return {**super().watched(), "log p(y | x)": self.log_evidence.logsumexp(1)}
