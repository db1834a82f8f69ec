"""Complex images of magnitude slices, each time other ones: what a score prior for MRI is trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from posterior.checks import checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.mri.coils import smooth_fields
from posterior.mri.kspace import band_limited
from posterior.noise import Noise
from posterior.operators.coils import as_channels


@checked
def augmented(slices: Tensor, noise: Noise) -> Tensor:
    r"""Slices moved, bent, of another contrast and intensity, as complex images of half the resolution.

    Each is mirrored (first axis) or not, rotated by up to 15°, stretched (6 % overall, 4 % along one axis against the
    other), sheared (4 %) and shifted (2 %, standard deviations as before), bent by a smooth field of 2.5 pixels, its
    values raised to the power \(e^{0.2 w}\), and multiplied by a smooth field \(e^{0.15 b}\); then `complex_images`,
    and a factor \(e^{0.1 w}\), since the scale of a measurement is known no better.

    Args:
        slices: Magnitudes (N, 1, H, W), at least 0.
        noise: Source of randomness of N rows.

    Returns:
        Real and imaginary parts (N, 2, H/2, W/2).

    Raises:
        ShapeError: slices has another shape, or sides that are no multiples of 4; or the noise has other rows.
        InvalidValueError: A magnitude is negative, not finite, or no floating-point number.
    """
    _check(slices, noise)
    images = complex_images(_shaded(_moved(slices, noise), noise), noise)
    return images * (0.1 * noise.use("scale").normal()[0]).exp().to(slices)[:, None, None, None]


@checked
def complex_images(slices: Tensor, noise: Noise) -> Tensor:
    r"""Slices \(m\) with a smooth random phase \(\varphi\), seen by the middle half of k-space in each direction.

    $$ x = q^{-1} F^{-1} C F (m e^{i\varphi}), $$

    with C the crop that halves the resolution, as a scanner does, and q the 0.99-quantile of the magnitude: 1 is then
    the unit in which images are given. Arguments, result and errors are those of `augmented`.
    """
    _check(slices, noise)
    height, width = slices.shape[-2:]
    turn = 2 * math.pi * noise.use("turn").uniform()[0]
    phase = turn[:, None, None] + 1.5 * smooth_fields(noise.use("phase"), height, width, waves=4)[0]
    image = band_limited(torch.polar(slices[:, 0], phase.to(slices)), (height // 2, width // 2))
    unit = image.abs().flatten(1).quantile(0.99, dim=1).clamp_min(torch.finfo(slices.dtype).tiny)
    return as_channels(image / unit[:, None, None])


def _moved(slices: Tensor, noise: Noise) -> Tensor:
    """Slices mirrored, rotated, stretched, sheared, shifted and bent."""
    height, width = slices.shape[-2:]
    angle = math.radians(15) * (2 * noise.use("angle").uniform()[0] - 1)
    side = (noise.use("side").uniform()[0] - 0.5).sign()
    size, aspect, shear, *shift = noise.use("shape").normal((5,))[0].unbind(1)
    size, aspect = (0.06 * size).exp(), (0.04 * aspect).exp()
    # Where a pixel's value is taken from; vectors are (right, down), in pixels from the middle, as for grid_sample.
    turned = _matrices(angle.cos(), -angle.sin(), angle.sin(), angle.cos())
    stretched = _matrices(size * aspect, 0.04 * shear, torch.zeros_like(angle), size / aspect)
    mirrored = _matrices(torch.ones_like(angle), torch.zeros_like(angle), torch.zeros_like(angle), side)
    rows = torch.arange(height)[:, None] - (height - 1) / 2
    columns = torch.arange(width) - (width - 1) / 2
    places = torch.stack(torch.broadcast_tensors(columns, rows), -1).to(angle)
    source = torch.einsum("nij,hwj->nhwi", mirrored @ turned @ stretched, places)
    bends = [2.5 * smooth_fields(noise.use(name), height, width, waves=8)[0] for name in ("right", "down")]
    sides = torch.tensor([width, height]).to(angle)
    source = source + torch.stack(bends, -1) + 0.02 * sides * torch.stack(shift, -1)[:, None, None]
    return functional.grid_sample(slices, (2 * source / sides).to(slices), mode="bicubic", align_corners=False)


def _shaded(slices: Tensor, noise: Noise) -> Tensor:
    """Slices of another contrast and intensity; what interpolation made negative is zero."""
    power = (0.2 * noise.use("power").normal()[0]).exp().to(slices)[:, None, None, None]
    shade = (0.15 * smooth_fields(noise.use("intensity"), *slices.shape[-2:])[0]).exp().to(slices)
    slices = slices.clamp_min(0)
    peak = slices.amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(slices.dtype).tiny)
    return (slices / peak) ** power * shade[:, None]


def _matrices(*entries: Tensor) -> Tensor:
    """Matrices (N, 2, 2) of their entries, each (N,)."""
    return torch.stack(entries, -1).unflatten(-1, (2, 2))


def _check(slices: Tensor, noise: Noise) -> None:
    if slices.ndim != 4 or slices.shape[1] != 1 or any(side % 4 or not side for side in slices.shape[2:]):
        raise ShapeError(f"slices are (N, 1, H, W), H and W multiples of 4; got shape {tuple(slices.shape)}")
    if noise.lead != (1, len(slices)):
        raise ShapeError(f"{len(slices)} slices need noise of as many rows, one draw each; got {noise.lead}")
    if not slices.is_floating_point() or bool((slices < 0).any()):
        raise InvalidValueError(f"slices are magnitudes, at least 0 and floating-point; got {slices.dtype} numbers")
