"""Tempered sequential Monte Carlo: a population moved from the prior to the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.auxiliary import ConditionalDraw, auxiliary_gibbs, check_linear_gaussian
from samplers.base import Info, Sampler, State, per_draw


@dataclass(kw_only=True)
class PopulationState(State):
    """A population at its current temperature.

    Attributes:
        epsilon: The auxiliary noise of each particle, (N, B, *event).
        log_likelihood: log p(y | x) of each particle, (N, B).
        ancestor: The slot in which each particle's line began, (N, B).
        beta: Inverse temperature, (B,).
        levels: Changes of temperature so far, (B,).
        settled: Sweeps made at β = 1, (B,).
        log_evidence: Estimate of log p(y) so far, (B,).
    """

    epsilon: Tensor = per_draw()
    log_likelihood: Tensor = per_draw()
    ancestor: Tensor = per_draw()
    beta: Tensor
    levels: Tensor
    settled: Tensor
    log_evidence: Tensor


@dataclass(frozen=True)
class TemperedSMC(Sampler):
    r"""Posterior draws by tempered sequential Monte Carlo with auxiliary Gibbs sweeps; linear-Gaussian likelihoods.

    Targets \(\pi_\beta(x) \propto p(x) L(x)^\beta\) with β rising from 0 to 1. Each level weights the population by
    \(L^{\Delta\beta}\), with Δβ set so that the effective sample size falls to `ess`, resamples it (systematic), and
    moves it by one sweep of `auxiliary_gibbs`; more sweeps at β = 1 let particles of one line drift apart. Neither a
    prior density nor a gradient through the network is needed. Asymptotically exact in the population, given exact
    draws of p(x0 | z); what those cost in bias, `steps` sets.

    Args:
        population: Particles N; more samples than that come from independent populations, with equal weights, so that
            the bias is that of one population; fewer are a subset, at the cost of all. Unless given, as many as samples
            are wanted, but from 256 to 1,024.
        ess: Effective sample size after each change of temperature, as a fraction of N; larger for more levels.
        final_sweeps: Sweeps at β = 1.
        steps: Network calls a sweep.
        prior_steps: Network calls for the first draws, from the prior.
        exact_denoise: Use the exact draws of an analytic prior, to see what reverse diffusion costs.

    The estimate of log p(y) is as good as the draws of x given z: reverse diffusion can cost it half a nat.

    Reports (in `Samples.info`): beta and ess by step, log_evidence, levels, distinct_ancestors.

    References:
        Del Moral, Doucet & Jasra 2006, Sequential Monte Carlo samplers, JRSS B 68.
    """

    state_type: ClassVar = PopulationState
    population: int | None = None
    ess: float = 0.8
    final_sweeps: int = 10
    steps: int = 6
    prior_steps: int = 30
    exact_denoise: bool = False

    def check(self, problem: Posterior) -> None:
        check_linear_gaussian(self.name, problem)
        if (self.population is not None and self.population < 2) or self.final_sweeps < 1 or not 0 < self.ess < 1:
            raise InvalidValueError(f"TemperedSMC needs population ≥ 2, 0 < ess < 1 and final_sweeps ≥ 1; got {self}")

    def draws_at_once(self, num_samples: int) -> int:
        return min(max(num_samples, 256), 1024) if self.population is None else self.population

    def init(self, problem: Posterior, noise: Noise) -> PopulationState:
        prior, size = problem.prior, len(noise.draws)
        x = prior.exact_sample(size, noise) if self.exact_denoise else prior.sample(size, noise, steps=self.prior_steps)
        zero = x.new_zeros(len(problem))
        return PopulationState(
            x=x,
            epsilon=noise.use("epsilon").normal(problem.event_shape),
            done=zero.bool(),
            progress=zero.clone(),
            log_likelihood=problem.log_likelihood(x),
            ancestor=torch.arange(size, device=x.device)[:, None].repeat(1, len(problem)),
            beta=zero.clone(),
            levels=zero.long(),
            settled=zero.long(),
            log_evidence=zero.clone(),
        )

    def step(self, problem: Posterior, state: State, noise: Noise) -> tuple[State, Info]:
        assert isinstance(state, PopulationState)
        size = len(state.x)
        increment = temperature_increment(state.log_likelihood, state.beta, self.ess * size)
        log_weights = increment * state.log_likelihood
        beta = torch.where(increment >= 1 - state.beta, torch.ones_like(state.beta), state.beta + increment)
        index = systematic(log_weights, noise.use("resample").draw(1).uniform()[0])
        x, epsilon = auxiliary_gibbs(
            problem, take(state.x, index), take(state.epsilon, index), beta, noise.use("sweep"),
            ConditionalDraw(self.steps, self.exact_denoise),
        )  # fmt: skip
        settled = state.settled + (beta >= 1)
        new = PopulationState(
            x=x,
            epsilon=epsilon,
            done=settled >= self.final_sweeps,
            progress=0.8 * beta**0.25 + 0.2 * settled / self.final_sweeps,  # β rises by factors
            log_likelihood=problem.log_likelihood(x),
            ancestor=state.ancestor.gather(0, index),
            beta=beta,
            levels=state.levels + (increment > 0),
            settled=settled,
            log_evidence=state.log_evidence + log_weights.logsumexp(0) - math.log(size),
        )
        return new, {"beta": beta, "ess": effective_sample_size(log_weights) / size}

    def finish(self, problem: Posterior, state: State, noise: Noise) -> tuple[Tensor, Info]:
        assert isinstance(state, PopulationState)
        # Neighbouring slots share ancestors: shuffle, so that the first draws are a fair subset.
        order = noise.use("order").uniform().argsort(0)
        x = take(state.x, order)
        sorted_ancestors = state.ancestor.sort(0).values
        distinct = 1 + (sorted_ancestors[1:] != sorted_ancestors[:-1]).sum(0)
        figures = {"log_evidence": state.log_evidence, "levels": state.levels, "distinct_ancestors": distinct}
        return x, {name: values.to(x.dtype) for name, values in figures.items()}

    def pool(self, name: str, values: Tensor) -> Tensor:
        if name == "log_evidence":  # evidence estimates are unbiased, their logarithms are not
            return values.logsumexp(0) - math.log(len(values))
        return super().pool(name, values)


def take(values: Tensor, index: Tensor) -> Tensor:
    """Particles by index, for each measurement: (N, B, …) by (N, B)."""
    return values.gather(0, expand_right(index, values.ndim - 2).expand_as(values))


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """(Σw)²/Σw² of log-weights (N, B): (B,)."""
    return (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()


def temperature_increment(log_likelihood: Tensor, beta: Tensor, target: float) -> Tensor:
    """Largest Δβ ≤ 1 − β at which weights L^Δβ keep an effective sample size of `target`, (B,), by bisection."""
    high = 1 - beta
    reaches = effective_sample_size(high * log_likelihood) >= target
    low_log, high_log = torch.full_like(high, -60.0), high.log()
    for _ in range(60):  # on a logarithmic scale: early temperatures can be 1e-6 and less
        middle = 0.5 * (low_log + high_log)
        enough = effective_sample_size(middle.exp() * log_likelihood) >= target
        low_log, high_log = torch.where(enough, middle, low_log), torch.where(enough, high_log, middle)
    return torch.where(reaches, high, low_log.exp())


def systematic(log_weights: Tensor, uniform: Tensor) -> Tensor:
    """Systematic resampling of log-weights (N, B) with one uniform each (B,): indices (N, B).

    References:
        Kitagawa 1996, Monte Carlo filter and smoother for non-Gaussian nonlinear state space models, JCGS 5.
    """
    size = len(log_weights)
    cumulative = log_weights.double().softmax(0).cumsum(0).T.contiguous()
    points = (torch.arange(size, dtype=torch.float64, device=uniform.device) + uniform.double()[:, None]) / size
    index = torch.searchsorted(cumulative, points * cumulative[:, -1:]).clamp_max(size - 1).T
    # Equal weights keep every particle where it is, whatever rounding says.
    same = (log_weights == log_weights[0]).all(0)
    return torch.where(same, torch.arange(size, device=index.device)[:, None], index)
