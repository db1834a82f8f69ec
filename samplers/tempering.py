"""What tempered sequential Monte Carlo spends, and what it carries from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from samplers.state import State, per_draw


class Schedule(NamedTuple):
    """How a population is moved from the prior to the posterior.

    Attributes:
        prior_samples: Samples of the prior for each particle.
        ess: Conditional effective sample size after each change of temperature, as a fraction of the population.
        final_moves: Most moves at β = 1; fewer if the particles of one ancestor have drifted apart before.
    """

    prior_samples: int
    ess: float
    final_moves: int


class Budget(NamedTuple):
    """The settings of an accuracy.

    Attributes:
        population: Particles at the least.
        steps: Network calls a move.
        prior_steps: Network calls for a sample of the prior.
        inflation: Variance of the population's mean, in units of that of independent draws, at which particles of one
            ancestor have drifted apart.
        metropolis: Where moves are refused at times.
        gibbs: Where none is.
    """

    population: int
    steps: int
    prior_steps: int
    inflation: float
    metropolis: Schedule
    gibbs: Schedule


BUDGETS = {
    "fast": Budget(128, 5, 12, 1.5, metropolis=Schedule(2, 0.7, 10), gibbs=Schedule(2, 0.7, 3)),
    "standard": Budget(256, 6, 20, 1.1, metropolis=Schedule(4, 0.91, 28), gibbs=Schedule(3, 0.91, 8)),
    "high": Budget(1024, 12, 32, 1.05, metropolis=Schedule(8, 0.95, 100), gibbs=Schedule(8, 0.9, 30)),
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
