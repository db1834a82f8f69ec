"""The image in a generator's range that explains most of the measurements (robust CSGM)."""

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
from samplers.map.descent import by_adam, lower, value_and_grad
from samplers.map.restarts import Restarted, Search, at_rest, begin, best, losses_of
from samplers.plan import Calls
from samplers.solver import Found
from samplers.state import Info

_PARTITIONS = 8  # into blocks, of which each gives a median: their mean is a less noisy slope at no network call


@dataclass(frozen=True)
class RobustCSGM(Restarted[Search]):
    r"""CSGM by medians of means, for measurements of which some are grossly wrong, or an operator with heavy tails.

    $$ \min_z \max_{z'} \operatorname*{median}_{j} \frac{1}{|B_j|} \sum_{i \in B_j}
       \big[(y_i - A(G(z))_i)^2 - (y_i - A(G(z'))_i)^2\big] + \lambda(\|z\|^2 - \|z'\|^2) $$

    over blocks B_j of the measured entries. A grossly wrong entry makes the difference in its block large, of
    either sign, so that the median is that of a block without one, as long as half of the blocks are: of b entries
    where less than 1 − 2^(−1/b) of all are wrong, 13 % for b = 5 and 3 % for the paper's 20. Both z and its rival z′
    take steps of Adam on the block that is the median. Blocks are drawn anew at each step, so that no entry is shut
    out for good, and eight times, for a mean of eight medians, which costs no network call.

    Of the likelihood it takes the operator and σ_y, for λ alone: what is wrong has no model. Where outliers have one,
    `CSGM` takes a `StudentTLikelihood`, and samplers too.

    Reports (in `PointEstimate.info`): as every solver with restarts; the loss is the median of squared residuals of z.

    Args:
        restarts: Starting points for each measurement, draws of z and of z′; that with the smallest final loss is kept.
        steps: Gradients of each.
        learning_rate: Adam's step size at the start, which falls to 0 along a cosine.
        block_size: b, measured entries in a block, or up to twice as many where these are few. Larger blocks know more
            of noise with heavy tails, and allow fewer wrong entries.
        weight: λ, or None for σ_y²/m, that of the latent MAP.
        tolerance: `converged` says whether the loss changed by less than this, relative to where it ended, over the
            second half of the steps.

    References:
        Jalal, Liu, Dimakis & Caramanis 2020, Robust Compressed Sensing using Generative Models, NeurIPS,
        arXiv:2006.09461.
        Lecué & Lerasle 2020, Robust machine learning by median-of-means, Ann. Statist. 48 (blocks drawn anew).
    """

    steps: Count = 1000
    learning_rate: Positive = 0.1
    block_size: Count = 5
    weight: NonNegative | None = None
    tolerance: Positive = 0.1

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if not isinstance(problem.likelihood, GaussianLikelihood):
            raise IncompatibleError(
                f"{self.name} compares squared residuals and takes a GaussianLikelihood, not a "
                f"{type(problem.likelihood).__name__}; CSGM takes any likelihood"
            )

    def calls(self, problem: Posterior) -> Calls:
        return Calls(self.restarts * (2 * self.steps + 1), self.restarts * 2 * self.steps)

    def init(self, problem: LatentPosterior[Any], noise: Noise) -> Search:
        return begin(torch.stack([self.latents(problem, noise), noise.use("rival").normal(problem.event_shape)], 2))

    def loss(self, problem: Posterior, pair: Tensor, order: Tensor) -> Tensor:
        """The median of squared residuals of z, whose gradient is that of the game.

        Args:
            problem: Prior, likelihood and measurements.
            pair: z and z′, (S, B, 2, *latent_shape).
            order: Numbers by which entries are put into blocks, several times: (S, B, partitions, entries).
        """
        squares, seen = _squared_residuals(problem, problem.prior.decode(pair.movedim(2, 0)))
        entries = seen.sum(-1)
        weight = problem.likelihood.noise_std**2 / entries if self.weight is None else self.weight
        mine, theirs = pair.flatten(3).square().sum(3).unbind(2)
        means = block_means((squares[0] - squares[1])[:, :, None], order, seen[:, None], self.block_size)
        game = means.nanmedian(-1).values.mean(-1) + weight * (mine - theirs)
        return _typical(squares[0], seen).detach() + game - game.detach()

    def step(self, problem: LatentPosterior[Any], state: Search, noise: Noise) -> tuple[Search, Info]:
        order = noise.use("blocks").uniform((_PARTITIONS, math.prod(problem.operator.measurement_shape)))
        value, slope = value_and_grad(self.loss, problem, state.h, order)
        slope[:, :, 1] *= -1  # the rival goes up
        rate = self.learning_rate * 0.5 * (1 + math.cos(math.pi * state.step / self.steps))
        x, lowest = lower(state.h, value, state.x, state.lowest)
        h, memory = by_adam(state.h, slope, state.memory, state.step, rate)
        return state.after(self.steps, x=x, lowest=lowest, h=h, memory=memory), {"loss": value.mT}

    def finish(self, problem: LatentPosterior[Any], state: Search, trace: Info) -> Found:
        z = state.h[:, :, 0]
        x = problem.prior.decode(z)
        last = _typical(*_squared_residuals(problem, x))
        losses = losses_of(trace, last)
        return best(x, z, losses, at_rest(losses, self.tolerance))


def block_means(values: Tensor, order: Tensor, seen: Tensor, size: int) -> Tensor:
    """Means of values over blocks of about `size` that are seen, (S, B, partitions, blocks): NaN beyond the last.

    Args:
        values: What is averaged, (S, B, 1, entries).
        order: Numbers (S, B, partitions, entries); the entries in their order go to the blocks in turn.
        seen: Which entries count, (B, 1, entries).
        size: Entries in a block, at the least, if there are as many.
    """
    blocks = (seen.sum(-1, keepdim=True) // size).clamp_min(1)
    block = order.masked_fill(~seen, torch.inf).argsort(-1).argsort(-1) % blocks
    zero = values.new_zeros(*order.shape[:-1], int(blocks.max()))
    sums = zero.scatter_add(-1, block, torch.where(seen, values, 0.0).expand_as(order))
    counts = zero.scatter_add(-1, block, seen.to(values.dtype).expand_as(order))
    return torch.where(counts > 0, sums / counts.clamp_min(1), torch.nan)


def _squared_residuals(problem: Posterior, x: Tensor) -> tuple[Tensor, Tensor]:
    """Those of each entry for images (..., B, *event), (..., B, m), and which entries are measured, (B, m)."""
    residual = (problem.y - problem.operator(x)).flatten(x.ndim - len(problem.prior.event_shape))
    ones = problem.y.real.new_ones(problem.y.shape)
    return (residual * residual.conj()).real, problem.operator.restrict(ones).flatten(1) != 0


def _typical(squares: Tensor, seen: Tensor) -> Tensor:
    """The median of squared residuals over what is measured: (..., B)."""
    return torch.where(seen, squares, torch.nan).nanmedian(-1).values
