"""Exact moments of a sampler that is affine in its noise: on a Gaussian prior and a linear-Gaussian measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from posterior.linalg import SpectralFunction
from posterior.noise import Noise
from posterior.operators import LinearOperator
from posterior.problem import Posterior
from samplers import Sampler


class Diagonal(LinearOperator):
    """A(x) = a ⊙ x.

    Args:
        factors: a, of an image's shape.
    """

    knows_spectrum = True
    factors: Tensor

    def __init__(self, factors: Tensor) -> None:
        super().__init__(factors.shape, factors.shape)
        self.register_buffer("factors", factors)

    def norm(self) -> Tensor:
        """The largest magnitude."""
        return self.factors.abs().max()

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(a²) ⊙ x."""
        return function(self.factors.square()).to(x.dtype) * x

    def _forward(self, x: Tensor) -> Tensor:
        return self.factors * x

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.factors * y


@dataclass(frozen=True)
class Impulses(Noise):
    """A source of zeros, but for the k-th draw of chain k, which is 1; the last chain has none."""

    seen: dict[tuple[int, str], int] = field(default_factory=dict)

    def normal(self, shape: Sequence[int] = ()) -> Tensor:
        """(S, B, *shape)."""
        number = self.seen.setdefault((self.step, self.stream), len(self.seen))
        values = torch.zeros(*self.lead, *shape, dtype=self.dtype)
        if number < len(values) - 1:
            values[number] = 1
        return values


def mean(sampler: Sampler, problem: Posterior) -> Tensor:
    """The mean of a sample, (*event): what no noise gives, since a sample is affine in the noise."""
    return _run(sampler, problem, Impulses.of(0, 1, 1, dtype=problem.dtype))[0, 0]


def moments(sampler: Sampler, problem: Posterior) -> tuple[Tensor, Tensor]:
    """Mean and variance of every entry of a sample, whose entries do not depend on each other.

    The variance is the sum of squares of what a unit of each draw adds.
    """
    counter = Impulses.of(0, 1, 1, dtype=problem.dtype)
    _run(sampler, problem, counter)
    x = _run(sampler, problem, Impulses.of(0, 1, len(counter.seen) + 1, dtype=problem.dtype))[:, 0]
    return x[-1], (x[:-1] - x[-1]).square().sum(0)


def _run(sampler: Sampler, problem: Posterior, noise: Noise) -> Tensor:
    """The samples, with this source in place of that of a seed."""
    state = sampler.init(problem, noise.use("init"))
    step = 0
    while not bool(state.done.all()):
        state.step = step
        state, _ = sampler.step(problem, state, noise.at(step))
        step += 1
    return sampler.finish(problem, state, noise.use("finish"), len(state.x))[0]
