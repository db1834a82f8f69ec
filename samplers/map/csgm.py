"""The image in a generator's range that explains the measurement best (CSGM)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posterior.checks import Count, NonNegative, Positive
from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.problem import LatentPosterior, Posterior
from samplers.map.descent import Optimiser, by_adam, by_lbfgs, by_sgd, lower, value_and_grad
from samplers.map.restarts import Restarted, Search, at_rest, begin, best, losses_of
from samplers.plan import Calls
from samplers.solver import Found
from samplers.state import Info


@dataclass(frozen=True)
class CSGM(Restarted[Search]):
    r"""Compressed sensing with a generative model: x = G(z) for the z that minimises the loss.

    $$ \min_z -\log p(y \mid G(z)) - \log N(z; 0, I) \quad \text{or} \quad
       \min_z \|y - A(G(z))\|^2/m + \lambda\|z\|^2 $$

    The first, the default, is \(-\log p(z \mid y)\) up to a constant: the true MAP of the latent. For Gaussian noise
    it is the second with \(\lambda = \sigma_y^2/m\), in other units, and it takes any other likelihood as well. It is
    not the MAP of x. The answer is an estimate and never a draw of the posterior: keeping the best restart is
    selection. With the operator `Identity` it inverts the generator.

    Args:
        restarts: Starting points for each measurement, draws of z; that with the smallest final loss is kept.
        steps: Gradients of each.
        learning_rate: Step size at the start; that of Adam and SGD falls to 0 along a cosine.
        weight: λ of the second form (m the number of measured entries), or None for the first.
        tolerance: `converged` says whether the loss changed by less than this, relative to where it ended, over the
            second half of the steps.
        optimiser: "adam", "sgd" (momentum 0.9; its step size has to suit the loss) or "lbfgs" (fewer, dearer steps;
            learning_rate 1 is natural).

    References:
        Bora, Jalal, Price & Dimakis 2017, Compressed Sensing using Generative Models, arXiv:1703.03208.
    """

    steps: Count = 1000
    learning_rate: Positive = 0.3
    weight: NonNegative | None = None
    tolerance: Positive = 1e-3
    optimiser: Optimiser = "adam"

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if self.weight is not None and not isinstance(problem.likelihood, GaussianLikelihood):
            raise IncompatibleError(
                f"{self.name}(weight=...) weighs squared residuals and takes a GaussianLikelihood, not a "
                f"{type(problem.likelihood).__name__}; leave weight at None for the latent MAP"
            )

    def loss(self, problem: Posterior, z: Tensor) -> Tensor:
        """What is minimised, at latents (..., B, *latent_shape): (..., B)."""
        prior, likelihood = problem.prior, problem.likelihood
        x = prior.decode(z)
        if self.weight is None:
            return -likelihood.log_prob(x, problem.y) - prior.latent_log_prob(z)
        entries = torch.as_tensor(problem.operator.num_measured, device=z.device).clamp_min(1)
        squares = z.square().flatten(z.ndim - len(prior.latent_shape)).sum(-1)
        return likelihood.squared_residual(x, problem.y) / entries + self.weight * squares

    def calls(self, problem: Posterior) -> Calls:
        caveat = "line searches take more calls forward" if self.optimiser == "lbfgs" else ""
        return Calls(self.restarts * (self.steps + 2), self.restarts * self.steps, caveat)

    def init(self, problem: LatentPosterior[Any], noise: Noise) -> Search:
        return begin(self.latents(problem, noise), self.optimiser)

    def step(self, problem: LatentPosterior[Any], state: Search, noise: Noise) -> tuple[Search, Info]:
        value, slope = value_and_grad(self.loss, problem, state.h)
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * state.step / self.steps))
        if self.optimiser == "adam":
            h, memory = by_adam(state.h, slope, state.memory, state.step, rate)
        elif self.optimiser == "sgd":
            h, memory = by_sgd(state.h, slope, state.memory, rate)
        else:
            h, memory = by_lbfgs(
                lambda z: problem.in_parts(self.loss, z)[0],
                state.h, value, slope, state.memory, state.step, self.learning_rate,
            )  # fmt: skip
        x, lowest = lower(state.h, value, state.x, state.lowest)
        return state.after(self.steps, x=x, lowest=lowest, h=h, memory=memory), {"loss": value.mT}

    def finish(self, problem: LatentPosterior[Any], state: Search, trace: Info) -> Found:
        (last,) = problem.in_parts(self.loss, state.h)
        losses = losses_of(trace, last)
        return best(problem.prior.decode(state.h), state.h, losses, at_rest(losses, self.tolerance))
