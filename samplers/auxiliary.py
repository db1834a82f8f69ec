"""Auxiliary-variable Markov chains: `auxiliary_move` again and again, at the posterior itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from posterior.checks import Count, Several
from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.auxiliary_kernel import auxiliary_move, first_scale, rho_of
from samplers.chains import AuxiliaryChains, AuxiliaryState
from samplers.curvature import Curvature, check_linear_gaussian
from samplers.kernel import Move, tuned
from samplers.plan import Calls
from samplers.state import Info


@dataclass(frozen=True)
class AuxiliaryMH(AuxiliaryChains[AuxiliaryState]):
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

    exact_for: ClassVar = "posteriors of one mode, as chains grow longer"
    state_type: ClassVar = AuxiliaryState
    chains: Count = 8
    burn_in: Several = 100
    thinning: Count = 5

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        start, move = self.sampling.calls
        return Calls(self.chains * (start + self.num_moves(num_samples) * move))

    def init(self, problem: Posterior, noise: Noise) -> AuxiliaryState:
        source = noise.for_draws(self.chains)
        x = self.sampling.sample(problem.prior, self.chains, source)
        zero = x.new_zeros(len(problem))
        return AuxiliaryState(
            x=x,
            kept=x.new_zeros(len(noise.draws), *x.shape[1:]),
            epsilon=source.use("epsilon").normal(problem.event_shape),
            log_likelihood=problem.log_likelihood(x),
            pilot=x.mean(0),
            norm=zero.clone(),
            scale=torch.full_like(zero, first_scale(problem)),
            done=zero.bool(),
            progress=zero.clone(),
        )

    def step(self, problem: Posterior, state: AuxiliaryState, noise: Noise) -> tuple[AuxiliaryState, Info]:
        step, burning, moving = state.step, self.burning(state.step), self.burning(state.step - 1)
        curvature = Curvature(problem, state.pilot, None if moving else state.norm)
        beta = torch.ones_like(state.scale)
        if burning:  # from where the likelihood is as wide as the prior, by equal factors
            temperature = (curvature.norm * problem.prior.sigma_data**2).clamp_min(1.0)
            beta = temperature ** -max(0.0, 1 - 2 * step / self.burn_in)
        rho = rho_of(problem, curvature, beta, state.scale)
        before, source = Move(state.x, state.log_likelihood, state.epsilon), noise.for_draws(self.chains).use("move")
        move = auxiliary_move(problem, before, beta, rho, curvature, self.sampling, source)
        accepted = move.accepted.mean(0)
        self.record(state, move.x)
        new = AuxiliaryState(
            x=move.x,
            kept=state.kept,
            epsilon=move.epsilon,
            log_likelihood=move.log_likelihood,
            pilot=move.x.mean(0) if burning else state.pilot,
            norm=curvature.norm,
            scale=tuned(state.scale, accepted) if burning else state.scale,
            **self.advanced(state),
        )
        return new, {"beta": beta, "rho": rho, "acceptance": accepted}


@dataclass(frozen=True)
class AuxiliaryGibbs(AuxiliaryMH):
    r"""Markov chains of auxiliary-variable Gibbs sweeps, for Gaussian noise on a linear operator.

    `AuxiliaryMH` where every move is accepted: z = x + ρ·noise has the measurement's noise coupled to it, so that the
    x-marginal of p(x, z | y) is p(x | y) for any ρ ≤ σ_y/‖A‖. One sweep has autocorrelation 1/(1 + ρ²/s²) where y says
    nothing and the prior has width s.
    """

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        check_linear_gaussian(self.name, problem, "AuxiliaryMH takes any likelihood")
