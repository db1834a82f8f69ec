"""A step of kinetic Langevin dynamics."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.shapes import expand_right


class Phase(NamedTuple):
    """Where chains are.

    Attributes:
        z: Noisy images, (S, B, *event).
        momentum: p, as z.
        kick: ρ∇log π(z), as z.
    """

    z: Tensor
    momentum: Tensor
    kick: Tensor


def baoab(
    phase: Phase, score: Callable[[Tensor], Tensor], rho: Tensor, step: Tensor | float, friction: float, noise: Noise
) -> Phase:
    """A step of length hρ with friction γ/ρ, of half kicks, half drifts and a turn of the momentum between them.

    Args:
        phase: Where chains are, with their kicks.
        score: ∇log π of z.
        rho: ρ, (B,).
        step: h, of all or (B,).
        friction: γ.
        noise: Source of randomness.

    References:
        Leimkuhler & Matthews 2013, Rational construction of stochastic numerical methods for molecular sampling,
        Applied Mathematics Research eXpress.
    """
    event = phase.z.shape[2:]
    length = torch.as_tensor(step, dtype=torch.float64, device=rho.device).expand(len(rho))
    decay = (-friction * length).exp()
    wide, h, keep, fresh = (
        expand_right(values.to(rho), len(event)) for values in (rho, length, decay, (1 - decay**2).sqrt())
    )
    momentum = phase.momentum + 0.5 * h * phase.kick
    z = phase.z + 0.5 * h * wide * momentum
    momentum = keep * momentum + fresh * noise.use("momentum").normal(event)
    z = z + 0.5 * h * wide * momentum
    kick = wide * score(z)
    return Phase(z, momentum + 0.5 * h * kick, kick)
