"""Hamiltonian Monte Carlo on the latent of a generator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import TypeVar  # with defaults, which come with Python 3.13

from posterior.checks import Count, Several
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from samplers.chains import ChainSampler, ChainState
from samplers.kernel import Move
from samplers.latent.hamiltonian import hamiltonian_move
from samplers.plan import Calls
from samplers.state import Info

# Dual averaging (Hoffman & Gelman 2014, section 3.2): target acceptance, shrinkage, delay and forgetting.
_ACCEPTANCE, _GAMMA, _DELAY, _FORGETTING = 0.8, 0.05, 10, 0.75
_FIRST = 0.5  # step size
_JITTER = 0.2  # of the step size, up and down, so that no trajectory closes on itself
_WINDOWS = (0.5, 0.65, 0.9)  # parts of the burn-in between which masses are learnt
_PSEUDO = 5  # draws that pull a variance towards where it was


@dataclass(kw_only=True)
class HMCState(ChainState):
    """Chains, and how their steps are tuned.

    Attributes:
        first_temperature: 1/β of the first step, (B,).
        variance: The inverse masses, (B, *latent).
        total, squares: Sums of z and z² over chains and moves since masses were last set, (B, *latent).
        log_step: Logarithm of the step size, (B,).
        average: The average that is used after burn-in, (B,).
        centre: The point towards which it shrinks, (B,).
        shortfall: By how much acceptance has been too low, (B,).
        adapted: Moves since dual averaging began anew, (B,).
    """

    first_temperature: Tensor
    variance: Tensor
    total: Tensor
    squares: Tensor
    log_step: Tensor
    average: Tensor
    centre: Tensor
    shortfall: Tensor
    adapted: Tensor


HMCT = TypeVar("HMCT", bound=HMCState, default=HMCState)


@dataclass(frozen=True)
class HMC(ChainSampler[HMCT]):
    r"""Markov chains on \(p(z \mid y) \propto N(z; 0, I)\,p(y \mid G(z))\) by Hamiltonian moves: exact in the limit.

    Chains start from draws of N(0, I). During burn-in the likelihood is brought in (β rises to 1 over its first half),
    the step size follows from dual averaging, and masses from the spread of all chains in its second half; all are
    then fixed. Chains of one mode seldom reach another: for posteriors with separate modes take `TemperedSMC`.

    Args:
        chains: Chains, started independently; the number of samples is a multiple of it.
        burn_in: Moves of each chain before draws are kept.
        thinning: Moves between two draws that are kept.
        leapfrogs: Steps a move, at a forward and a backward network call each.

    Reports (in `Samples.info`): beta, step_size and acceptance by step; r_hat (the largest over the entries of z) and
    effective_samples (the fewest).

    References:
        Neal 2011, MCMC using Hamiltonian dynamics, arXiv:1206.1901.
        Hoffman & Gelman 2014, The No-U-Turn sampler, JMLR 15, arXiv:1111.4246 (dual averaging).
    """

    priors: ClassVar = (GeneratorPrior,)
    exact_for: ClassVar[str] = "posteriors of one mode of the latent, as chains grow longer"
    state_type: ClassVar[type[Any]] = HMCState
    chains: Count = 4
    burn_in: Several = 300
    thinning: Count = 5
    leapfrogs: Count = 10

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        backward = self.chains * self.num_moves(num_samples) * self.leapfrogs
        likelihoods = self.chains * (1 + self.num_moves(num_samples))
        return Calls(backward + likelihoods + num_samples, backward)  # the last make images of latents

    def init(self, problem: Posterior, noise: Noise) -> HMCT:
        state: HMCT = self.state_type(**self.beginning(problem, noise))
        return state

    def beginning(self, problem: Posterior, noise: Noise) -> dict[str, Any]:
        """The fields of `HMCState` before the first step."""
        z = noise.for_draws(self.chains).normal(problem.event_shape)
        log_likelihood = problem.log_likelihood(z)
        zero, start = z.new_zeros(len(problem)), z.new_full((len(problem),), _FIRST).log()
        return dict(
            x=z,
            kept=z.new_zeros(len(noise.draws), *z.shape[1:]),
            log_likelihood=log_likelihood,
            done=zero.bool(),
            progress=zero.clone(),
            first_temperature=(log_likelihood.amax(0) - log_likelihood.amin(0)).clamp_min(1.0),
            variance=torch.ones_like(z[0]),
            total=torch.zeros_like(z[0]),
            squares=torch.zeros_like(z[0]),
            log_step=start,
            average=start.clone(),
            centre=start.clone(),
            shortfall=zero.clone(),
            adapted=zero.clone(),
        )

    def step(self, problem: Posterior, state: HMCT, noise: Noise) -> tuple[HMCT, Info]:
        step, burning, source = state.step, self.burning(state.step), noise.for_draws(self.chains).use("move")
        beta = state.first_temperature ** -max(0.0, 1 - 2 * step / self.burn_in)
        step_size = (state.log_step if burning else state.average).exp()
        jitter = 1 + _JITTER * (2 * source.use("jitter").uniform() - 1)
        before = Move(state.x, state.log_likelihood)
        move = hamiltonian_move(problem, before, beta, jitter * step_size, state.variance, self.leapfrogs, source)
        accepted = move.accepted.mean(0)
        self.record(state, move.x)
        tuning = self._tuned(state, move.x, accepted, step) if burning else {}
        moved: dict[str, Any] = {"x": move.x, "log_likelihood": move.log_likelihood}
        new = replace(state, **(moved | tuning | self.advanced(state)))
        return new, {"beta": beta, "step_size": step_size, "acceptance": accepted}

    def _tuned(self, state: HMCState, z: Tensor, accepted: Tensor, step: int) -> dict[str, Tensor]:
        adapted = state.adapted + 1
        share = 1 / (adapted + _DELAY)
        shortfall = (1 - share) * state.shortfall + share * (_ACCEPTANCE - accepted)
        log_step = state.centre - adapted.sqrt() / _GAMMA * shortfall
        weight = adapted**-_FORGETTING
        tuning = {
            "adapted": adapted,
            "shortfall": shortfall,
            "log_step": log_step,
            "average": weight * log_step + (1 - weight) * state.average,
            "total": state.total + z.sum(0),
            "squares": state.squares + z.square().sum(0),
        }
        windows = [round(part * self.burn_in) for part in _WINDOWS]
        if step + 1 not in windows:
            return tuning
        length = step + 1 - ([0, *windows])[windows.index(step + 1)]
        if step + 1 > windows[0]:
            count = self.chains * length
            variance = tuning["squares"] / count - (tuning["total"] / count).square()
            tuning["variance"] = (count * variance + _PSEUDO * state.variance) / (count + _PSEUDO)
        anew = ("adapted", "shortfall", "total", "squares")
        return (
            tuning
            | {name: torch.zeros_like(tuning[name]) for name in anew}
            | {"centre": tuning["average"], "log_step": tuning["average"]}
        )
