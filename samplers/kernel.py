"""Transition kernels of chains and populations: the protocol that samplers drive."""

from __future__ import annotations

from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.state import Info

# Where moves can be rejected, the size of a move is tuned to this acceptance and never falls below this fraction.
_ACCEPTANCE, SMALLEST = 0.65, 1e-3
_EMPTY = torch.empty(0)


class Move(NamedTuple):
    """Where chains are: what a move begins with and what it ends in.

    Attributes:
        x: Samples, or latents, (S, B, *event).
        log_likelihood: log p(y | x), (S, B).
        epsilon: Auxiliary noise, of the shape of x; empty where a kernel has none.
        accepted: Probability with which the last move was accepted, (S, B); empty before the first.
    """

    x: Tensor
    log_likelihood: Tensor
    epsilon: Tensor = _EMPTY
    accepted: Tensor = _EMPTY


class KernelCalls(NamedTuple):
    """Network calls a particle, forward ones if nothing else is said.

    Attributes:
        start: For a sample of the prior.
        move: For a move below β = 1.
        final: For a move at β = 1.
        finish: For what ends a run.
        move_grad: Backward calls for a move.
    """

    start: int
    move: int
    final: int
    finish: int
    move_grad: int = 0


class Kernel(Protocol):
    r"""How a population is begun, moved and finished: its moves leave \(p(x) L(x)^\beta\) invariant.

    Attributes:
        patience: Moves at β = 1 after which particles of one ancestor are farther apart, if moves can do it.
        refuses: Whether moves are refused at times.
    """

    patience: ClassVar[int]
    refuses: ClassVar[bool]

    @property
    def calls(self) -> KernelCalls:
        """What it costs."""
        ...

    def start(self, problem: Posterior, count: int, noise: Noise) -> Tensor:
        """Samples of the prior, (count, B, *event)."""
        ...

    def first_scale(self, problem: Posterior) -> float:
        """With what fraction of the largest size of a move to begin: 1 where every move is accepted."""
        ...

    def move(self, problem: Posterior, before: Move, beta: Tensor, scale: Tensor, noise: Noise) -> tuple[Move, Info]:
        """A move at inverse temperatures β (B,), its size a fraction `scale` (B,) of the largest; what to report."""
        ...

    def finish(self, problem: Posterior, last: Move, pilot: Tensor, scale: Tensor, noise: Noise) -> Tensor:
        """Samples at β = 1 with the discretisation error of the moves removed, as far as the kernel can.

        Args:
            problem: The measurements.
            last: Where the chains are.
            pilot: The population's mean (B, *event).
            scale: As in `move`.
            noise: Source of randomness.
        """
        ...


def tuned(scale: Tensor, accepted: Tensor) -> Tensor:
    """The fraction of the largest size of a move to go on with, given the mean probability of acceptance."""
    return (scale * (accepted - _ACCEPTANCE).exp()).clamp(SMALLEST, 1.0)
