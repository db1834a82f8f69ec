"""Annealed Langevin dynamics on the latent of a generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from posterior.checks import Count, Range, Several
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.base import Sampler
from samplers.plan import Calls
from samplers.state import Info, State, per_draw

_APART = 1e-2  # distance over which the gradient's change is taken
_FIRST = 8  # power iterations at the start


@dataclass(kw_only=True)
class LangevinState(State):
    """Draws on their way down the levels.

    Attributes:
        direction: The sharpest direction found so far, of length 1, as x.
        curvature: That of −log L along it, (S, B).
        first_temperature: 1/β of the first step, (S, B).
    """

    direction: Tensor = per_draw()
    curvature: Tensor = per_draw()
    first_temperature: Tensor = per_draw()


@dataclass(frozen=True)
class LatentLangevin(Sampler[LangevinState]):
    r"""Annealed Langevin dynamics on \(p(z \mid y) \propto N(z; 0, I)\,p(y \mid G(z))\): biased.

    $$ z \leftarrow z + \alpha(\beta \nabla\log L(z) - z) + \sqrt{2\alpha}\,\xi, \qquad
       \alpha = \frac{a}{1 + \beta\lambda} $$

    β rises to 1 by equal factors, from where the likelihood is as wide as the prior; with Gaussian noise that is
    annealing its level, σ²/β, and where the likelihood dominates α ∝ σ²/β, as in the source. λ, the largest curvature
    of −log L, is found by one power iteration a level, so that the step needs no tuning. No step is rejected, and there
    are never enough of them: sharp directions come out a factor 1/(1 − a/2) too wide in variance, and flat ones keep
    memory of the start. `HMC` and `TemperedSMC` are exact.

    Args:
        levels: Temperatures L.
        steps: Langevin steps at each.
        step_size: a, in (0, 1].

    Reports (in `Samples.info`): beta and step_size (means over draws) by step.

    References:
        Jalal, Karmalkar, Hoffmann, Dimakis & Price 2021, Fairness for image generation with uncertain sensitive
        attributes, arXiv:2106.12182.
        Song & Ermon 2019, Generative modeling by estimating gradients of the data distribution, arXiv:1907.05600.
    """

    priors: ClassVar = (GeneratorPrior,)
    state_type: ClassVar = LangevinState
    levels: Several = 500
    steps: Count = 3
    step_size: Annotated[float, Range(0, 1, "(]")] = 0.2

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        gradients = num_samples * (1 + _FIRST + self.levels * (self.steps + 1))
        return Calls(gradients + num_samples, gradients)

    def init(self, problem: Posterior, noise: Noise) -> LangevinState:
        z = noise.use("latent").normal(problem.event_shape)
        slope, direction = problem.log_likelihood_grad(z), noise.use("direction").normal(problem.event_shape)
        for _ in range(_FIRST):
            direction, curvature = _power_iteration(problem, z, slope, direction)
        zero = z.new_zeros(len(problem))
        return LangevinState(
            x=z,
            done=zero.bool(),
            progress=zero,
            direction=direction,
            curvature=curvature,
            first_temperature=curvature.clamp_min(1.0),
        )

    def step(self, problem: Posterior, state: LangevinState, noise: Noise) -> tuple[LangevinState, Info]:
        dims, total = len(problem.event_shape), self.levels * self.steps
        level, within = divmod(state.step, self.steps)
        beta = state.first_temperature ** -(1 - level / (self.levels - 1))
        z, direction, curvature = state.x, state.direction, state.curvature
        slope = problem.log_likelihood_grad(z)
        if within == 0:
            direction, curvature = _power_iteration(problem, z, slope, direction)
        alpha = self.step_size / (1 + beta * curvature)
        wide = expand_right(alpha, dims)
        z = z + wide * (expand_right(beta, dims) * slope - z)
        z = z + (2 * wide).sqrt() * noise.use("langevin").normal(problem.event_shape)
        new = LangevinState(
            x=z,
            done=torch.full_like(state.done, state.step + 1 >= total),
            progress=torch.full_like(state.progress, (state.step + 1) / total),
            direction=direction,
            curvature=curvature,
            first_temperature=state.first_temperature,
        )
        return new, {"beta": beta.mean(0), "step_size": alpha.mean(0)}


def _power_iteration(problem: Posterior, z: Tensor, slope: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The Hessian of log L on a direction, at z where the slope is known: the next direction, and the curvature."""
    dims = len(problem.event_shape)

    def length(v: Tensor) -> Tensor:
        return v.flatten(-dims).norm(dim=-1).clamp_min(1e-12)

    direction = direction / expand_right(length(direction), dims)
    change = (problem.log_likelihood_grad(z + _APART * direction) - slope) / _APART
    curvature = length(change)
    return change / expand_right(curvature, dims), curvature
