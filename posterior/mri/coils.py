"""Sensitivities of receiver coils, simulated."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.checks import Count, Positive, checked
from posterior.noise import Noise


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


@checked
def random_maps(
    num_coils: Count, height: Count, width: Count, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Tensor:
    r"""Sensitivities of coils that stand anyhow about the image, \(\sum_c |S_c|^2 = 1\) in each pixel.

    $$ S_c(r) \propto \Big(e^{-\|r - r_c\|^2 / 2 w_c^2} + 0.05\Big)\, e^{i \varphi_c(r)} $$

    with coils at random distances from the centre and angles, of random widths, and smooth random phases. Methods that
    are tried on `birdcage_maps` alone may rely on their symmetry.

    Args:
        num_coils: C.
        height, width: Shape of the image.
        seed: Of the draw.
        dtype: Precision of the real and imaginary parts.

    Returns:
        Complex maps (C, H, W), as `MultiCoilMRI` takes them.
    """
    noise = Noise.of(seed, 1, num_coils, dtype=torch.float64).use("coils")
    turn, distance, size = noise.uniform((3, 1, 1))[:, 0].unbind(1)
    angle = 2 * math.pi / num_coils * (torch.arange(num_coils)[:, None, None] + turn - 0.5)
    distance, size = 0.8 + 0.6 * distance, 0.5 + 0.4 * size
    rows = torch.linspace(-1, 1, height, dtype=torch.float64)[:, None]
    columns = torch.linspace(-1, 1, width, dtype=torch.float64)
    squares = (rows - distance * angle.sin()).square() + (columns - distance * angle.cos()).square()
    size = (-squares / (2 * size.square())).exp() + 0.05
    maps = torch.polar(size, 1.5 * smooth_fields(noise.use("phase"), height, width)[:, 0])
    maps = maps / maps.abs().square().sum(0).sqrt()
    return torch.complex(maps.real.to(dtype), maps.imag.to(dtype))


def smooth_fields(noise: Noise, height: int, width: int, waves: int = 3) -> Tensor:
    r"""Random fields (S, B, H, W) of long waves, of mean square 1 over draws and pixels.

    $$ f(u, v) \propto \sum_{p + q < n} a_{pq} \cos(\pi p u) \cos(\pi q v), \qquad a_{pq} \sim N(0, 1) $$
    """
    orders = torch.arange(waves, device=noise.keys.device)
    kept = (orders[:, None] + orders < waves).to(noise.dtype)
    rows, columns = (_cosines(n, waves, noise) for n in (height, width))
    return torch.einsum("sbpq,ph,qw->sbhw", noise.normal((waves, waves)) * kept, rows, columns) / kept.sum().sqrt()


def _cosines(n: int, waves: int, noise: Noise) -> Tensor:
    """Cosines of unit mean square, (waves, n)."""
    places = (torch.arange(n, dtype=noise.dtype, device=noise.keys.device) + 0.5) / n
    orders = torch.arange(waves, dtype=noise.dtype, device=noise.keys.device)
    return (math.pi * torch.outer(orders, places)).cos() * torch.where(orders > 0, math.sqrt(2), 1.0)[:, None]
