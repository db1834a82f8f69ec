r"""Weights of chains by the evidence of the modes that they are in, for chains that change modes no more.

Chains that are annealed choose their modes while little of the measurement is known, and what is learnt of it later
does not change their shares. Those of mode k ought to grow by

$$ \log\frac{Z_k(\rho_{\text{last}})}{Z_k(\rho_{\text{first}})} = \int \frac{d\log Z_k}{d\log\rho^2}\,d\log\rho^2, $$

thermodynamic integration along a path in the mode. The integrand fluctuates by many nats, as sums over all values
measured do; chains that have all their noise in common, in modes of the same shape, fluctuate together, and only
differences count. Trial chains therefore start where the chains are, take steps of common noise, and go two ways: down
to the last level, and up to levels above the prior's scale. On the way up, chains of modes that merge there become the
same, and their differences end by themselves. Half of the chains see the noise with the other sign, so that what is
linear in it averages out between the halves, which are weighed apart.

References:
    Gelman & Meng 1998, Simulating normalizing constants: from importance sampling to bridge sampling to path sampling,
    Statistical Science 13.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.shapes import expand_right
from samplers import population as pop

FRICTION = 0.5  # in units of 1/ρ: chains of one mode and one noise become the same in some ten steps
_SETTLE, _STEPS, _LEVELS = 6, 3, 4  # steps before the path, at each of its levels, and levels each way
TRIAL_CALLS = _SETTLE + _STEPS + 2 * _LEVELS * (1 + _STEPS)
_ENOUGH = 0.9  # of the chains, in effective number, at which weights are taken for equal

ChainT = TypeVar("ChainT")


@dataclass(frozen=True)
class CommonNoise(Noise):
    """A source of the same draws for all chains, but for their sign, which every other one has reversed."""

    @classmethod
    def of_source(cls, noise: Noise) -> CommonNoise:
        """For the chains of another source, with the noise of its first."""
        return cls(noise.keys, noise.draws, noise.step, noise.stream, noise.dtype)

    def normal(self, shape: Sequence[int] = ()) -> Tensor:
        """(S, B, *shape)."""
        common = Noise(self.keys, self.draws[:1], self.step, self.stream, self.dtype).normal(shape)
        sign = 1 - 2 * (torch.arange(len(self.draws), device=common.device) % 2)
        return expand_right(sign.to(common), common.ndim - 1) * common


class Dynamics(NamedTuple, Generic[ChainT]):
    """What trial chains do.

    Attributes:
        step: A step at ρ (B,) with some noise.
        flow: The way from one ρ to another, upwards or downwards.
        slope: dlog Z/dlog ρ² of each chain (S, B), up to a constant.
    """

    step: Callable[[ChainT, Tensor, Noise], ChainT]
    flow: Callable[[ChainT, Tensor, Tensor], ChainT]
    slope: Callable[[ChainT, Tensor], Tensor]


def mode_log_weights(
    dynamics: Dynamics[ChainT], chain: ChainT, rho: Tensor, ends: tuple[Tensor, Tensor], noise: Noise
) -> Tensor:
    """Logarithms of weights (S, B) of chains at ρ, whose mean in each half of the chains is 1, in `TRIAL_CALLS` calls.

    Args:
        dynamics: What trial chains do.
        chain: Where they start, with momenta of common noise.
        rho: Their ρ, (B,).
        ends: The largest ρ and the last, (B,).
        noise: The chains' source.
    """
    source = CommonNoise.of_source(noise)

    def walk(chain: ChainT, rho: Tensor, steps: int, *name: str | int) -> tuple[ChainT, Tensor]:
        slopes = []
        for number in range(steps):
            chain = dynamics.step(chain, rho, source.use(*name, number))
            slopes.append(dynamics.slope(chain, rho))
        return chain, torch.stack(slopes).mean(0)

    chain, _ = walk(chain, rho, _SETTLE, "settle")
    start, first = walk(chain, rho, _STEPS, "start")
    log_weights = torch.zeros_like(first)
    for way, (end, sign) in enumerate(zip(ends, (-1, 1), strict=True)):
        chain, before, slope = start, rho, first
        for level in range(1, _LEVELS + 1):
            after = rho * (end / rho) ** (level / _LEVELS)
            chain, new = walk(dynamics.flow(chain, before, after), after, _STEPS, way, level)
            log_weights = log_weights + sign * (after / before).log() * (slope + new)
            before, slope = after, new
    for half in (log_weights[::2], log_weights[1::2]):
        half -= half.logsumexp(0) - math.log(max(1, len(half)))
    return log_weights


def resampled(log_weights: Tensor, noise: Noise) -> Tensor:
    """Index (S, B) of the chain that each goes on from: its own where the weights of a measurement are nearly equal."""
    effective = 1 / log_weights.softmax(0).square().sum(0)
    equal = effective >= _ENOUGH * len(log_weights)
    return pop.systematic(log_weights.masked_fill(equal, 0.0), noise.for_draws(1).uniform()[0])
