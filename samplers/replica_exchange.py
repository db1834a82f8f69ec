"""Replica exchange: chains at several temperatures that swap places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Count, Several
from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.auxiliary_kernel import auxiliary_move, first_scale, rho_of
from samplers.chains import AuxiliaryChains, AuxiliaryState
from samplers.curvature import Curvature
from samplers.kernel import Move, tuned
from samplers.plan import Calls
from samplers.state import Info, per_draw


@dataclass(kw_only=True)
class ReplicaState(AuxiliaryState):
    """The replicas of each chain, from the hottest (β = 0) to the coldest (β = 1), of which `kept` holds draws.

    Where `AuxiliaryState` has (chains, B, …) these have (chains, B, replicas, …); pilot, norm and scale are of all but
    the hottest, (B, replicas − 1, …).

    Attributes:
        rising: Whether what is in a place was at the hottest more recently than at the coldest, as log_likelihood.
        origin: In which place it was before the last swaps, as log_likelihood.
        beta: Inverse temperatures, (B, replicas).
        rejected: Sum of the rejection probabilities between neighbours since they were last used, (B, replicas − 1).
        trips: Round trips from the coldest place to the hottest and back since burn-in, (B,).
    """

    rising: Tensor = per_draw()
    origin: Tensor = per_draw()
    beta: Tensor
    rejected: Tensor
    trips: Tensor


@dataclass(frozen=True)
class ReplicaExchange(AuxiliaryChains[ReplicaState]):
    r"""Parallel tempering with auxiliary-variable moves, for any likelihood: exact in the limit, and modes mix.

    Replica k follows \(p(x) L(x)^{\beta_k}\), 0 = β_0 < … < 1; the hottest draws anew from the prior at every step.
    Neighbours swap with probability \(\min(1, (L(x_j)/L(x_i))^{\beta_i - \beta_j})\), where the prior cancels; even and
    odd pairs take turns, so that replicas travel from one end of the ladder to the other instead of diffusing. During
    burn-in the ladder is moved until all neighbours reject alike.

    Args:
        chains: Independent ladders; the number of samples is a multiple of it.
        replicas: Temperatures of each, the hottest and the coldest among them.
        burn_in: Steps before draws are kept.
        thinning: Steps between two draws that are kept.
        steps: Network calls a move.
        prior_steps: Network calls for a draw from the prior.
        exact_denoise: Use the exact draws of an analytic prior, to see what reverse diffusion costs.

    Reports (in `Samples.info`): acceptance (of the coldest replica's moves) and rejection (of swaps, the mean over
    neighbours) by step; round_trips (from the coldest place to the hottest and back, per chain and step), r_hat (the
    largest over pixels) and effective_samples (the fewest).

    References:
        Syed, Bouchard-Côté, Deligiannidis & Doucet 2022, Non-reversible parallel tempering: a scalable highly parallel
        MCMC scheme, JRSS B 84.
    """

    exact_for: ClassVar = "any posterior, as chains grow longer"
    copies: ClassVar = 28
    state_type: ClassVar = ReplicaState
    chains: Count = 4
    burn_in: Several = 60
    thinning: Count = 2
    replicas: Several = 10

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        start, move = self.sampling.calls
        each = (self.replicas - 1) * move + start
        return Calls(self.chains * (self.replicas * start + self.num_moves(num_samples) * each))

    def together(self, num_samples: int) -> int:
        return self.chains * self.replicas

    def init(self, problem: Posterior, noise: Noise) -> ReplicaState:
        batch, each = len(problem), self.replicas
        source = noise.for_draws(self.chains).split(each)
        many = problem.repeat(each)
        flat = self.sampling.sample(many.prior, self.chains, source)
        x = flat.unflatten(1, (batch, each))
        zero = x.new_zeros(batch)
        each_replica = zero[:, None].repeat(1, each - 1)
        pilot = x[:, :, 1:].mean(0)
        # Equal factors of temperature, from where the likelihood is half as wide again as the prior.
        norm = Curvature(problem, pilot[:, 0]).norm * problem.prior.sigma_data**2
        powers = torch.linspace(1, 0, each - 1, dtype=x.dtype, device=x.device)
        beta = (2.25 * norm.clamp_min(1.0))[:, None] ** -powers if each > 2 else each_replica + 1
        return ReplicaState(
            x=x,
            kept=x.new_zeros(len(noise.draws), batch, *problem.event_shape),
            epsilon=source.use("epsilon").normal(problem.event_shape).unflatten(1, (batch, each)),
            log_likelihood=many.log_likelihood(flat).unflatten(1, (batch, each)),
            rising=torch.zeros(self.chains, batch, each, dtype=torch.bool, device=x.device),
            origin=torch.arange(each, device=x.device).repeat(self.chains, batch, 1),
            pilot=pilot,
            norm=each_replica.clone(),
            beta=torch.cat([zero[:, None], beta], 1),
            scale=torch.full_like(each_replica, first_scale(problem)),
            rejected=each_replica.clone(),
            trips=zero.clone(),
            done=zero.bool(),
            progress=zero.clone(),
        )

    @property
    def places(self) -> int:
        return self.replicas

    def inverse_temperatures(self, state: ReplicaState, info: Info) -> Tensor:
        return state.beta.flatten()

    def step(self, problem: Posterior, state: ReplicaState, noise: Noise) -> tuple[ReplicaState, Info]:
        return self.sweep(problem.repeat(self.replicas), state, noise)

    def sweep(self, many: Posterior, state: ReplicaState, noise: Noise) -> tuple[ReplicaState, Info]:
        step, each, burning = state.step, self.replicas, self.burning(state.step)
        source, batch = noise.for_draws(self.chains), len(many) // each
        move, norm = self._move(many, state, source.split(each).use("move"), self.burning(step - 1))
        x, log_likelihood, epsilon, accepted = move
        beta, rejected = state.beta, state.rejected

        # Deterministic even–odd swaps: place k gives to k + 1 and takes from it.
        gain = log_likelihood[..., 1:] - log_likelihood[..., :-1]
        gain = gain.masked_fill(gain.isnan(), 0.0)  # both are impossible
        probability = gain * (beta[:, :-1] - beta[:, 1:])
        probability = probability.clamp_max(0).exp()
        rejected = rejected + (1 - probability).mean(0)
        turn = (torch.arange(each - 1, device=x.device) + step) % 2 == 0
        swap = turn & (source.use("swap").uniform((each - 1,)) < probability)
        place = torch.arange(each, device=x.device).expand(self.chains, batch, each).clone()
        place[..., :-1] += swap.long()
        place[..., 1:] -= swap.long()
        x, epsilon = (v.gather(2, expand_right(place, v.ndim - 3).expand_as(v)) for v in (x, epsilon))
        log_likelihood, rising = log_likelihood.gather(2, place), state.rising.gather(2, place)

        arrived = rising[..., -1]
        trips = state.trips if burning else state.trips + arrived.to(x.dtype).mean(0)
        rising = rising.clone()
        rising[..., -1], rising[..., 0] = False, True
        if burning and step + 1 in self._adaptations():
            beta = _even_ladder(beta, rejected)
            rejected = torch.zeros_like(rejected)
        self.record(state, x[:, :, -1])
        acceptance = accepted.mean(0)[:, 1:]
        new = ReplicaState(
            x=x,
            kept=state.kept,
            epsilon=epsilon,
            log_likelihood=log_likelihood,
            rising=rising,
            origin=place,
            pilot=x[:, :, 1:].mean(0) if burning else state.pilot,
            norm=norm,
            beta=beta,
            scale=tuned(state.scale, acceptance) if burning else state.scale,
            rejected=rejected,
            trips=trips,
            **self.advanced(state),
        )
        return new, {"acceptance": acceptance[:, -1], "rejection": 1 - probability.mean((0, 2))}

    def finish(self, problem: Posterior, state: ReplicaState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        x, figures = super().finish(problem, state, noise, num_samples)
        return x, {"round_trips": state.trips / (num_samples // self.chains * self.thinning)} | figures

    def _move(self, many: Posterior, state: ReplicaState, noise: Noise, moving: bool) -> tuple[Move, Tensor]:
        """A move of every replica, each entry (chains, B, replicas, …), and the curvature's norm (B, replicas − 1)."""
        place = torch.arange(len(many), device=many.device).unflatten(0, (-1, self.replicas))
        batch, each = len(place), self.replicas - 1
        problem, colder = many.select(place[:, 0]), place[:, 1:].flatten()
        many, own = many.select(colder), noise.select(colder)
        curvature = Curvature(many, state.pilot.flatten(0, 1), None if moving else state.norm.flatten())
        beta = state.beta[:, 1:].flatten()
        rho = rho_of(many, curvature, beta, state.scale.flatten())
        before = Move(*(v[:, :, 1:].flatten(1, 2) for v in (state.x, state.log_likelihood, state.epsilon)))
        moved = auxiliary_move(many, before, beta, rho, curvature, self.sampling, own)
        fresh = self.sampling.sample(problem.prior, self.chains, noise.select(place[:, 0]))
        log_likelihood = problem.log_likelihood(fresh)
        hottest = Move(fresh, log_likelihood, state.epsilon[:, :, 0], torch.ones_like(log_likelihood))
        both = [
            torch.cat([first[:, :, None], others.unflatten(1, (batch, each))], 2)
            for first, others in zip(hottest, moved, strict=True)
        ]
        return Move(*both), curvature.norm.unflatten(0, (batch, each))

    def _adaptations(self) -> list[int]:
        """After how many steps the ladder is moved: intervals double, and the last fills the second half of burn-in."""
        times, time = [], self.burn_in // 2
        while time >= 4:
            times.append(time)
            time //= 2
        return times


def _even_ladder(beta: Tensor, rejected: Tensor) -> Tensor:
    """The ladder (B, K) at which neighbours would reject alike, from the rejections (B, K − 1) between those of now.

    The cumulative rejection, as a function of β, is taken as linear in between in β^¼.
    """
    barrier = torch.cat(
        [torch.zeros_like(rejected[:, :1]), (rejected + 1e-3 * rejected.amax(1, True) + 1e-9).cumsum(1)], 1
    )
    wanted = torch.linspace(0, 1, beta.shape[1], dtype=beta.dtype, device=beta.device) * barrier[:, -1:]
    upper = torch.searchsorted(barrier, wanted.contiguous()).clamp(1, beta.shape[1] - 1)
    low, high = barrier.gather(1, upper - 1), barrier.gather(1, upper)
    root = beta**0.25
    left, right = root.gather(1, upper - 1), root.gather(1, upper)
    new = (left + (right - left) * (wanted - low) / (high - low)) ** 4
    new[:, 0], new[:, -1] = 0.0, 1.0
    return new
