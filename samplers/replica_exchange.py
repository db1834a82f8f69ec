"""Replica exchange: chains at several temperatures that swap places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.auxiliary import CHAIN_ADVICE, chain_reasons, convergence
from samplers.base import Info, Sampler, State, per_draw
from samplers.curvature import Curvature, is_linear_gaussian
from samplers.kernel import ACCEPTANCE, ConditionalDraw, Move, auxiliary_move, check_auxiliary, largest_rho


@dataclass(kw_only=True)
class ReplicaState(State):
    """The replicas of each chain, from the hottest (β = 0) to the coldest (β = 1).

    Attributes:
        kept: Draws of the coldest replica kept so far, those of one chain one after the other, (S, B, *event); x is
            (chains, B, replicas, *event).
        epsilon: The auxiliary noise of each replica, as x.
        log_likelihood: log p(y | x) of each replica, (chains, B, replicas).
        rising: Whether what is in a place was at the hottest more recently than at the coldest, as log_likelihood.
        pilot: Images at which the curvature is taken, (B, replicas, *event).
        beta: Inverse temperatures, (B, replicas).
        scale: ρ as a fraction of the largest, (B, replicas).
        rejected: Sum of the rejection probabilities between neighbours since they were last used, (B, replicas − 1).
        trips: Round trips from the coldest place to the hottest and back since burn-in, (B,).
    """

    kept: Tensor = per_draw()
    epsilon: Tensor = per_draw()
    log_likelihood: Tensor = per_draw()
    rising: Tensor = per_draw()
    pilot: Tensor
    beta: Tensor
    scale: Tensor
    rejected: Tensor
    trips: Tensor


@dataclass(frozen=True)
class ReplicaExchange(Sampler):
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

    state_type: ClassVar = ReplicaState
    advice: ClassVar = CHAIN_ADVICE
    chains: int = 4
    replicas: int = 10
    burn_in: int = 60
    thinning: int = 2
    steps: int = 8
    prior_steps: int = 20
    exact_denoise: bool = False

    @property
    def num_chains(self) -> int:
        return self.chains

    def check(self, problem: Posterior) -> None:
        check_auxiliary(self.name, problem)
        if self.chains < 1 or self.replicas < 2 or self.burn_in < 2 or self.thinning < 1:
            raise InvalidValueError(
                f"{self.name} needs chains ≥ 1, replicas ≥ 2, burn_in ≥ 2, thinning ≥ 1; got {self}"
            )

    def draws_at_once(self, num_samples: int) -> int:
        if num_samples % self.chains:
            raise InvalidValueError(
                f"{self.name} keeps as many draws of each of its {self.chains} chains: num_samples must be a multiple "
                f"of {self.chains}, not {num_samples}"
            )
        return num_samples

    def init(self, problem: Posterior, noise: Noise) -> ReplicaState:
        size, batch, each = len(noise.draws), len(problem), self.replicas
        source = noise.draw(self.chains).split(each)
        x = self._from_prior(problem, source)
        log_likelihood = self._replicated(problem, each).log_likelihood(x)
        zero = x.new_zeros(batch)
        pilot = x.mean(0).unflatten(0, (batch, each))
        # Equal factors of temperature, from where the likelihood is half as wide again as the prior.
        norm = Curvature(problem, pilot[:, 0]).norm * problem.prior.sigma_data**2
        powers = torch.linspace(1, 0, each - 1, dtype=x.dtype, device=x.device)
        beta = (2.25 * norm.clamp_min(1.0))[:, None] ** -powers
        start = 1.0 if is_linear_gaussian(problem) else 0.3
        return ReplicaState(
            x=x.unflatten(1, (batch, each)),
            kept=x.new_zeros(size, batch, *problem.event_shape),
            epsilon=source.use("epsilon").normal(problem.event_shape).unflatten(1, (batch, each)),
            log_likelihood=log_likelihood.unflatten(1, (batch, each)),
            rising=torch.zeros(self.chains, batch, each, dtype=torch.bool, device=x.device),
            pilot=pilot,
            beta=torch.cat([zero[:, None], beta if each > 2 else torch.ones_like(zero)[:, None]], 1),
            scale=zero[:, None].repeat(1, each) + start,
            rejected=zero[:, None].repeat(1, each - 1),
            trips=zero.clone(),
            done=zero.bool(),
            progress=zero.clone(),
        )

    def step(self, problem: Posterior, state: State, noise: Noise) -> tuple[State, Info]:
        assert isinstance(state, ReplicaState)
        step, batch, each, burning = noise.step, len(problem), self.replicas, noise.step < self.burn_in
        source = noise.draw(self.chains)
        x, epsilon, log_likelihood, accepted = self._move(problem, state, source.split(each).use("move"))
        beta, scale, pilot, rejected = state.beta, state.scale, state.pilot, state.rejected
        if burning:
            scale = (scale * (accepted - ACCEPTANCE).exp()).clamp(1e-3, 1.0)
            pilot = x.mean(0)

        # Deterministic even–odd swaps: place k gives to k + 1 and takes from it.
        probability = (log_likelihood[..., 1:] - log_likelihood[..., :-1]) * (beta[:, :-1] - beta[:, 1:])
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
        kept, total = state.kept, self.burn_in + len(state.kept) // self.chains * self.thinning
        if not burning and (step - self.burn_in + 1) % self.thinning == 0:
            kept = kept.clone()
            kept[(step - self.burn_in) // self.thinning :: len(kept) // self.chains] = x[:, :, -1]
        new = ReplicaState(
            x=x, kept=kept, epsilon=epsilon, log_likelihood=log_likelihood, rising=rising, pilot=pilot, beta=beta,
            scale=scale, rejected=rejected, trips=trips, done=torch.full_like(state.done, step + 1 >= total),
            progress=torch.full_like(state.progress, (step + 1) / total),
        )  # fmt: skip
        return new, {"acceptance": accepted[:, -1], "rejection": 1 - probability.mean((0, 2))}

    def finish(self, problem: Posterior, state: State, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        assert isinstance(state, ReplicaState)
        steps = len(state.kept) // self.chains * self.thinning
        return state.kept, {"round_trips": state.trips / steps} | convergence(state.kept, self.chains)

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        return chain_reasons(info)

    def _move(self, problem: Posterior, state: ReplicaState, noise: Noise) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A move of every replica: x, ε, log L (chains, B, replicas, …) and the mean acceptance (B, replicas)."""
        batch, each = len(problem), self.replicas - 1
        place = torch.arange(batch * self.replicas, device=problem.device).unflatten(0, (batch, -1))
        many, own = self._replicated(problem, each), noise.select(place[:, 1:].flatten())
        curvature = Curvature(many, state.pilot[:, 1:].flatten(0, 1))
        beta = state.beta[:, 1:].flatten()
        rho = state.scale[:, 1:].flatten() * largest_rho(many, curvature, beta)
        x, epsilon, likely = (v[:, :, 1:].flatten(1, 2) for v in (state.x, state.epsilon, state.log_likelihood))
        draw = ConditionalDraw(self.steps, self.exact_denoise)
        moved = auxiliary_move(many, x, epsilon, likely, beta, rho, curvature, own, draw)
        fresh = self._from_prior(problem, noise.select(place[:, 0]))
        likely = problem.log_likelihood(fresh)
        hottest = Move(fresh, state.epsilon[:, :, 0], likely, torch.ones_like(likely))
        x, epsilon, likely, accepted = (
            torch.cat([first[:, :, None], others.unflatten(1, (batch, each))], 2)
            for first, others in zip(hottest, moved, strict=True)
        )
        return x, epsilon, likely, accepted.mean(0)

    def _from_prior(self, problem: Posterior, noise: Noise) -> Tensor:
        prior, size = problem.prior, len(noise.draws)
        return (
            prior.exact_sample(size, noise) if self.exact_denoise else prior.sample(size, noise, steps=self.prior_steps)
        )

    @staticmethod
    def _replicated(problem: Posterior, count: int) -> Posterior:
        return problem.select(torch.arange(len(problem), device=problem.device).repeat_interleave(count))

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
