"""Which frequencies are measured off the grid, and the weights that make up for how dense they are."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from posterior.checks import Count, Range, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.operators.nufft import NonUniformFFT

_GOLDEN = math.pi * (math.sqrt(5) - 1) / 2


@checked
def radial_trajectory(height: Count, width: Count, num_spokes: Count, samples: Annotated[int, Range(2)]) -> Tensor:
    r"""Spokes through the zero frequency, each a golden angle (111.2°) from the last.

    $$ k = \tfrac12 t\,(H \sin\theta_n, W \cos\theta_n), \qquad -1 \le t < 1 $$

    Args:
        height, width: H and W of the image.
        num_spokes: How many spokes.
        samples: Of each spoke; fewer than max(H, W) leave the ends of the field of view to aliasing.

    Returns:
        Frequencies (num_spokes · samples, 2), as `NonCartesianMRI` takes them, spoke after spoke.

    References:
        Winkelmann et al. 2007, An optimal radial profile order based on the golden ratio for time-resolved MRI, IEEE
        Trans. Med. Imaging 26.
    """
    angle = torch.arange(num_spokes, dtype=torch.float64)[:, None] * _GOLDEN
    along = (torch.arange(samples, dtype=torch.float64) - samples // 2) / samples
    return torch.stack([height * along * angle.sin(), width * along * angle.cos()], -1).flatten(0, 1)


@checked
def density_weights(trajectory: Tensor, height: Count, width: Count, iterations: Count = 20) -> Tensor:
    r"""Weights w that make up for the density of frequencies: Fᴴ diag(w) F is about 1 on smooth images.

    $$ w \leftarrow w \,/\, C w, $$

    where C_{jk} falls off with the distance of frequencies j and k, and w is scaled so that an even image keeps its
    size. `A.adjoint(w * y)` is an image at a glance. A posterior needs no such weights.

    Args:
        trajectory: Frequencies (K, 2), as `NonCartesianMRI` takes them.
        height, width: Shape of the image.
        iterations: How often w is updated.

    Returns:
        w (K,), positive.

    Raises:
        ShapeError: The trajectory is not (K, 2).
        InvalidValueError: It is complex.

    References:
        Pipe & Menon 1999, Sampling density compensation in MRI: rationale and an iterative numerical solution, Magn.
        Reson. Med. 41.
    """
    if trajectory.ndim != 2 or trajectory.shape[-1] != 2 or len(trajectory) == 0:
        raise ShapeError(f"density_weights needs frequencies (K, 2), got {tuple(trajectory.shape)}")
    if trajectory.is_complex():
        raise InvalidValueError("density_weights needs real frequencies, got complex ones")
    transform = NonUniformFFT(trajectory[None], (height, width), torch.float64)
    weights = torch.ones(1, 1, len(trajectory), dtype=torch.complex128, device=trajectory.device)
    for _ in range(iterations):
        weights = weights / transform.overlap(weights)
    even = torch.ones(1, 1, height, width, dtype=torch.complex128, device=trajectory.device)
    gain = (weights * transform.forward(even).abs().square()).real.sum() / (height * width)
    return (weights.real / gain)[0, 0].to(torch.promote_types(trajectory.dtype, torch.float32))
