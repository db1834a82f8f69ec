"""Annealed underdamped Langevin dynamics on the noisy variable, whose posterior has no smoothing bias."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers import population as pop
from samplers.annealing import BUDGETS, FINE_CALLS, Budget, KineticState
from samplers.auxiliary_kernel import PriorSampling, auxiliary_move, check_auxiliary, fine_rhos, largest_rho
from samplers.baoab import Phase, baoab
from samplers.base import Sampler
from samplers.curvature import Curvature, check_linear_gaussian
from samplers.kernel import Move
from samplers.mode_weights import FRICTION, TRIAL_CALLS, CommonNoise, Dynamics, mode_log_weights, resampled
from samplers.noisy_posterior import SHARE, Problem, evidence_slope, flow, preconditioned, score, tau_squared
from samplers.plan import Calls
from samplers.state import Info

_STEP, _FRICTION = 1.4, 0.12  # h and γ, in units of ρ and 1/ρ: stable below 2, and BAOAB has no error in z on Gaussians
_ABOVE = 3.0  # times the prior's scale: to where evidence is compared, if modes are weighed
_LINEAGES, _SPREAD = 5, 0.8  # beyond which weights of modes are not to be trusted
_FEWEST = 3  # draws of which a change by `verdicts_by_moving` has a standard error that says something
_POPULATION = 96  # chains that are weighed together, where samples are made in several runs


@dataclass(frozen=True)
class KineticLangevin(Sampler[KineticState]):
    r"""Posterior samples by annealed kinetic Langevin dynamics, for Gaussian noise on a linear operator of any size.

    The state is \(z = x + \rho\varepsilon\), with the noise of the measurement coupled to ε, so that its posterior

    $$ \pi_\tau(z) \propto p_\rho(z)\,N(y; Az, \tau^2 I - \rho^2 AA^T), \qquad \rho^2 = \tfrac34\tau^2/\|A\|^2, $$

    has a score that costs one network call, \((D(z, \rho) - z)/\rho^2 + A^T(\tau^2 I - \rho^2 AA^T)^{-1}(y - Az)\), and
    a draw of p(x0 | x0 + ρε = z) makes an exact sample of p(x) N(y; Ax, τ²I) of it. τ falls to σ_y in levels. From one
    to the next z follows a flow, dz/dρ = −ρ∇log π_τ(z) where nothing is measured, by Heun's method, at one call. Far
    above the prior's scale that is all, since steps broaden what has heavy tails and is not measured. At the other
    levels BAOAB steps of length 1.4 ρ with friction 0.12/ρ are taken, a call each, shorter where A measures by
    \(I - \tfrac12 A^T A/\|A\|^2\): one above the prior's scale, several below it and most at the last, since what is
    measured weakly is learnt there. At the end x is drawn, and exact sweeps (`auxiliary_move`) remove what
    discretisation has left, and the last of them, at ρ/8 and ρ/64, the noise that few network calls leave in a draw.

    Chains are independent, one a sample, so that memory is that of one batch and the number of calls does not depend on
    the size of the image. They do not move between modes once these are apart, and have then seen little of y. With
    `modes`, chains are therefore weighed half-way down the last levels, by the evidence of the mode that each is in
    (`mode_log_weights`: trial chains that share their noise, 41 calls a sample), and resampled, unless their weights
    are equal. They are then a population, and the more there are the better.

    Directions that are measured at a twentieth of ‖A‖ or less and in which the prior is broad, sixty times σ_y/‖A‖ and
    more, come out too wide.

    | accuracy | levels of the flow | of one step | of several | steps at each | at the last | sweeps | network calls |
    |---|---|---|---|---|---|---|---|
    | fast | 3 | 1 | 4 | 3 | 22 | 1 | 60 |
    | standard | 15 | 8 | 4 | 11 | 49 | 3 | 159 |
    | high | 15 | 8 | 5 | 25 | 110 | 4 | 301 |

    Args:
        accuracy: How much to spend.
        exact_denoise: Use the exact samples of an analytic prior where x given z is drawn.
        modes: Whether to weigh modes.

    Reports (in `Samples.info`): tau by step; with `modes`, lineages (of different chains) and log_weight_spread (the
    standard deviation of log-weights, in nats, among chains as they are weighed: those without weight do not count).

    References:
        Leimkuhler & Matthews 2013, Rational construction of stochastic numerical methods for molecular sampling,
        Applied Mathematics Research eXpress (BAOAB).
        Titsias & Papaspiliopoulos 2018, Auxiliary gradient-based sampling algorithms, JRSS B 80.
    """

    exact_for: ClassVar = "posteriors of one mode, as steps a level grow; with modes=True, nearly weights of several"
    copies: ClassVar = 13
    state_type: ClassVar = KineticState
    advice: ClassVar = "take accuracy='high', or TemperedSMC where there are few measurements"
    accuracy: Literal["fast", "standard", "high"] = "standard"
    exact_denoise: bool = False
    modes: bool = False

    @property
    def budget(self) -> Budget:
        return BUDGETS[self.accuracy]

    def check(self, problem: Posterior) -> None:
        check_auxiliary(self.name, problem, math.sqrt(SHARE))
        super().check(problem)
        check_linear_gaussian(self.name, problem, "TemperedSMC and AuxiliaryMH take any likelihood")

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        steps = self.budget.moves if self.exact_denoise else self.budget.steps_in_all
        return Calls(num_samples * self._spent(steps))

    def block(self, num_samples: int, at_once: int) -> int:
        return super().block(num_samples, max(at_once, _POPULATION) if self.modes else at_once)

    def init(self, problem: Problem, noise: Noise) -> KineticState:
        rho = self._rho(problem, 0)
        z = noise.use("z").normal(problem.event_shape)
        spread = expand_right((rho**2 + problem.prior.sigma_data**2).sqrt(), len(problem.event_shape))
        zero = torch.zeros(len(problem), dtype=problem.dtype, device=problem.device)
        return KineticState(
            x=problem.prior.mean().to(z) + spread * z,
            momentum=noise.use("momentum").normal(problem.event_shape),
            kick=torch.zeros_like(z),
            log_weights=torch.zeros(noise.lead, dtype=torch.float64, device=z.device),
            ancestor=torch.arange(len(z), device=z.device)[:, None].repeat(1, len(problem)),
            done=zero.bool(),
            progress=zero,
        )

    def step(self, problem: Problem, state: KineticState, noise: Noise) -> tuple[KineticState, Info]:
        budget = self.budget
        total = budget.steps_in_all
        level = budget.level(min(state.step, budget.moves - 1))
        rho = self._rho(problem, level)
        if state.step < budget.flow:
            if state.step == 0:
                state = replace(state, kick=expand_right(rho, len(problem.event_shape)) * score(problem, state.x, rho))
            new = self._flow(problem, state, rho, self._rho(problem, level + 1))
        elif state.step < budget.moves:
            if self.modes and state.step == budget.weighed:
                state = self._weighed(problem, state, self._rho(problem, level - 1), noise.use("modes"))
            if state.step > budget.flow and level > budget.level(state.step - 1):
                state = self._flow(problem, state, self._rho(problem, level - 1), rho)
            new = self._baoab(problem, state, rho, noise)
        elif state.step == budget.moves:
            x = self._sampling.sample_denoised(problem.prior, state.x, rho, noise.use("x"))
            nothing = x.new_zeros(()).expand_as(x)  # of no memory: the sweeps have no momentum
            new = replace(state, x=x, momentum=nothing, kick=nothing)
        else:
            new = replace(state, x=self._sweep(problem, state.x, state.step - budget.moves - 1, noise))
        share = self._spent(state.step + 1) / self._spent(total)
        return replace(new.after(total), progress=torch.full_like(state.progress, share)), {
            "tau": tau_squared(problem, rho).sqrt()
        }

    def finish(self, problem: Problem, state: KineticState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        if not self.modes:
            return state.x[:num_samples], {}
        weights, lineages = state.log_weights.softmax(0), pop.num_lineages(state.ancestor)
        centred = state.log_weights - (weights * state.log_weights).sum(0)
        spread = (weights * centred.square()).sum(0).sqrt()
        return state.x[:num_samples], {
            "lineages": lineages.to(state.x.dtype),
            "log_weight_spread": spread.to(state.x.dtype),
        }

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        alone = torch.full((len(problem),), torch.nan if num_samples < _FEWEST else 0.0, device=problem.device)
        few = {"fewer than three draws cannot tell whether they are of the posterior (num_samples)": alone}
        if not self.modes:
            return few
        fewest = min(_LINEAGES, num_samples / 2)  # of few chains that are all there still nothing was lost
        apart = torch.full_like(info["log_weight_spread"], torch.nan if num_samples < 2 * _LINEAGES else 0.0)
        return few | {
            "fewer than ten chains cannot tell the weights of modes (num_samples)": apart,
            "few chains are left to tell the weights of modes (lineages)": info["lineages"] < fewest,
            "chains of equal weight differ in evidence, so that it does not tell the weights of modes "
            "(log_weight_spread)": info["log_weight_spread"] > _SPREAD,
        }

    @property
    def _sampling(self) -> PriorSampling:
        return PriorSampling(self.budget.denoise_steps, exact=self.exact_denoise)

    def _rho(self, problem: Problem, level: int) -> Tensor:
        """ρ at a level, (B,): from about the largest distance of an image from the mean to √¾ σ_y/‖A‖."""
        budget, prior = self.budget, problem.prior
        std = problem.likelihood.noise_std.to(problem.device, problem.dtype).expand(len(problem))
        last = math.sqrt(SHARE) * std / problem.operator.norm().to(std)
        last = last.clamp(prior.sigma_min, prior.sigma_max)
        widest = math.sqrt(2 * math.prod(prior.event_shape)) * prior.sigma_data
        first = last.new_tensor(min(prior.sigma_max, widest))
        first = torch.maximum(first, last)
        scale = last.new_tensor(prior.sigma_data).clamp(last, first)
        if level < budget.above:
            return first * (scale / first) ** (level / budget.above)
        return scale * (last / scale) ** ((level - budget.above) / (budget.fine - 1))

    def _spent(self, taken: int) -> int:
        """Network calls a sample after so many steps of the run, those of trial chains among them."""
        return self.budget.spent(taken) + TRIAL_CALLS * (self.modes and taken > self.budget.weighed)

    def _weighed(self, problem: Problem, state: KineticState, rho: Tensor, noise: Noise) -> KineticState:
        """Chains resampled by the evidence of their modes, with new momenta; all as they were if weights are equal."""
        last = self._rho(problem, self.budget.above + self.budget.fine - 1)
        top = torch.minimum(last.new_tensor(_ABOVE * problem.prior.sigma_data), self._rho(problem, 0)).maximum(rho)
        dynamics = Dynamics[KineticState](
            step=lambda chain, rho, noise: self._baoab(problem, chain, rho, noise, FRICTION),
            flow=lambda chain, before, after: self._flow(problem, chain, before, after),
            slope=lambda chain, rho: evidence_slope(
                problem, chain.x, chain.kick / expand_right(rho, len(problem.event_shape)), rho
            ),
        )
        trial = replace(state, momentum=CommonNoise.of_source(noise).use("start").normal(problem.event_shape))
        log_weights = mode_log_weights(dynamics, trial, rho, (top, last), noise)
        index = resampled(log_weights, noise.use("resample"))
        moved = expand_right((index != state.ancestor).any(0), len(problem.event_shape))
        fresh = noise.use("momentum").normal(problem.event_shape)
        return replace(
            state,
            x=pop.take(state.x, index),
            kick=pop.take(state.kick, index),
            momentum=torch.where(moved, fresh, state.momentum),
            log_weights=log_weights,
            ancestor=index,
        )

    def _baoab(
        self, problem: Problem, state: KineticState, rho: Tensor, noise: Noise, friction: float = _FRICTION
    ) -> KineticState:
        before = Phase(state.x, state.momentum, state.kick)
        after = baoab(
            before, lambda z: score(problem, z, rho), partial(preconditioned, problem), rho, _STEP, friction, noise
        )
        return replace(state, x=after.z, momentum=after.momentum, kick=after.kick)

    def _flow(self, problem: Problem, state: KineticState, start: Tensor, end: Tensor) -> KineticState:
        """A step of Heun's method along the flow, on which ρ∇log π is constant as D(z, ρ) is.

        Its correction is limited to half of ρ, so that directions in which prior and measurement are both certain
        shrink as ρ does, however far the levels are apart.
        """
        before, after = (expand_right(rho, len(problem.event_shape)) for rho in (start, end))
        ahead = state.x + (before - after) * flow(problem, state.kick)
        kick = after * score(problem, ahead, end)
        correction = 0.5 * torch.minimum(before - after, after) * flow(problem, kick - state.kick)
        return replace(state, x=ahead + correction, kick=kick)

    def _sweep(self, problem: Problem, x: Tensor, number: int, noise: Noise) -> Tensor:
        """An exact Gibbs sweep of fresh noise, at the largest ρ or at the fine ones that follow."""
        curvature, beta = Curvature(problem, x[0]), torch.ones(len(problem), dtype=x.dtype, device=x.device)
        rho, sampling = largest_rho(problem, curvature, beta), self._sampling
        if (fine := number - self.budget.sweeps) >= 0:
            rho = fine_rhos(problem.prior, rho)[fine]
            sampling = replace(sampling, steps=FINE_CALLS)
        epsilon = noise.use("epsilon").normal(problem.event_shape)
        move = Move(x, problem.log_likelihood(x), epsilon)
        return auxiliary_move(problem, move, beta, rho, curvature, sampling, noise.use("sweep")).x
