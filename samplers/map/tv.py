"""Reconstructions of small total variation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.map.convex import Convex, Iterate, noise_in_a_pixel, slope, smoothness

_NORM = 8.0  # a bound of ‖D‖² for differences along two axes
_BALANCE = 4.0  # of the primal and the dual step: curvature of the data term that the dual step stands for


@dataclass(frozen=True)
class TotalVariation(Convex):
    r"""The image of least total variation that explains the measurement.

    $$ \min_x \frac{1}{2m}\|y - Ax\|^2 + \lambda \sum_{i} \|(Dx)_i\|_2 $$

    with D the forward differences down and across, in each channel apart (isotropic). By Condat and Vũ's primal–dual
    steps, which need A and its adjoint alone.

    Args:
        weight: λ, or None for the standard deviation of noise in an entry of \(A^T y/m\).

    References:
        Rudin, Osher & Fatemi 1992, Nonlinear total variation based noise removal algorithms, Physica D 60.
        Condat 2013, A primal–dual splitting method for convex optimization, J. Optim. Theory Appl. 158.
    """

    def default_weight(self, problem: Posterior) -> Tensor:
        return noise_in_a_pixel(problem)

    def penalty(self, problem: Posterior, x: Tensor) -> Tensor:
        return differences(x).square().sum(-1).sqrt().flatten(1).sum(1)

    def stepper(self, problem: Posterior, weight: Tensor) -> tuple[Iterate, Callable[[Iterate], Iterate]]:
        dims = len(problem.event_shape)
        curvature = smoothness(problem)
        dual = expand_right(curvature / _BALANCE, dims + 1)
        primal = 1 / expand_right(curvature * (0.5 + _NORM / _BALANCE), dims)  # Condat's condition, with equality
        bound = expand_right(weight, dims + 1)

        def advance(iterate: Iterate) -> Iterate:
            x, p = iterate
            new = x - primal * (slope(problem, x) + adjoint_differences(p))
            p = p + dual * differences(2 * new - x)
            length = p.square().sum(-1, keepdim=True).sqrt()
            return new, p / (length / bound).clamp_min(1)

        start = torch.zeros(len(problem), *problem.event_shape, dtype=problem.dtype, device=problem.device)
        return (start, differences(start)), advance


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
