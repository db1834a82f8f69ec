"""A step of kinetic Langevin dynamics."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

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
    phase: Phase, score: Callable[[Tensor], Tensor], precondition: Callable[[Tensor], Tensor], rho: Tensor,
    step: float, friction: float, noise: Noise,
) -> Phase:  # fmt: skip
    r"""A step of length hρ with friction γ/ρ, of half kicks, half drifts and a turn of the momentum between them.

    $$ dz = Lp\,dt, \qquad dp = L\nabla\log\pi\,dt - \frac{\gamma}{\rho}\,p\,dt + \sqrt{2\gamma/\rho}\;dw $$

    It is stable where curvatures of L(−∇² log π)L are below \((2/h\rho)^2\).

    Args:
        phase: Where chains are, with their kicks.
        score: ∇log π of z.
        precondition: Multiplies by a symmetric L.
        rho: ρ, (B,).
        step: h.
        friction: γ.
        noise: Source of randomness.

    References:
        Leimkuhler & Matthews 2013, Rational construction of stochastic numerical methods for molecular sampling,
        Applied Mathematics Research eXpress.
    """
    event, keep = phase.z.shape[2:], math.exp(-friction * step)
    wide = expand_right(rho, len(event))
    momentum = phase.momentum + 0.5 * step * precondition(phase.kick)
    turned = keep * momentum + math.sqrt(1 - keep**2) * noise.use("momentum").normal(event)
    z = phase.z + 0.5 * step * wide * precondition(momentum + turned)
    del momentum  # a copy of all images less while the score is computed
    kick = wide * score(z)
    return Phase(z, turned + 0.5 * step * precondition(kick), kick)
