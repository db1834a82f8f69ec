"""Block Gibbs sampling: images, and in turn with them what is not known exactly of their measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass, replace
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.likelihoods import InverseGamma, ParameterPrior
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from samplers.auxiliary import AuxiliaryGibbs, AuxiliaryMH
from samplers.base import Sampler
from samplers.chains import ChainSampler, ChainState
from samplers.latent.hmc import HMC
from samplers.parameter_moves import ACCEPTANCE, at_parameters, first_parameters, moved_parameters, reachable
from samplers.plan import Calls
from samplers.replica_exchange import ReplicaExchange
from samplers.state import Info, per_draw

_INNER = (AuxiliaryGibbs, AuxiliaryMH, ReplicaExchange, HMC)
_CHAINS = 4  # at least, of which R-hat tells whether they agree
_FIRST_STEP, _STEPS = 0.3, (1e-4, 3.0)  # of log θ


@dataclass(frozen=True)
class BlockGibbs(Sampler[Any]):
    r"""Markov chains on \(p(x, \theta \mid y)\), θ parameters of the likelihood such as noise level or blur width.

    Each chain has its own θ, which begins as a draw of its prior. A sweep is one of the inner sampler's, which leaves
    \(p(x \mid y, \theta)\) as it is, its ρ and ‖A‖ those of θ, and then one of θ given x:

    $$ \sigma_y^2 \mid x, y \sim \text{InvGamma}\big(\tfrac{\nu + m}{2},\ \tfrac{\nu s^2 + \|y - A(x)\|^2}{2}\big) $$

    for the noise level of Gaussian noise with the prior `InverseGamma`, and for all else random-walk Metropolis steps
    of log θ on \(p(\theta)\,p(y \mid x, \theta)\), at no network call, tuned during burn-in. Where the inner sampler
    tempers, \(p(y \mid x, \theta)^\beta\) takes the likelihood's place in both, and replicas swap x and θ together. A θ
    at which the prior's smallest noise level would be too large has probability 0.

    A parameter that x can make up for, such as the width of a blur, moves as slowly as x follows it: over a hundred
    sweeps where noise is small. R-hat tells; more burn-in and thinning help, and so do the replicas of
    `ReplicaExchange`.

    Args:
        inner: `AuxiliaryGibbs`, `AuxiliaryMH`, `ReplicaExchange` or `HMC`, of four chains or more; burn-in and thinning
            are its own.
        parameters: The priors of parameters, by their names in the likelihood or in its operators; that of a noise
            level of about 0.1, unless given.

    Samples of parameters are in `Samples.parameters`, (S, B) each. Reports (in `Samples.info`): what the inner sampler
    reports of each step; r_hat (the largest over pixels and parameters) and effective_samples (the fewest), and of each
    parameter its r_hat_…, mean_… and std_….

    Raises:
        InvalidValueError: The inner sampler is another, or of fewer chains; or parameters have no prior.
    """

    priors: ClassVar = (ScorePrior, GeneratorPrior)
    exact_for: ClassVar = "images together with a noise level, or else, that is not known; as the inner sampler is"
    copies: ClassVar = 28
    advice: ClassVar = ChainSampler.advice
    inner: ChainSampler[Any] = AuxiliaryGibbs()
    parameters: Mapping[str, ParameterPrior] = field(default_factory=lambda: {"noise_std": InverseGamma(0.1, 1.0)})

    def __post_init__(self) -> None:
        kind = type(self.inner)
        if kind not in _INNER:
            known = ", ".join(one.__name__ for one in _INNER)
            raise InvalidValueError(
                f"BlockGibbs needs inner to leave p(x | y, θ) as it is, as {known} do, not {kind.__name__}: take "
                "AuxiliaryMH, ReplicaExchange where there are modes, HMC for generators"
            )
        super().__post_init__()
        if self.inner.chains < _CHAINS:
            raise InvalidValueError(
                f"BlockGibbs needs inner to have at least {_CHAINS} chains, to tell whether they agree on θ"
            )
        object.__setattr__(self, "priors", kind.priors)  # of the class: those of any inner sampler
        if not self.parameters:
            raise InvalidValueError(f"BlockGibbs needs parameters with priors; without any take {kind.__name__} alone")
        for name, prior in self.parameters.items():
            if not isinstance(prior, ParameterPrior):
                raise InvalidValueError(
                    f"parameters of BlockGibbs: the prior of {name} must be a ParameterPrior; got {prior!r}"
                )

    @property
    def state_type(self) -> type[Any]:  # type: ignore[override]
        """The inner sampler's, with parameters."""
        return _block_state(self.inner.state_type)  # type: ignore[arg-type]

    @property
    def num_chains(self) -> int:
        return self.inner.chains

    def check(self, problem: Posterior) -> None:
        self.inner.check(problem.with_parameters(**self._centres()))

    def draws_at_once(self, num_samples: int) -> int:
        return self.inner.draws_at_once(num_samples)

    def together(self, num_samples: int) -> int:
        return self.inner.together(num_samples)

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        calls = self.inner.calls(problem, num_samples)
        images = self.inner.chains * (1 + self.inner.num_moves(num_samples))  # of latents, for θ
        return calls._replace(forward=calls.forward + images) if isinstance(problem.prior, GeneratorPrior) else calls

    def init(self, problem: Posterior, noise: Noise) -> Any:
        chains, shape = self.inner.chains, (len(problem), self.inner.chains, self.inner.places, len(self.parameters))
        begun: ChainState = self.inner.init(problem.with_parameters(**self._centres()), noise)
        own: dict[str, Any] = {}
        for name, values, axis in begun.items():
            if axis == 1:  # (S, B, …), one chain after the other, to (S/chains, B, chains, …)
                own[name] = values.unflatten(0, (chains, -1)).movedim(0, 2).contiguous()
            elif name not in ("done", "progress"):
                own[name] = values.unsqueeze(1).repeat_interleave(chains, 1)
        many = self._many(problem)
        usual = torch.tensor(list(self._centres().values())).to(begun.x).expand(len(many), -1)
        drawn = first_parameters(self.parameters, self._source(noise).use("parameters")).to(begun.x)
        possible = reachable(at_parameters(many, self.parameters, drawn))[:, None]
        theta = torch.where(possible, drawn, usual).reshape(shape)
        state = self.state_type(
            **own, done=begun.done, progress=begun.progress, theta=theta, walk=torch.full_like(theta, _FIRST_STEP),
            kept_theta=theta.new_zeros(*own["kept"].shape[:3], shape[-1]),
        )  # fmt: skip
        rows = self._rows(state)
        return self._with_likelihoods(many, state, rows, self._images(many, rows), theta)

    def step(self, problem: Posterior, state: Any, noise: Noise) -> tuple[Any, Info]:
        one, burning = replace(self.inner, chains=1), self.inner.burning(state.step)
        many = self._many(problem)
        rows, info = one.sweep(
            self._at(many, state.theta), self._rows(state), noise.for_draws(1).split(self.inner.chains).use("images")
        )
        theta, walk = state.theta, state.walk
        if self.inner.places > 1:  # replicas have swapped
            origin = rows.origin[0].unflatten(0, theta.shape[:2])[..., None].expand_as(theta)
            theta = theta.gather(2, origin)
        images, beta = self._images(many, rows), one.inverse_temperatures(rows, info)
        moved, accepted = moved_parameters(
            many, self.parameters, images, theta.flatten(0, 2), walk.flatten(0, 2), beta,
            self._source(noise).use("parameters"),
        )  # fmt: skip
        theta = moved.reshape(theta.shape)
        if burning:
            walk = (walk * (accepted.reshape(walk.shape) - ACCEPTANCE).exp()).clamp(*_STEPS)
        slot, rest = divmod(state.step - self.inner.burn_in + 1, self.inner.thinning)
        if not burning and rest == 0:
            state.kept_theta[slot - 1] = theta[:, :, -1]
        new = self._with_likelihoods(many, replace(state, walk=walk), rows, images, theta)
        return new, {name: values.unflatten(0, theta.shape[:2]).mean(1) for name, values in info.items()}

    def finish(self, problem: Posterior, state: Any, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        x, theta = self._in_chains(state.kept), self._in_chains(state.kept_theta)
        each: Info = {}
        for name, values in self.parameters_of(state).items():
            each[f"r_hat_{name}"] = self.inner.convergence(values[..., None])["r_hat"]
            each |= {f"mean_{name}": values.mean(0), f"std_{name}": values.std(0)}
        return x, self.inner.convergence(torch.cat([x.flatten(2), theta], 2)) | each

    def parameters_of(self, state: Any) -> dict[str, Tensor]:
        return dict(zip(self.parameters, self._in_chains(state.kept_theta).unbind(-1), strict=True))

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        return self.inner.reasons(problem, info, num_samples)

    def _centres(self) -> dict[str, float]:
        return {name: prior.centre for name, prior in self.parameters.items()}

    def _source(self, noise: Noise) -> Noise:
        """Noise for each place of each chain of each measurement."""
        return noise.for_draws(1).split(self.inner.chains).split(self.inner.places)

    def _many(self, problem: Posterior) -> Posterior:
        """A copy of each measurement for each place of each chain."""
        return problem.repeat(self.inner.chains * self.inner.places)

    def _at(self, many: Posterior, theta: Tensor) -> Posterior:
        """The problem of all places at their parameters (…, P)."""
        return at_parameters(many, self.parameters, theta.reshape(len(many), -1))

    def _in_chains(self, kept: Tensor) -> Tensor:
        """What was kept, (S/chains, B, chains, …), as draws of one chain after the other, (S, B, …)."""
        return kept.movedim(2, 0).flatten(0, 1)

    def _rows(self, state: Any) -> Any:
        """The inner sampler's state, with each chain a measurement of its own."""
        names = {one.name for one in fields(self.inner.state_type)}
        own = {name: v.flatten(axis, axis + 1) for name, v, axis in state.items() if name in names and v.ndim > 1}
        ends = {name: getattr(state, name).repeat_interleave(self.inner.chains) for name in ("done", "progress")}
        return self.inner.state_type(**own | ends, step=state.step)

    @staticmethod
    def _images(many: Posterior, rows: Any) -> Tensor:
        """What the likelihoods of all places are functions of, (1, B, …)."""
        return many.images(rows.x.reshape(1, len(many), *many.event_shape))

    def _with_likelihoods(self, many: Posterior, state: Any, rows: Any, images: Tensor, theta: Tensor) -> Any:
        """The state with the inner sampler's of `rows`, for a sweep at these parameters."""
        here = self._at(many, theta)
        log_likelihood = here.likelihood.log_prob(images, here.y)
        rows = replace(self.inner, chains=1).reweighed(here, rows, log_likelihood)
        chains = theta.shape[:2]
        own = {name: v.unflatten(axis, chains) for name, v, axis in rows.items() if name not in ("done", "progress")}
        ends = {name: getattr(rows, name)[:: chains[1]] for name in ("done", "progress")}
        return replace(state, **own | ends, theta=theta)


@cache
def _block_state(inner: type[ChainState]) -> type[Any]:
    """The states of `BlockGibbs`: an inner sampler's, of which each chain has its own tuning, and parameters.

    What the inner sampler has for each draw has shape (n, B, chains, …), all else (B, chains, …). `theta` and `walk`,
    the steps of log θ, are (B, chains, places, P), and `kept_theta` is (S/chains, B, chains, P).
    """
    own: list[Any] = [("theta", Tensor), ("walk", Tensor), ("kept_theta", Tensor, per_draw())]
    return make_dataclass("BlockState", own, bases=(inner,), kw_only=True)
