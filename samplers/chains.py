"""Markov chains: burn-in, thinning, and how well their draws have converged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, TypeVar

import torch
from torch import Tensor

from posterior.checks import Count, Range, Several
from posterior.convergence import ess_mean, rhat, rhat_limit
from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.auxiliary_kernel import PriorSampling, check_auxiliary
from samplers.base import Sampler
from samplers.curvature import Curvature, is_linear_gaussian
from samplers.state import Info, State, per_draw

_R_HAT, _EFFECTIVE = 1.05, 50  # beyond which draws are not to be trusted (Vehtari et al. 2021 ask for 1.01 and 400)
_ENOUGH = 4 * _EFFECTIVE  # draws of which the smallest of many estimates of an effective number is not low by chance


@dataclass(kw_only=True)
class ChainState(State):
    """Where the chains are, and what has been kept of them.

    Attributes:
        kept: Draws kept so far, those of one chain one after the other, (S, B, *event); x is (chains, B, …).
        log_likelihood: log p(y | x) of each chain, (chains, B, …).
    """

    kept: Tensor = per_draw()
    log_likelihood: Tensor = per_draw()

    def watched(self) -> dict[str, Tensor]:
        density = self.log_likelihood.transpose(0, 1)
        impossible = density == -torch.inf  # which a chain leaves
        return {**super().watched(), "log p(y | x)": density.masked_fill(impossible, 0.0)}


@dataclass(kw_only=True)
class AuxiliaryState(ChainState):
    """Where chains of `auxiliary_move` are.

    Attributes:
        epsilon: The auxiliary noise of each chain, as x.
        pilot: The images at which the curvature is taken, (B, …).
        norm: The curvature's norm there, (B, …).
        scale: ρ as a fraction of the largest, (B, …).
    """

    epsilon: Tensor = per_draw()
    pilot: Tensor
    norm: Tensor
    scale: Tensor


ChainT = TypeVar("ChainT", bound=ChainState)
AuxiliaryT = TypeVar("AuxiliaryT", bound=AuxiliaryState)


@dataclass(frozen=True)
class ChainSampler(Sampler[ChainT]):
    """Markov chains, of which every `thinning`-th state after `burn_in` is kept.

    Reports (in `Samples.info`): r_hat, the largest over the entries of an image, and r_hat_limit, which that of chains
    of one law exceeds once in a hundred runs (`rhat_limit`); effective_samples, the smallest over the entries. All are
    NaN for chains of fewer than four draws.

    Subclasses define `init` and `step`, and what the fields' defaults are.
    """

    advice: ClassVar = "take a longer burn_in and more thinning"
    chains: Count
    burn_in: Several
    thinning: Count

    @property
    def num_chains(self) -> int:
        return self.chains

    def draws_at_once(self, num_samples: int) -> int:
        if num_samples % self.chains:
            raise InvalidValueError(
                f"{self.name} keeps as many draws of each of its {self.chains} chains: num_samples must be a multiple "
                f"of {self.chains}, not {num_samples}"
            )
        return num_samples

    def together(self, num_samples: int) -> int:
        return self.chains

    def num_moves(self, num_samples: int) -> int:
        """Moves of a chain, those of the burn-in among them, for so many samples of all."""
        return self.burn_in + self.draws_at_once(num_samples) // self.chains * self.thinning

    def finish(self, problem: Posterior, state: ChainT, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        return state.kept, self.convergence(state.kept.flatten(2))

    def convergence(self, draws: Tensor) -> Info:
        """What tells how well draws (S, B, n) of n numbers have converged, those of a chain one after the other."""
        by_chain = draws.unflatten(0, (self.chains, -1))
        if by_chain.shape[1] < 4:
            unknown = draws.new_full(draws.shape[1:2], float("nan"))
            return {"r_hat": unknown, "r_hat_limit": unknown, "effective_samples": unknown}
        stuck = (by_chain == by_chain[:, :1]).all(1).all(-1).any(0)  # a chain that never moved is worth a draw
        effective = ess_mean(by_chain).nan_to_num(float(len(draws))).amin(-1)
        return {
            "r_hat": rhat(by_chain).nan_to_num(1.0).amax(-1),
            "r_hat_limit": torch.stack([rhat_limit(one) for one in by_chain.unbind(2)]).to(draws),
            "effective_samples": torch.where(stuck, effective.clamp_max(float(self.chains)), effective),
        }

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        unknown = torch.where(info["r_hat"].isnan(), torch.nan, 0.0)
        few = (info["effective_samples"] < _EFFECTIVE).to(unknown)
        return {
            "fewer than four draws of a chain cannot tell whether the chains have converged": unknown,
            "the chains disagree (r_hat)": info["r_hat"] > info["r_hat_limit"].clamp_min(_R_HAT),
            "the draws are worth few independent ones (effective_samples)": (
                few if num_samples >= _ENOUGH else few.where(few == 0, torch.nan)
            ),
        }

    @property
    def places(self) -> int:
        """At how many temperatures each chain is."""
        return 1

    def sweep(self, many: Posterior, state: ChainT, noise: Noise) -> tuple[ChainT, Info]:
        """`step`, with a problem of `places` copies of each measurement, which may differ in the likelihood."""
        return self.step(many, state, noise)

    def inverse_temperatures(self, state: ChainT, info: Info) -> Tensor:
        """The β of each copy of a measurement after a sweep, which reported `info`: (B,)."""
        return info["beta"]

    def reweighed(self, many: Posterior, state: ChainT, log_likelihood: Tensor) -> ChainT:
        """The state of one chain for a sweep with other likelihoods than the last.

        Args:
            many: The problem of the sweep to come.
            state: After the last.
            log_likelihood: Of x under the likelihoods to come, (1, B).
        """
        return replace(state, log_likelihood=log_likelihood.view_as(state.log_likelihood))

    def burning(self, step: int) -> bool:
        """Whether a step, counted from 0, is of the burn-in."""
        return step < self.burn_in

    def record(self, state: ChainState, x: Tensor) -> None:
        """Keep x (chains, B, *event), where this step's chains have come to, if its draws are to be kept."""
        slot, rest = divmod(state.step - self.burn_in + 1, self.thinning)
        if state.step >= self.burn_in and rest == 0:
            state.kept[slot - 1 :: len(state.kept) // self.chains] = x

    def advanced(self, state: ChainState) -> dict[str, Any]:
        """The fields `done` and `progress` after this step."""
        taken, total = state.step + 1, self.num_moves(len(state.kept))
        return {
            "done": torch.full_like(state.done, taken >= total),
            "progress": torch.full_like(state.progress, taken / total),
        }


@dataclass(frozen=True)
class AuxiliaryChains(ChainSampler[AuxiliaryT]):
    """Chains of `auxiliary_move`, on a score prior."""

    steps: Annotated[int, Range(3)] = 8
    prior_steps: Several = 20
    exact_denoise: bool = False

    @property
    def sampling(self) -> PriorSampling:
        """How the prior is sampled."""
        return PriorSampling(self.steps, self.prior_steps, self.exact_denoise)

    def check(self, problem: Posterior) -> None:
        check_auxiliary(self.name, problem)
        super().check(problem)

    def reweighed(self, many: Posterior, state: AuxiliaryT, log_likelihood: Tensor) -> AuxiliaryT:
        state = super().reweighed(many, state, log_likelihood)
        if is_linear_gaussian(many):  # the curvature takes no pilot, and its norm is known
            return state
        pilot = state.pilot.reshape(-1, *many.event_shape)
        index = torch.arange(len(many), device=many.device).unflatten(0, (-1, self.places))
        colder = index[:, -(len(pilot) // len(index)) :].flatten()  # at β = 0 there is no curvature
        return replace(state, norm=Curvature(many.select(colder), pilot).norm.view_as(state.norm))
