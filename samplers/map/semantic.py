"""The image of a generator that a classifier takes for a class, and that still looks like a given one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from posterior.checks import Count, NonNegative, Positive
from posterior.errors import IncompatibleError
from posterior.likelihoods import CategoricalLikelihood, JointLikelihood
from posterior.noise import Noise
from posterior.problem import LatentPosterior, Posterior
from samplers.map.descent import by_adam, lower, value_and_grad
from samplers.map.restarts import Restarted, Search, at_rest, begin, best, losses_of
from samplers.plan import Calls
from samplers.solver import Found
from samplers.state import Info


@dataclass(frozen=True)
class SemanticGuidance(Restarted[Search]):
    r"""Semantic guidance, which turns a friend into a frog: x = G(z) near x_1 that a classifier takes for class c.

    $$ \min_z -w\,\log p(c \mid G(z)) - \log p(x_1 \mid G(z)) - \log N(z; 0, I) $$

    The problem is a `JointLikelihood` of a `CategoricalLikelihood`, a classifier's log-odds with the label c, and of
    what is known of the image: with Gaussian noise of std σ on the `Identity` that is a distance, λ‖x_1 − G(z)‖² with
    λ = 1/(2σ²); any other likelihood may be there in its place. A sweep over w goes from the image to the class. At
    w = 1 it is the latent MAP of the problem, whose posterior `TemperedSMC` and `HMC` sample; larger w soon leaves what
    a classifier can judge, for the latent that fools it.

    Args:
        restarts: Starting points for each measurement, draws of z; that with the smallest final loss is kept.
        steps: Gradients of each, by Adam.
        learning_rate: Step size at the start; it falls to 0 along a cosine.
        weight: w.
        tolerance: `converged` says whether the loss changed by less than this, relative to where it ended, over the
            second half of the steps.

    References:
        Daras, Dean, Jalal & Dimakis 2021, Intermediate Layer Optimization for Inverse Problems using Deep Generative
        Models, arXiv:2102.07364.
    """

    steps: Count = 500
    learning_rate: Positive = 0.1
    weight: NonNegative = 1.0
    tolerance: Positive = 1e-3

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        likelihood = problem.likelihood
        parts = likelihood.parts if isinstance(likelihood, JointLikelihood) else []
        if not any(isinstance(part, CategoricalLikelihood) for part in parts):
            raise IncompatibleError(
                f"{self.name} takes a JointLikelihood with a CategoricalLikelihood, the classifier, among its parts, "
                f"not {type(likelihood).__name__}; of a measurement alone CSGM makes an estimate"
            )

    def loss(self, problem: Posterior, z: Tensor) -> Tensor:
        """What is minimised, at latents (..., B, *latent_shape): (..., B)."""
        x, likelihood = problem.prior.decode(z), problem.likelihood
        value = -problem.prior.latent_log_prob(z)
        for part, own in zip(likelihood.parts, likelihood.split(problem.y), strict=True):
            value = value - (self.weight if isinstance(part, CategoricalLikelihood) else 1.0) * part.log_prob(x, own)
        return value

    def calls(self, problem: Posterior) -> Calls:
        return Calls(self.restarts * (self.steps + 2), self.restarts * self.steps)

    def init(self, problem: LatentPosterior[Any], noise: Noise) -> Search:
        return begin(self.latents(problem, noise))

    def step(self, problem: LatentPosterior[Any], state: Search, noise: Noise) -> tuple[Search, Info]:
        value, slope = value_and_grad(self.loss, problem, state.h)
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * state.step / self.steps))
        h, memory = by_adam(state.h, slope, state.memory, state.step, rate)
        x, lowest = lower(state.h, value, state.x, state.lowest)
        return state.after(self.steps, x=x, lowest=lowest, h=h, memory=memory), {"loss": value.mT}

    def finish(self, problem: LatentPosterior[Any], state: Search, trace: Info) -> Found:
        (last,) = problem.in_parts(self.loss, state.h)
        losses = losses_of(trace, last)
        return best(problem.prior.decode(state.h), state.h, losses, at_rest(losses, self.tolerance))
