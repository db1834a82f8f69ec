"""Tempered sequential Monte Carlo: a population moved from the prior to the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from samplers import population as pop
from samplers.base import Sampler
from samplers.kernel import AuxiliaryKernel, Draws, check_auxiliary, first_scale, tuned
from samplers.latent.hamiltonian import HamiltonianKernel
from samplers.state import Info, State, per_draw

_FEWEST = 3  # moves at β = 1
_MOVED = 0.9  # moves accepted before the temperature changes again, on average
# What makes the draws untrustworthy (docs/exactness.md has how often each is right).
_INFLATION, _FAMILIES, _R_HAT, _EVIDENCE = 4.0, 4, 1.1, 0.7
# Moves at β = 1 end when so many of them have left more than this fraction of what the inflation exceeds 1 by.
_COMPARE, _PROGRESS = 8, 0.85


class Budget(NamedTuple):
    """What an accuracy stands for.

    Attributes:
        population: Particles at the least.
        start: Draws from the prior for each particle.
        keep: Conditional effective sample size after each change of temperature, as a fraction of the population.
        steps: Network calls a move.
        prior_steps: Network calls for the first draws, from the prior.
        settle: Most moves at β = 1; fewer if particles of one family have drifted apart before.
        inflation: Variance of the population's mean, in units of that of independent draws, at which they have.
    """

    population: int
    start: int
    keep: float
    steps: int
    prior_steps: int
    settle: int
    inflation: float


BUDGETS = {
    "fast": Budget(population=128, start=2, keep=0.7, steps=5, prior_steps=12, settle=10, inflation=1.5),
    "standard": Budget(population=256, start=4, keep=0.91, steps=6, prior_steps=20, settle=28, inflation=1.1),
    "high": Budget(population=1024, start=8, keep=0.95, steps=12, prior_steps=32, settle=100, inflation=1.05),
}


@dataclass(kw_only=True)
class PopulationState(State):
    """A population at its current temperature.

    Attributes:
        epsilon: The auxiliary noise of each particle, (N, B, *event).
        log_likelihood: log p(y | x) of each particle, (N, B).
        family: The slot in which each particle's line began, (N, B).
        beta: Inverse temperature, (B,).
        scale: ρ as a fraction of the largest, (B,).
        moved: Moves accepted since the last change of temperature, on average, (B,).
        settled: Moves made at β = 1, (B,).
        inflation: Variance of the population's mean in units of that of independent draws, (B,).
        before: What it was when last compared, (B,).
        evidence: Estimates of log p(y) by the islands, their weights until β = 1, (B, islands).
    """

    epsilon: Tensor = per_draw()
    log_likelihood: Tensor = per_draw()
    family: Tensor = per_draw()
    beta: Tensor
    scale: Tensor
    moved: Tensor
    settled: Tensor
    inflation: Tensor
    before: Tensor
    evidence: Tensor


@dataclass(frozen=True)
class TemperedSMC(Sampler[PopulationState]):
    r"""Posterior draws by tempered sequential Monte Carlo with auxiliary-variable moves, for any likelihood.

    Targets \(\pi_\beta(x) \propto p(x) L(x)^\beta\) with β rising from 0 to 1. It begins with importance weights on
    many draws of the prior. Then each level weights the population by \(L^{\Delta\beta}\), with Δβ set so that the
    conditional effective sample size falls to a given fraction; resamples it (systematic, island by island), for a
    weight that is carried on outlives what the particle has in common with its past; and moves all particles, which at
    β = 1 goes on until those of one family have drifted apart.

    On a score prior a move is `auxiliary_move`, a Gibbs sweep where the likelihood is linear-Gaussian,
    Metropolis–Hastings elsewhere, with ρ tuned by acceptance; two of small ρ end the run, which clear the grain that
    few network calls leave. Neither a prior density nor a gradient through the network is needed. Asymptotically exact
    in the population, given exact draws of p(x0 | z). On a generator the population is of latents z and a move is
    `hamiltonian_move`, with masses that follow the population's spread: asymptotically exact.

    | accuracy | particles, at least | prior draws for each | kept at a level | calls a move | moves at β = 1, at most |
    |---|---|---|---|---|---|
    | fast | 128 | 2 | 70 % | 5 | 10 |
    | standard | 256 | 4 | 91 % | 6 | 28 |
    | high | 1,024 | 8 | 95 % | 12 | 100 |

    Args:
        accuracy: How much to spend.
        population: Particles N, in place of what `accuracy` says; there are never fewer than samples are wanted.
            Samples are a subset, at the cost of all. Four islands (eight from N = 512 on) are resampled apart until
            β = 1, so that they tell the error of the evidence; a population is rounded up to whole islands.
        exact_denoise: Use the exact draws of an analytic prior, to see what reverse diffusion costs.

    Reports (in `Samples.info`): beta, rho or step_size, acceptance and inflation (variance of the population's mean in
    units of that of independent draws) by step; log_evidence and log_evidence_error (of one standard deviation, from
    the islands); effective_samples, families and island_r_hat.

    References:
        Del Moral, Doucet & Jasra 2006, Sequential Monte Carlo samplers, JRSS B 68.
        Zhou, Johansen & Aston 2016, Toward automatic model comparison: an adaptive sequential Monte Carlo approach,
        JCGS 25.
    """

    state_type: ClassVar = PopulationState
    advice: ClassVar = "take a larger population or accuracy='high'"
    accuracy: Literal["fast", "standard", "high"] = "standard"
    population: int | None = None
    exact_denoise: bool = False

    @property
    def budget(self) -> Budget:
        return BUDGETS[self.accuracy]

    def _kernel(self, problem: Posterior) -> AuxiliaryKernel | HamiltonianKernel:
        if isinstance(problem.prior, GeneratorPrior):
            return HamiltonianKernel(self.budget.steps)
        return AuxiliaryKernel(Draws(self.budget.steps, self.budget.prior_steps, self.exact_denoise))

    def check(self, problem: Posterior) -> None:
        if not isinstance(problem.prior, GeneratorPrior):
            check_auxiliary(self.name, problem)
        if self.accuracy not in BUDGETS:
            raise InvalidValueError(f"accuracy is one of {', '.join(BUDGETS)}, not {self.accuracy!r}")
        if self.population is not None and self.population < 8:
            raise InvalidValueError(f"{self.name} needs a population of at least 8, got {self.population}")

    def draws_at_once(self, num_samples: int) -> int:
        size = max(num_samples, self.population or self.budget.population)
        return -(-size // self.islands(size)) * self.islands(size)

    @staticmethod
    def islands(size: int) -> int:
        return 4 if size < 512 else 8

    def init(self, problem: Posterior, noise: Noise) -> PopulationState:
        size, batch = len(noise.draws), len(problem)
        islands = self.islands(size)
        # Independent draws of the prior, so many that importance weights alone go some way at no loss.
        many = self.budget.start * size
        x = self._kernel(problem).start(problem, many, noise)
        log_likelihood = problem.log_likelihood(x)
        zero = x.new_zeros(batch)
        beta = pop.temperature_increment(torch.zeros_like(log_likelihood), log_likelihood, zero, size)
        log_weights = beta * log_likelihood
        index = pop.systematic_by_island(log_weights, islands, noise.use("start").for_draws(islands).uniform(), size)
        means = pop.island_means(log_weights, islands)
        return PopulationState(
            x=pop.take(x, index),
            epsilon=noise.use("epsilon").normal(problem.event_shape),
            done=zero.bool(),
            progress=zero.clone(),
            log_likelihood=pop.take(log_likelihood, index),
            family=pop.families(index),
            beta=beta,
            scale=first_scale(problem, zero),
            moved=torch.ones_like(zero),
            settled=zero.long(),
            inflation=torch.ones_like(zero),
            before=torch.full_like(zero, torch.inf),
            evidence=means.T.contiguous(),
        )

    def step(self, problem: Posterior, state: PopulationState, noise: Noise) -> tuple[PopulationState, Info]:
        size, islands, budget = len(state.x), state.evidence.shape[1], self.budget
        hot = state.settled == 0  # the islands are still apart
        log_weights = torch.where(hot, state.evidence.T, 0.0).repeat_interleave(size // islands, 0)
        increment = pop.temperature_increment(log_weights, state.log_likelihood, state.beta, budget.keep * size)
        beta = torch.where(increment >= 1 - state.beta, torch.ones_like(state.beta), state.beta + increment)
        ready = state.moved >= _MOVED  # or the temperature waits
        increment, beta = torch.where(ready, increment, 0.0), torch.where(ready, beta, state.beta)
        log_weights = log_weights + increment * state.log_likelihood
        uniform = noise.use("resample").for_draws(islands).uniform()
        apart, together = (
            pop.systematic_by_island(log_weights, islands, uniform),
            pop.systematic(log_weights, uniform[0]),
        )
        index = torch.where(hot & (beta >= 1), together, apart)
        x, family = pop.take(state.x, index), pop.take(state.family, index)

        epsilon, log_likelihood = pop.take(state.epsilon, index), pop.take(state.log_likelihood, index)
        move, size_of_move = self._kernel(problem).move(
            problem, x, epsilon, log_likelihood, beta, state.scale, noise.use("move")
        )
        accepted = move.accepted.mean(0)
        moved = torch.where(ready, 0.0, state.moved) + accepted
        settled = state.settled + (beta >= 1)
        inflation = pop.variance_inflation(move.x, family)
        compare = settled % _COMPARE == 0
        stuck = compare & (settled > 0) & (inflation - 1 > _PROGRESS * (state.before - 1))
        done = (settled >= budget.settle) | ((settled >= _FEWEST) & (inflation <= budget.inflation)) | stuck
        new = PopulationState(
            x=move.x,
            epsilon=move.epsilon,
            done=done,
            progress=torch.where(done, 1.0, 0.8 * beta**0.25 + 0.2 * settled / budget.settle),  # β rises by factors
            log_likelihood=move.log_likelihood,
            family=family,
            beta=beta,
            scale=tuned(state.scale, accepted),
            moved=moved,
            settled=settled,
            inflation=inflation,
            before=torch.where(compare & (settled > 0), inflation, state.before),
            evidence=torch.where(hot[:, None], pop.island_means(log_weights, islands).T, state.evidence),
        )
        return new, {"beta": beta, **size_of_move, "acceptance": accepted, "inflation": inflation}

    def finish(self, problem: Posterior, state: PopulationState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        # Neighbouring slots share ancestors: shuffle, so that the first draws are a fair subset.
        order = noise.use("order").uniform().argsort(0)[:num_samples]
        x, epsilon, log_likelihood = (pop.take(v, order) for v in (state.x, state.epsilon, state.log_likelihood))
        x = self._kernel(problem).polished(
            problem, x, epsilon, log_likelihood, state.x.mean(0), state.scale, noise.for_draws(num_samples)
        )
        size, islands = len(state.x), state.evidence.shape[1]
        log_evidence = state.evidence.logsumexp(1) - math.log(islands)
        relative = (state.evidence - log_evidence[:, None]).exp()
        figures = {
            "log_evidence": log_evidence,
            "log_evidence_error": relative.std(1) / islands**0.5,
            # the mean of a subset varies by its own size as well
            "effective_samples": 1 / (state.inflation / size + 1 / num_samples - 1 / size),
            "families": pop.distinct(state.family),
            "island_r_hat": pop.r_hat(state.x, state.family // (size // islands), islands),
        }
        return x, {name: values.to(x.dtype) for name, values in figures.items()}

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        return {
            "the draws stand for few independent ones (effective_samples)": (
                info["effective_samples"] * _INFLATION < num_samples
            ),
            "the draws stem from few draws of the prior (families)": info["families"] < _FAMILIES,
            "islands of particles disagree on where the posterior is (island_r_hat)": info["island_r_hat"] > _R_HAT,
            "islands of particles disagree on the evidence (log_evidence_error)": info["log_evidence_error"]
            > _EVIDENCE,
        }
