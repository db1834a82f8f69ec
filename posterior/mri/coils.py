"""Sensitivities of receiver coils, simulated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.checks import Count, Positive, checked


@checked
def birdcage_maps(
    num_coils: Count, height: Count, width: Count, radius: Positive = 1.5, dtype: torch.dtype = torch.float32
) -> Tensor:
    r"""Sensitivities of coils that stand evenly on a circle about the image, \(\sum_c |S_c|^2 = 1\) in each pixel.

    Coil c, at the angle \(\theta_c = 2\pi c/C\), is felt in inverse proportion to its distance d, with the phase of the
    direction in which a pixel lies from it, \(S_c \propto e^{i(\varphi - \theta_c)}/d\).

    Args:
        num_coils: C.
        height, width: Shape of the image.
        radius: Of the circle, in half widths of the image.
        dtype: Precision of the real and imaginary parts.

    Returns:
        Complex maps (C, H, W), as `MultiCoilMRI` takes them.

    References:
        Fessler, Michigan Image Reconstruction Toolbox (ir_mri_sensemap_sim), by way of sigpy.mri.birdcage_maps.
    """
    angles = (2 * math.pi / num_coils * torch.arange(num_coils, dtype=torch.float64))[:, None, None]
    rows = (torch.arange(height, dtype=torch.float64)[:, None] - height / 2) / (height / 2)
    columns = (torch.arange(width, dtype=torch.float64) - width / 2) / (width / 2)
    right, down = columns - radius * angles.cos(), rows - radius * angles.sin()
    maps = torch.polar(1 / torch.hypot(right, down), torch.atan2(right, -down) - angles)
    maps = maps / maps.abs().square().sum(0).sqrt()
    return torch.complex(maps.real.to(dtype), maps.imag.to(dtype))
