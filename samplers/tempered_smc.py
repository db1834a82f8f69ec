"""Tempered sequential Monte Carlo: a population moved from the prior to the posterior."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from posterior.checks import Range
from posterior.errors import TooLargeWarning, warn_caller
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers import levels
from samplers import population as pop
from samplers.auxiliary_kernel import AuxiliaryKernel, PriorSampling, check_auxiliary
from samplers.base import Sampler
from samplers.curvature import is_linear_gaussian
from samplers.kernel import SMALLEST, Kernel, Move, tuned
from samplers.kinetic_moves import KineticKernel
from samplers.latent.hamiltonian import HamiltonianKernel
from samplers.plan import Calls
from samplers.state import Info
from samplers.tempering import BUDGETS, Budget, PopulationState

_FEWEST = 3  # moves at β = 1, unless a kernel's patience is less
_STEPS = 2  # of a kinetic move, for each network call of a draw of p(x0 | z)
_MOVES = 0.9  # moves accepted before the temperature changes again, on average
# Beyond these the samples are not to be trusted (docs/exactness.md has how often each is right).
_WORTH, _MIXED, _LINEAGES, _FEWEST_LINEAGES, _R_HAT = 0.25, 0.5, 20, 5, 1.1
_PROGRESS = 0.85  # moves at β = 1 end when a kernel's patience has left more of what the inflation exceeds 1 by
_CAVEAT = (
    "the number of levels is foretold from a few samples of the prior, to some 30 %; the "
    "moves at β = 1 are taken to be as many as can be"
)


@dataclass(frozen=True)
class TemperedSMC(Sampler[PopulationState]):
    r"""Posterior draws by tempered sequential Monte Carlo with auxiliary-variable moves, for any likelihood.

    Targets \(\pi_\beta(x) \propto p(x) L(x)^\beta\) with β rising from 0 to 1. It begins with importance weights on
    many draws of the prior. Then each level weights the population by \(L^{\Delta\beta}\), with Δβ set so that the
    conditional effective sample size falls to a given fraction; resamples it (systematic, island by island), for a
    weight that is carried on outlives what the particle has in common with its past; and moves all particles, which at
    β = 1 goes on until those of one ancestor have drifted apart.

    On a score prior a move is `auxiliary_move`: Metropolis–Hastings, with ρ tuned by acceptance, or where the
    likelihood is linear-Gaussian a Gibbs sweep, and at β = 1 a move of `KineticKernel`, which goes much farther. Two of
    small ρ end the run and remove the noise that few network calls leave. Neither a prior density nor a gradient
    through the network is needed. Asymptotically exact in the population, given exact draws of p(x0 | z). On a
    generator the population is of latents z and a move is `hamiltonian_move`, with masses that follow the population's
    spread: asymptotically exact.

    | accuracy | particles, at least | prior samples for each | ESS a level | calls a move | moves at β = 1, at most |
    |---|---|---|---|---|---|
    | fast | 128 | 2 | 70 % | 5 | 10, or 3 kinetic ones of 15 calls |
    | standard | 256 | 4 | 91 % | 6 | 28, or 8 kinetic ones of 18 calls |
    | high | 1,024 | 8 | 95 % | 12 | 100, or 30 kinetic ones of 36 calls |

    Args:
        accuracy: How much to spend.
        population: Particles N, in place of what `accuracy` says; there are never fewer than samples are wanted.
            Samples are a subset, at the cost of all. Four islands (eight from N = 512 on) are resampled apart until
            β = 1, so that they tell whether they agree; a population is rounded up to whole islands.
        exact_denoise: Use the exact draws of an analytic prior, to see what reverse diffusion costs.

    Reports (in `Samples.info`): beta, rho or step_size, calls (where moves differ), acceptance and inflation (variance
    of the population's mean in units of that of independent draws) by step; log_evidence and log_evidence_error (of one
    standard deviation, from the lineages that are left); effective_samples, lineages (of different ancestors) and
    island_r_hat.

    References:
        Del Moral, Doucet & Jasra 2006, Sequential Monte Carlo samplers, JRSS B 68.
        Zhou, Johansen & Aston 2016, Toward automatic model comparison: an adaptive sequential Monte Carlo approach,
        JCGS 25.
    """

    priors: ClassVar = (ScorePrior, GeneratorPrior)
    exact_for: ClassVar = "any posterior, its modes and their weights, as the population grows"
    copies: ClassVar = 14
    state_type: ClassVar = PopulationState
    advice: ClassVar = "take a larger population or accuracy='high'"
    accuracy: Literal["fast", "standard", "high"] = "standard"
    population: Annotated[int, Range(8)] | None = None
    exact_denoise: bool = False

    @property
    def budget(self) -> Budget:
        return BUDGETS[self.accuracy]

    def _most(self, kernel: Kernel) -> int:
        """Moves at β = 1 at the most."""
        return self.budget.final_moves if kernel.refuses else self.budget.final_kinetic

    def _kernel(self, problem: Posterior) -> Kernel:
        budget = self.budget
        if isinstance(problem.prior, GeneratorPrior):
            return HamiltonianKernel(budget.steps)
        sampling = PriorSampling(budget.steps, budget.prior_steps, self.exact_denoise)
        return (
            KineticKernel(sampling, _STEPS * budget.steps) if is_linear_gaussian(problem) else AuxiliaryKernel(sampling)
        )

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if isinstance(problem.prior, ScorePrior):
            check_auxiliary(self.name, problem)

    def draws_at_once(self, num_samples: int) -> int:
        size = max(num_samples, self.population or self.budget.population)
        return -(-size // self.islands(size)) * self.islands(size)

    def together(self, num_samples: int) -> int:
        return self.budget.prior_samples * self.draws_at_once(num_samples)

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        size, target = self.draws_at_once(num_samples), self.target(problem, None)
        _, ahead = self._foretold(target, problem.noise(0, 1).use("init"))
        kernel = self._kernel(target)
        each, budget = kernel.calls, self.budget
        # Where moves can be refused a level waits for about two.
        moves, final = float(ahead.mean()) * (2 if kernel.refuses else 1), self._most(kernel)
        pilots = levels.pilot_calls(problem, self._probes(problem), each.start)
        forward: float = size * (budget.prior_samples * each.start + moves * each.move + final * each.final)
        forward += num_samples * each.finish
        too_large = levels.too_large(problem, ahead, size, self.budget.ess)
        return Calls(pilots + forward, size * (moves + final) * each.move_grad, _CAVEAT, too_large)

    def _probes(self, problem: Posterior) -> bool:
        """Whether levels are foretold with the help of the denoiser."""
        return isinstance(problem.prior, ScorePrior) and not self.exact_denoise

    def _foretold(self, problem: Posterior, noise: Noise) -> tuple[Tensor, Tensor]:
        """What tells how many levels are ahead, see `samplers.levels.spread`, and how many are at the start, (B,)."""
        spread = levels.spread(problem, self._kernel(problem), self._probes(problem), noise)
        first = levels.first_temperature(spread, self.budget.prior_samples)
        return spread, levels.levels_from(spread, first, self.budget.ess)

    @staticmethod
    def islands(size: int) -> int:
        return 4 if size < 512 else 8

    def init(self, problem: Posterior, noise: Noise) -> PopulationState:
        size, islands, kernel = len(noise.draws), self.islands(len(noise.draws)), self._kernel(problem)
        spread, ahead = self._foretold(problem, noise)
        for text in levels.too_large(problem, ahead, size, self.budget.ess):
            warn_caller(f"{self.name}: {text}", TooLargeWarning)
        # Independent samples of the prior, so many that importance weights alone go some way at no loss.
        count = self.budget.prior_samples
        x = kernel.start(problem, count * size, noise.times(count))
        log_likelihood = problem.log_likelihood(x)
        zero = x.new_zeros(len(problem))
        beta = pop.temperature_increment(torch.zeros_like(log_likelihood), log_likelihood, zero, size)
        log_weights = beta * log_likelihood
        uniform = noise.use("start").for_draws(islands).uniform()
        index = pop.systematic_by_island(log_weights, islands, uniform, size)
        return PopulationState(
            x=pop.take(x, index),
            epsilon=noise.use("epsilon").normal(problem.event_shape),
            log_likelihood=pop.take(log_likelihood, index),
            ancestor=pop.ancestors(index),
            done=zero.bool(),
            progress=zero.clone(),
            beta=beta,
            scale=torch.full_like(zero, kernel.first_scale(problem)),
            moves=torch.ones_like(zero),
            final_moves=zero.long(),
            inflation=torch.ones_like(zero),
            compared=torch.full_like(zero, torch.inf),
            log_evidence=pop.island_means(log_weights, islands).T.contiguous(),
            spread=spread,
            levels=ahead,
        )

    def step(self, problem: Posterior, state: PopulationState, noise: Noise) -> tuple[PopulationState, Info]:
        kernel = self._kernel(problem)
        beta, log_weights = self._reweighted(state)
        # Islands are resampled apart until β = 1, then together.
        uniform = noise.use("resample").for_draws(state.log_evidence.shape[1]).uniform()
        together = (state.final_moves == 0) & (beta >= 1)
        index = pop.resampled(log_weights, uniform, together)
        parts = (state.x, state.log_likelihood, state.epsilon, state.ancestor)
        *before, ancestor = (pop.take(v, index) for v in parts)
        if not kernel.refuses:  # else sizes may still be tuned, and the first moves at β = 1 do not tell
            inflation = pop.variance_inflation(before[0], ancestor)
            state = replace(state, compared=torch.where(together, inflation, state.compared))
            # Momenta of their own, with which particles of one ancestor go apart at once.
            fresh = noise.use("momentum").normal(problem.event_shape)
            before[2] = torch.where(expand_right(together, len(problem.event_shape)), fresh, before[2])
        move, size = kernel.move(problem, Move(*before), beta, state.scale, noise.use("move"))
        new = self._diagnosed(state, move, ancestor, beta, log_weights, kernel)
        acceptance = move.accepted.mean(0)
        return new, {"beta": beta, **size, "acceptance": acceptance, "inflation": new.inflation}

    def _reweighted(self, state: PopulationState) -> tuple[Tensor, Tensor]:
        """The next temperature (B,), and logarithms of the weights that it gives, (N, B)."""
        size, islands = len(state.x), state.log_evidence.shape[1]
        apart = state.final_moves == 0  # islands carry weights of their own until β = 1
        log_weights = torch.where(apart, state.log_evidence.T, 0.0).repeat_interleave(size // islands, 0)
        increment = pop.temperature_increment(log_weights, state.log_likelihood, state.beta, self.budget.ess * size)
        beta = torch.where(increment >= 1 - state.beta, torch.ones_like(state.beta), state.beta + increment)
        ready = state.moves >= _MOVES  # or the temperature waits
        increment, beta = torch.where(ready, increment, 0.0), torch.where(ready, beta, state.beta)
        return beta, log_weights + increment * state.log_likelihood

    def _diagnosed(
        self, state: PopulationState, move: Move, ancestor: Tensor, beta: Tensor, log_weights: Tensor, kernel: Kernel
    ) -> PopulationState:
        """The state after a move: the size of the next one, the islands' evidence, and whether to go on."""
        budget, islands, accepted = self.budget, state.log_evidence.shape[1], move.accepted.mean(0)
        final_moves = state.final_moves + (beta >= 1)
        inflation = pop.variance_inflation(move.x, ancestor)
        compare = (final_moves % kernel.patience == 0) & (final_moves > 0)
        stuck = compare & (inflation - 1 > _PROGRESS * (state.compared - 1))
        fewest, most = min(_FEWEST, kernel.patience), self._most(kernel)
        apart_enough = (final_moves >= fewest) & (inflation <= budget.inflation)
        done = (final_moves >= most) | apart_enough | stuck
        log_evidence = pop.island_means(log_weights, islands).T
        few = (final_moves + 1).clamp_min(fewest)  # moves at β = 1 that will do where particles are apart already
        last = torch.where(inflation <= budget.inflation, few, most) - final_moves
        ahead = levels.levels_from(state.spread, beta, budget.ess)
        made = levels.share_made(state.step + 1, state.step + 1 - final_moves, state.levels, ahead, last)
        # Moves that are refused at their smallest are not waited for; lineages then tell that they made no difference.
        counted = torch.where(state.scale > SMALLEST, accepted, 1.0)
        return PopulationState(
            x=move.x,
            epsilon=move.epsilon,
            log_likelihood=move.log_likelihood,
            ancestor=ancestor,
            done=done,
            progress=torch.where(done, 1.0, made.to(state.progress).maximum(state.progress)),
            beta=beta,
            scale=tuned(state.scale, accepted),
            moves=torch.where(state.moves >= _MOVES, 0.0, state.moves) + counted,
            final_moves=final_moves,
            inflation=inflation,
            compared=torch.where(compare, inflation, state.compared),
            log_evidence=torch.where((state.final_moves == 0)[:, None], log_evidence, state.log_evidence),
            spread=state.spread,
            levels=state.levels,
        )

    def finish(self, problem: Posterior, state: PopulationState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        # Neighbouring slots share ancestors: shuffle, so that the first samples are a fair subset.
        order = noise.use("order").uniform().argsort(0)[:num_samples]
        last = Move(*(pop.take(v, order) for v in (state.x, state.log_likelihood, state.epsilon)))
        pilot, kernel = state.x.mean(0), self._kernel(problem)
        x = kernel.finish(problem, last, pilot, state.scale, noise.for_draws(num_samples))
        size, islands = len(state.x), state.log_evidence.shape[1]
        log_evidence = state.log_evidence.logsumexp(1) - math.log(islands)
        figures = {
            "log_evidence": log_evidence,
            "log_evidence_error": pop.log_evidence_variance(state.ancestor).sqrt(),
            # the mean of a subset varies by its own size as well; the inflation is at least 1, if not its estimate
            "effective_samples": 1 / (state.inflation.clamp_min(1) / size + 1 / num_samples - 1 / size),
            "lineages": pop.num_lineages(state.ancestor),
            "island_r_hat": pop.r_hat(state.x, state.ancestor // (size // islands), islands),
        }
        return x, {name: values.to(x.dtype) for name, values in figures.items()}

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        worth = info["effective_samples"] / num_samples  # of an independent sample, each
        # Few lineages are enough where they have mixed, as far as some can tell. That the evidence is uncertain is no
        # fault of the samples: it comes with its error.
        few = (info["lineages"] < _FEWEST_LINEAGES) | ((info["lineages"] < _LINEAGES) & (worth < _MIXED))
        return {
            "the samples stand for few independent ones (effective_samples)": worth < _WORTH,
            "the samples descend from few samples of the prior (lineages)": few,
            "islands of particles disagree on where the posterior is (island_r_hat)": info["island_r_hat"] > _R_HAT,
        }
