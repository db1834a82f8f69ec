"""The latent on its sphere whose image, once measured, is as near as need be (PULSE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from posterior.checks import Count, NonNegative, Positive
from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.problem import LatentPosterior, Posterior
from posterior.shapes import expand_right
from samplers.map.descent import by_adam, lower, value_and_grad
from samplers.map.restarts import Restarted, Search, begin, best, losses_of
from samplers.plan import Calls
from samplers.solver import Found
from samplers.state import Info

_DATA, _CROSS = 100.0, 0.05
_CYCLE = 0.9  # of the steps, in which their size goes up and back


@dataclass(frozen=True)
class PULSE(Restarted[Search]):
    r"""Photo upsampling by latent space exploration: search the sphere of the latent for an image that fits.

    $$ \min_z 100 \max\!\big(\|y - A(G(z))\|^2/m,\ \epsilon\big) + 0.05\,\frac{w}{8 L^2} \sum_{i,j} \theta_{ij}^2,
       \qquad \|z\| = \|z_0\|, \quad \theta_{ij} = 2\operatorname{atan2}(\|z_i - z_j\|, \|z_i + z_j\|) $$

    The second term (GEOCROSS) holds the latents of the L layers together where a generator has one of width w for each,
    `latent_shape` (L, w); there the sphere is that of each layer. Adam steps, each followed by the way back to
    the sphere. Unlike the paper's code, which returns its last iterate, this returns the best.

    Args:
        restarts: Starting points for each measurement, draws of z; that with the smallest loss is kept.
        steps: Gradients of each.
        learning_rate: Adam's step size in the middle of the first nine tenths, at whose ends it is a tenth of that; it
            drops to a thousandth at the end.
        tolerance: ε, the mean squared residual that is small enough, in units of y; `converged` says whether it was
            reached. The paper's 2e-3 is for images in [0, 1].

    References:
        Menon, Damian, Hu, Ravi & Rudin 2020, PULSE: Self-Supervised Photo Upsampling via Latent Space Exploration of
        Generative Models, arXiv:2003.03808.
    """

    steps: Count = 100
    learning_rate: Positive = 0.4
    tolerance: NonNegative = 8e-3

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if not isinstance(problem.likelihood, GaussianLikelihood):
            raise IncompatibleError(
                f"{self.name} weighs squared residuals and takes a GaussianLikelihood, not a "
                f"{type(problem.likelihood).__name__}; CSGM takes any likelihood"
            )

    def misfit(self, problem: Posterior, x: Tensor) -> Tensor:
        """‖y − A(x)‖²/m of images (..., B, *event_shape): (..., B)."""
        entries = torch.as_tensor(problem.operator.num_measured, device=x.device).clamp_min(1)
        return problem.likelihood.squared_residual(x, problem.y) / entries

    def loss(self, problem: Posterior, z: Tensor) -> Tensor:
        """What is minimised, at latents (..., B, *latent_shape): (..., B)."""
        misfit = self.misfit(problem, problem.prior.decode(z)).clamp_min(self.tolerance)
        return _DATA * misfit + _CROSS * geocross(z.reshape(-1, *problem.prior.latent_shape)).view_as(misfit)

    def calls(self, problem: Posterior) -> Calls:
        return Calls(self.restarts * (self.steps + 3), self.restarts * self.steps)

    def init(self, problem: LatentPosterior[Any], noise: Noise) -> Search:
        return begin(self.latents(problem, noise))

    def step(self, problem: LatentPosterior[Any], state: Search, noise: Noise) -> tuple[Search, Info]:
        value, slope = value_and_grad(self.loss, problem, state.h)
        x, lowest = lower(state.h, value, state.x, state.lowest)
        rate = self.learning_rate * one_cycle(state.step, self.steps)
        h, memory = by_adam(state.h, slope, state.memory, state.step, rate)
        h = h * (_length(state.start) / _length(h))
        return state.after(self.steps, x=x, lowest=lowest, h=h, memory=memory), {"loss": value.mT}

    def finish(self, problem: LatentPosterior[Any], state: Search, trace: Info) -> Found:
        (last,) = problem.in_parts(self.loss, state.h)
        z, _ = lower(state.h, last, state.x, state.lowest)
        x = problem.prior.decode(z)
        losses = losses_of(trace, last, *problem.in_parts(self.loss, z))
        return best(x, z, losses, self.misfit(problem, x) <= self.tolerance)


def one_cycle(step: int, steps: int) -> float:
    """Step sizes from a tenth up to 1 and back within nine tenths of the steps, and then down to a thousandth."""
    along = step / (_CYCLE * steps)
    if along < 1:
        return (9 * (1 - abs(2 * along - 1)) + 1) / 10
    return 0.1 + (step / steps - _CYCLE) / (1 - _CYCLE) * (1e-3 - 0.1)


def geocross(z: Tensor) -> Tensor:
    """Mean squared angle between the latents of layers, times an eighth of their width: (N, layers, width) → (N,).

    Zero where there is one latent, (N, width).
    """
    if z.ndim < 3:
        return z.new_zeros(len(z))
    i, j = torch.triu_indices(z.shape[1], z.shape[1], 1, device=z.device)
    a, b = z[:, i].flatten(2), z[:, j].flatten(2)
    angle = 2 * torch.atan2((a - b).norm(dim=2), (a + b).norm(dim=2))
    return z.shape[2] / 8 * 2 / z.shape[1] ** 2 * angle.square().sum(1)


def _length(z: Tensor) -> Tensor:
    """The norm of each latent, over its last axis, broadcastable to z."""
    return expand_right(z.norm(dim=-1), 1)
