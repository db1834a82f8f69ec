"""Slices on another matrix: the same field of view in pixels of another size."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from posterior.data import Geometry
from posterior.mri import central

Shape = tuple[int, ...]


def kspace_on(kspace: Tensor, shape: Shape) -> Tensor:
    """k-space (..., H, W), zeros around it or its middle, multiplied so that images keep their values."""
    return _around(kspace, shape) * math.sqrt(math.prod(shape) / math.prod(kspace.shape[-2:]))


def mask_on(mask: Tensor, shape: Shape) -> Tensor:
    """The mask (H, W) of such k-space: what lies around the measured one is not measured."""
    return _around(mask, shape)


def maps_on(maps: Tensor, shape: Shape) -> Tensor:
    """Coil sensitivities (C, H, W) at other pixels, linear between those where they are known."""
    rows, columns = (_weights(n, m).to(maps) for n, m in zip(maps.shape[-2:], shape, strict=True))
    return torch.einsum("ph,qw,chw->cpq", rows, columns, maps)


def placed_on(geometry: Geometry, old: Shape, shape: Shape, window: Shape) -> Geometry:
    """The geometry of the middle of another matrix of the same field of view: pixel (⌊H/2⌋, ⌊W/2⌋) stays in place.

    Args:
        geometry: That of `old` rows and columns.
        old, shape: Rows and columns of the field of view, before and after.
        window: Of those, how many there are in the end.
    """
    spacing = [s * n / m for s, n, m in zip(geometry.pixel_spacing, old, shape, strict=True)]
    new = (geometry.spacing[0], spacing[0], spacing[1])
    if geometry.origin is None or geometry.axes is None:
        return replace(geometry, spacing=new)
    axes, origin = np.array(geometry.axes), np.array(geometry.origin)
    for axis in (1, 2):
        origin = origin + (old[axis - 1] // 2 * geometry.spacing[axis] - window[axis - 1] // 2 * new[axis]) * axes[axis]
    return Geometry.placed(new, origin, axes, geometry.thickness)


def _around(values: Tensor, shape: Shape) -> Tensor:
    """The middle of values (..., H, W), or zeros around them, with the entry (⌊H/2⌋, ⌊W/2⌋) in the middle of both."""
    kept = [min(n, m) for n, m in zip(values.shape[-2:], shape, strict=True)]
    before = [m // 2 - n // 2 for n, m in zip(kept, shape, strict=True)]
    after = [m - n - b for n, m, b in zip(kept, shape, before, strict=True)]
    return functional.pad(central(values, kept), (before[1], after[1], before[0], after[0]))


def _weights(old: int, new: int) -> Tensor:
    """Linear interpolation from n pixels to m of the same field of view, pixel ⌊n/2⌋ being pixel ⌊m/2⌋: (m, n)."""
    places = ((torch.arange(new, dtype=torch.float64) - new // 2) * old / new + old // 2).clamp(0, old - 1)
    return (1 - (places[:, None] - torch.arange(old)).abs()).clamp_min(0)
