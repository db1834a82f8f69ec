"""Hamiltonian Monte Carlo on the latent of a flow, straightened by a composed flow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Count, Several
from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.priors.flows import FlowPrior
from posterior.problem import LatentPosterior, Posterior
from samplers.flows.composed_flow import ComposedFlow, ComposedState, log_standard
from samplers.latent.hmc import HMC, HMCState
from samplers.plan import Calls
from samplers.state import Info, per_draw


@dataclass(kw_only=True)
class FlowHMCState(HMCState):
    """Chains of ε, and the pre-generators that make latents of them.

    Attributes:
        batch: Latents that the pre-generators were last trained on, (n, B, *latent).
        training_temperature: 1/β of the first step of their training, (B,).
        parameters, first, second: Of the pre-generators, see `ComposedState`.
    """

    batch: Tensor = per_draw()
    training_temperature: Tensor
    parameters: Tensor
    first: Tensor
    second: Tensor


@dataclass(frozen=True)
class FlowHMC(HMC[FlowHMCState]):
    r"""Markov chains on \(p(z \mid y) \propto N(z; 0, I)\,p(y \mid f(z))\) of a flow, z = f̂(ε), by moves of ε.

    First a pre-generator f̂ is trained as by `ComposedFlow`; then `HMC` runs on the density of ε that makes z that of
    the posterior,

    $$ N(\hat f(\varepsilon); 0, I)\,p(y \mid f(\hat f(\varepsilon)))\,|\det\partial\hat f/\partial\varepsilon|, $$

    which is nearly N(0, I) where f̂ is good; whatever f̂ is, the chains are exact in the limit. Of `HMC`, which takes
    flows too and needs no training, it has the tuning; with one leapfrog step either is MALA.

    Args:
        transport: How f̂ is trained.
        chains, burn_in, thinning, leapfrogs: As in `HMC`.

    Reports (in `Samples.info`): beta, entropy and limited (as `ComposedFlow`), step_size and acceptance by step, NaN
    where there is none; r_hat and effective_samples, of ε.

    References:
        Hoffman, Sountsov, Dillon, Langmore, Tran & Vasudevan 2019, NeuTra-lizing bad geometry in Hamiltonian Monte
        Carlo using neural transport, arXiv:1903.03704.
        Lindgren, Whang & Dimakis 2020, arXiv:2002.11743 (the composed flow).
    """

    priors: ClassVar = (FlowPrior,)
    state_type: ClassVar = FlowHMCState
    transport: ComposedFlow = ComposedFlow()
    burn_in: Several = 150
    thinning: Count = 4
    leapfrogs: Count = 4

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        training, moving = self.transport.training_calls(), super().calls(problem, num_samples)
        forward = training.forward + self.chains + moving.forward
        return Calls(forward, training.backward + moving.backward)

    def together(self, num_samples: int) -> int:
        return max(self.chains, self.transport.batch)

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        self.transport.check(problem)

    def init(self, problem: Posterior, noise: Noise) -> FlowHMCState:
        flow = self.transport.init(problem, noise.use("transport"))
        chains = self.beginning(problem, noise)  # for its shapes: chains begin once f̂ is there
        return FlowHMCState(
            **chains, batch=flow.x, training_temperature=flow.first_temperature, parameters=flow.parameters,
            first=flow.first, second=flow.second,
        )  # fmt: skip

    def step(self, problem: Posterior, state: FlowHMCState, noise: Noise) -> tuple[FlowHMCState, Info]:
        trained, training = self.transport.steps, self.transport.training_calls().backward
        share = training / (training + super().calls(problem, len(state.kept)).backward)  # of the whole run's work
        unknown = torch.full_like(state.first_temperature, torch.nan)
        if state.step < trained:
            flow, info = self.transport.step(problem, self._flow(state), noise.use("transport"))
            new = replace(
                state, batch=flow.x, parameters=flow.parameters, first=flow.first, second=flow.second,
                progress=share * flow.progress,
            )  # fmt: skip
            return new, info | {"step_size": unknown, "acceptance": unknown}
        seen = TransportedPosterior(problem, self.transport, state.parameters)
        if state.step == trained:
            state = replace(state, **(self.beginning(seen, noise.use("start")) | {"kept": state.kept}))
        moved, info = super().step(seen, replace(state, step=state.step - trained), noise.at(state.step - trained))
        return replace(moved, progress=share + (1 - share) * moved.progress), info | {
            "entropy": unknown,
            "limited": unknown,
        }

    def finish(self, problem: Posterior, state: FlowHMCState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        epsilon, figures = super().finish(problem, state, noise, num_samples)
        z, _ = self.transport.composed(problem, state.parameters, epsilon)
        return self.transport.latents(problem, z), figures

    def _flow(self, state: FlowHMCState) -> ComposedState:
        return ComposedState(
            x=state.batch, step=state.step, done=state.done, progress=state.progress, parameters=state.parameters,
            first=state.first, second=state.second, first_temperature=state.training_temperature,
        )  # fmt: skip


class TransportedPosterior(LatentPosterior[Likelihood]):
    """The posterior of ε, with N(0, I) as its prior and the rest of its density as the likelihood.

    Args:
        problem: The posterior of latents f̂(ε).
        flow: What f̂ is.
        parameters: Those of f̂, (B, P).
    """

    def __init__(self, problem: Posterior, flow: ComposedFlow, parameters: Tensor) -> None:
        super().__init__(problem)
        self.problem, self.flow, self.parameters = problem, flow, parameters

    def log_likelihood(self, x: Tensor) -> Tensor:
        """What the density of ε (S, B, *latent) is, in units of N(0, I): its logarithm, (S, B)."""
        z, log_det = self.flow.composed(self.problem, self.parameters, x)
        return self.flow.log_target(self.problem, z) + log_det - log_standard(x)

    def log_likelihood_grad(self, x: Tensor) -> Tensor:
        """Its gradient in ε, of the same shape."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            z, log_det = self.flow.composed(self.problem, self.parameters, x)
            one = z.new_ones(len(self.problem))
            slope = self.flow.target_grad(self.problem, z.detach(), one)
            value = (slope * z).sum() + log_det.sum() - log_standard(x).sum()
        return torch.autograd.grad(value, x)[0]
