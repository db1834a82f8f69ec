"""Auxiliary-variable Markov chains: `auxiliary_move` again and again, at the posterior itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.diagnostics.convergence import ess_mean, rhat
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.base import Info, Sampler, State, per_draw
from samplers.curvature import Curvature, is_linear_gaussian
from samplers.kernel import ACCEPTANCE, ConditionalDraw, auxiliary_move, check_auxiliary, largest_rho

CHAIN_ADVICE = "take a longer burn_in and more thinning"
_R_HAT, _EFFECTIVE = 1.05, 50  # beyond which draws are not to be trusted (Vehtari et al. 2021 ask for 1.01 and 400)


@dataclass(kw_only=True)
class ChainState(State):
    """Where the chains are, and what has been kept of them.

    Attributes:
        kept: Draws kept so far, those of one chain one after the other, (S, B, *event); x is (chains, B, *event).
        epsilon: The auxiliary noise of each chain, (chains, B, *event).
        log_likelihood: log p(y | x) of each chain, (chains, B).
        pilot: The image at which the curvature is taken, (B, *event).
        scale: ρ as a fraction of the largest, (B,).
    """

    kept: Tensor = per_draw()
    epsilon: Tensor = per_draw()
    log_likelihood: Tensor = per_draw()
    pilot: Tensor
    scale: Tensor


@dataclass(frozen=True)
class AuxiliaryMH(Sampler):
    r"""Markov chains of `auxiliary_move`, for any likelihood: exact in the limit, given exact draws of p(x0 | z).

    Chains start from draws of the prior. During burn-in the likelihood is brought in (β rises to 1 over its first
    half), ρ is tuned towards an acceptance of 65 %, and the pilot of the curvature follows the chains' mean; all are
    then fixed. Chains of one prior mode seldom reach another: for posteriors with separate modes take `TemperedSMC` or
    `ReplicaExchange`.

    Args:
        chains: Chains, started independently; the number of samples is a multiple of it.
        burn_in: Moves of each chain before draws are kept.
        thinning: Moves between two draws that are kept.
        steps: Network calls a move.
        prior_steps: Network calls for the first draws, from the prior.
        exact_denoise: Use the exact draws of an analytic prior, to see what reverse diffusion costs.

    Reports (in `Samples.info`): rho and acceptance by step; r_hat (the largest over pixels) and effective_samples (the
    fewest).
    """

    state_type: ClassVar = ChainState
    advice: ClassVar = CHAIN_ADVICE
    chains: int = 8
    burn_in: int = 100
    thinning: int = 5
    steps: int = 8
    prior_steps: int = 20
    exact_denoise: bool = False

    @property
    def num_chains(self) -> int:
        return self.chains

    def check(self, problem: Posterior) -> None:
        check_auxiliary(self.name, problem)
        if self.chains < 1 or self.burn_in < 2 or self.thinning < 1:
            raise InvalidValueError(f"{self.name} needs chains ≥ 1, burn_in ≥ 2 and thinning ≥ 1; got {self}")

    def draws_at_once(self, num_samples: int) -> int:
        if num_samples % self.chains:
            raise InvalidValueError(
                f"{self.name} keeps as many draws of each of its {self.chains} chains: num_samples must be a multiple "
                f"of {self.chains}, not {num_samples}"
            )
        return num_samples

    def init(self, problem: Posterior, noise: Noise) -> ChainState:
        prior, size, source = problem.prior, len(noise.draws), noise.draw(self.chains)
        x = (
            prior.exact_sample(self.chains, source)
            if self.exact_denoise
            else prior.sample(self.chains, source, steps=self.prior_steps)
        )
        zero = x.new_zeros(len(problem))
        return ChainState(
            x=x,
            kept=x.new_zeros(size, *x.shape[1:]),
            epsilon=source.use("epsilon").normal(problem.event_shape),
            log_likelihood=problem.log_likelihood(x),
            pilot=x.mean(0),
            scale=torch.ones_like(zero) if is_linear_gaussian(problem) else torch.full_like(zero, 0.3),
            done=zero.bool(),
            progress=zero.clone(),
        )

    def step(self, problem: Posterior, state: State, noise: Noise) -> tuple[State, Info]:
        assert isinstance(state, ChainState)
        step, burning = noise.step, noise.step < self.burn_in
        each = len(state.kept) // self.chains
        total = self.burn_in + each * self.thinning
        curvature = Curvature(problem, state.pilot)
        beta = torch.ones_like(state.scale)
        if burning:  # from where the likelihood is as wide as the prior, by equal factors
            cold = (curvature.norm * problem.prior.sigma_data**2).clamp_min(1.0)
            beta = cold ** -max(0.0, 1 - 2 * step / self.burn_in)
        rho = state.scale * largest_rho(problem, curvature, beta)
        move = auxiliary_move(
            problem, state.x, state.epsilon, state.log_likelihood, beta, rho, curvature,
            noise.draw(self.chains).use("move"), ConditionalDraw(self.steps, self.exact_denoise),
        )  # fmt: skip
        accepted = move.accepted.mean(0)
        kept, pilot, scale = state.kept, state.pilot, state.scale
        if burning:
            scale = (scale * (accepted - ACCEPTANCE).exp()).clamp(1e-3, 1.0)
            pilot = move.x.mean(0)
        elif (step - self.burn_in + 1) % self.thinning == 0:
            slot = (step - self.burn_in) // self.thinning
            kept = kept.clone()
            kept[slot::each] = move.x
        new = ChainState(
            x=move.x,
            kept=kept,
            epsilon=move.epsilon,
            log_likelihood=move.log_likelihood,
            pilot=pilot,
            scale=scale,
            done=torch.full_like(state.done, step + 1 >= total),
            progress=torch.full_like(state.progress, (step + 1) / total),
        )
        return new, {"beta": beta, "rho": rho, "acceptance": accepted}

    def finish(self, problem: Posterior, state: State, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        assert isinstance(state, ChainState)
        return state.kept, convergence(state.kept, self.chains)

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        return chain_reasons(info)


@dataclass(frozen=True)
class AuxiliaryGibbs(AuxiliaryMH):
    r"""Markov chains of auxiliary-variable Gibbs sweeps, for Gaussian noise on a linear operator.

    `AuxiliaryMH` where every move is accepted: z = x + ρ·noise has the measurement's noise coupled to it, so that the
    x-marginal of p(x, z | y) is p(x | y) for any ρ ≤ σ_y/‖A‖. One sweep has autocorrelation 1/(1 + ρ²/s²) where y says
    nothing and the prior has width s.
    """

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if not is_linear_gaussian(problem):
            raise IncompatibleError(
                f"{self.name} takes Gaussian noise on a linear operator, not {type(problem.likelihood).__name__} on "
                f"{type(problem.operator).__name__}; AuxiliaryMH takes any likelihood"
            )


def convergence(kept: Tensor, chains: int) -> Info:
    """The largest R-hat and the smallest effective sample size over pixels, of draws (S, B, *event) chain by chain."""
    each = len(kept) // chains
    if each < 4:
        unknown = kept.new_full((kept.shape[1],), float("nan"))
        return {"r_hat": unknown, "effective_samples": unknown}
    draws = kept.unflatten(0, (chains, each)).flatten(3)
    return {
        "r_hat": rhat(draws).nan_to_num(1.0).amax(-1),
        "effective_samples": ess_mean(draws).nan_to_num(float(len(kept))).amin(-1),
    }


def chain_reasons(info: Info) -> dict[str, Tensor]:
    """What R-hat and the effective sample size tell against the draws of chains."""
    return {
        "the chains disagree (r_hat)": info["r_hat"] > _R_HAT,
        "the draws of a chain are much alike (effective_samples)": info["effective_samples"] < _EFFECTIVE,
    }
