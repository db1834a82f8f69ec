"""Reconstructions of small total variation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.problem import Posterior
from samplers.map.convex import Convex, noise_in_a_pixel


@dataclass(frozen=True)
class TotalVariation(Convex):
    r"""The image of least total variation that explains the measurement.

    $$ \min_x \frac{1}{2m}\|y - Ax\|^2 + \lambda \sum_{i} \|(Dx)_i\|_2 $$

    with D the forward differences down and across, in each channel apart (isotropic). m and the steps are those
    of `Convex`, with K = D, which does not see ℓ.

    Args:
        weight: λ, or None for the standard deviation of noise in an entry of \(A^T y/m\).

    References:
        Rudin, Osher & Fatemi 1992, Nonlinear total variation based noise removal algorithms, Physica D 60.
    """

    squared_norm: ClassVar[float] = 8.0  # a bound, for differences along two axes

    def default_weight(self, problem: Posterior) -> Tensor:
        return noise_in_a_pixel(problem)

    def analyse(self, u: Tensor) -> Tensor:
        return differences(u)

    def synthesise(self, q: Tensor) -> Tensor:
        return adjoint_differences(q)

    def sizes(self, q: Tensor) -> Tensor:
        return q.square().sum(-1, keepdim=True).sqrt()


def differences(x: Tensor) -> Tensor:
    """Forward differences down and across, zero at the far edges: (..., H, W) → (..., H, W, 2)."""
    down = torch.nn.functional.pad(x.diff(dim=-2), (0, 0, 0, 1))
    across = torch.nn.functional.pad(x.diff(dim=-1), (0, 1))
    return torch.stack([down, across], -1)


def adjoint_differences(p: Tensor) -> Tensor:
    """The adjoint of `differences`: (..., H, W, 2) → (..., H, W)."""
    down, across = p[..., :-1, :, 0], p[..., :, :-1, 1]
    pad = torch.nn.functional.pad
    return pad(down, (0, 0, 1, 0)) - pad(down, (0, 0, 0, 1)) + pad(across, (1, 0)) - pad(across, (0, 1))
