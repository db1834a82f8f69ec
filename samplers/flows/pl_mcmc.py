"""Projected latent Markov chains: pixels that are known exactly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Count, Positive, Several
from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting
from posterior.priors.flows import FlowPrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.chains import ChainSampler, ChainState
from samplers.plan import Calls
from samplers.state import Info

_ACCEPTANCE, _FIRST, _LEAST = 0.3, 0.2, 1e-3


@dataclass(kw_only=True)
class ProjectedState(ChainState):
    """Chains of z, whose images are still to be projected; log_likelihood is what `PLMCMC` says of them.

    Attributes:
        first_temperature: 1/β of the first step, (B,).
        scale: How far a proposal goes, in (0, 1], (B,).
    """

    first_temperature: Tensor
    scale: Tensor


@dataclass(frozen=True)
class PLMCMC(ChainSampler[ProjectedState]):
    r"""Markov chains on \(p(x_M \mid x_O = y)\), the pixels M not seen given those that are, under a flow's density.

    The state is a latent z with image \(f(z) = (x_M, \tilde x_O)\), of which \(\tilde x_O\) is an auxiliary variable
    with law \(N(y, a^2 I)\); draws are projected, \((x_M, y)\). Proposals are \(\sqrt{1 - s^2}\,z + s\xi\), which leave
    N(0, I) as it is, so that Metropolis' ratio is that of

    $$ \frac{p(x_M, y)\,N(\tilde x_O; y, a^2 I)}{p(x_M, \tilde x_O)}, $$

    where the determinant of f has cancelled. No gradient is needed. The measurement is taken for the pixels
    themselves: with noise it is the posterior of σ_y → 0, and its draws show y, noise and all.

    Args:
        width: a.
        chains: Chains, started independently; the number of samples is a multiple of it.
        burn_in: Moves of each chain before draws are kept; s is tuned, and the ratio brought in over its first half.
        thinning: Moves between two draws that are kept.

    Reports (in `Samples.info`): beta, step_size (s) and acceptance by step; r_hat and effective_samples, of z.

    References:
        Cannella, Soltani & Tarokh 2021, Projected latent Markov chain Monte Carlo: conditional sampling of normalizing
        flows, ICLR, arXiv:2007.06140.
        Cotter, Roberts, Stuart & White 2013, MCMC methods for functions, arXiv:1202.0709 (the proposal).
    """

    priors: ClassVar = (FlowPrior,)
    exact_for: ClassVar = "pixels that are known without noise, in one mode, as chains grow longer"
    state_type: ClassVar = ProjectedState
    width: Positive = 0.1
    chains: Count = 4
    burn_in: Several = 2000
    thinning: Count = 20

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if not (isinstance(problem.likelihood, GaussianLikelihood) and isinstance(problem.operator, Inpainting)):
            raise IncompatibleError(f"{self.name} takes Inpainting with Gaussian noise: it puts y into images")
        low, high = problem.prior.support
        if not bool(((problem.y > low) & (problem.y < high)).all()):
            raise IncompatibleError(
                f"{self.name} takes y for pixels, but it has values beyond ({low:g}, {high:g}), which no image of this "
                "prior has; FlowHMC and ComposedFlow allow for noise"
            )

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        return Calls(3 * self.chains * (1 + self.num_moves(num_samples)) + 3 * num_samples)

    def init(self, problem: Posterior, noise: Noise) -> ProjectedState:
        z = noise.for_draws(self.chains).normal(problem.event_shape)
        log_ratio = self._log_ratio(problem, z)
        zero = z.new_zeros(len(problem))
        return ProjectedState(
            x=z,
            kept=z.new_zeros(len(noise.draws), *z.shape[1:]),
            log_likelihood=log_ratio,
            done=zero.bool(),
            progress=zero.clone(),
            first_temperature=(log_ratio.amax(0) - log_ratio.amin(0)).clamp_min(1.0),
            scale=torch.full_like(zero, _FIRST),
        )

    def step(self, problem: Posterior, state: ProjectedState, noise: Noise) -> tuple[ProjectedState, Info]:
        step, source = state.step, noise.for_draws(self.chains).use("move")
        beta = state.first_temperature ** -max(0.0, 1 - 2 * step / self.burn_in)
        scale, dims = state.scale, len(problem.event_shape)
        wide = expand_right(scale, dims)
        ahead = (1 - wide.square()).sqrt() * state.x + wide * source.use("proposal").normal(problem.event_shape)
        log_ratio = self._log_ratio(problem, ahead)
        accepted = (beta * (log_ratio - state.log_likelihood)).nan_to_num(nan=-torch.inf).clamp_max(0).exp()
        take = source.use("accept").uniform() < accepted
        x = torch.where(expand_right(take, dims), ahead, state.x)
        self.record(state, x)
        rate = accepted.mean(0)
        if self.burning(step):
            scale = (scale * (0.2 * (rate - _ACCEPTANCE)).exp()).clamp(_LEAST, 1.0)
        new = replace(
            state, x=x, log_likelihood=torch.where(take, log_ratio, state.log_likelihood), scale=scale,
            **self.advanced(state),
        )  # fmt: skip
        return new, {"beta": beta, "step_size": state.scale, "acceptance": rate}

    def finish(self, problem: Posterior, state: ProjectedState, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        z, figures = super().finish(problem, state, noise, num_samples)
        return problem.prior.inverse(_projected(problem, problem.prior(z))), figures

    def _log_ratio(self, problem: Posterior, z: Tensor) -> Tensor:
        """The logarithm of the target's density of latents (chains, B, *latent), in units of N(0, I)."""
        image = problem.prior(z)
        seen = _projected(problem, image)
        auxiliary = -0.5 * ((image - seen) / self.width).flatten(2).square().sum(-1)
        return problem.prior.log_prob(seen) - problem.prior.log_prob(image) + auxiliary


def _projected(problem: Posterior, image: Tensor) -> Tensor:
    """Images with the pixels that were measured put in."""
    return image + problem.operator.adjoint(problem.y - problem.operator(image))
