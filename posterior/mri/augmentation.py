"""Complex images of magnitude slices, each time other ones: what a score prior for MRI is trained on."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from posterior.errors import ShapeError
from posterior.noise import Noise
from posterior.operators.fourier import centred_fft, centred_ifft


def augmented(slices: Tensor, noise: Noise) -> Tensor:
    r"""Slices moved, bent, of another contrast and intensity, as complex images of half the resolution.

    Each is mirrored (first axis) or not, rotated by up to 15°, stretched (6 % overall, 4 % along one axis against the
    other), sheared (4 %) and shifted (2 %, standard deviations as before), deformed by a smooth field of 3 pixels, its
    values raised to the power \(e^{0.2 w}\), and multiplied by a smooth field \(e^{0.15 b}\); then `complex_images`,
    and a factor \(e^{0.1 w}\), since the scale of a measurement is known no better.

    Args:
        slices: Magnitudes (N, 1, H, W), at least 0.
        noise: Source of randomness of N rows.

    Returns:
        Real and imaginary parts (N, 2, H/2, W/2).

    Raises:
        ShapeError: slices has another shape, or sides that are no multiples of 4.
    """
    _check(slices)
    images = complex_images(_deformed(slices, noise), noise)
    return images * (0.1 * _normal(noise, "scale", 1)).exp()[:, :, None, None]


def complex_images(slices: Tensor, noise: Noise) -> Tensor:
    r"""Slices \(m\) with a smooth random phase \(\varphi\), seen by the middle half of k-space in each direction.

    $$ x = q^{-1} F^{-1} C F (m e^{i\varphi}), $$

    with C the crop that halves the resolution, as a scanner does, and q the 0.99-quantile of the magnitude: 1 is then
    the unit in which images are given. Arguments, result and errors are those of `augmented`.
    """
    _check(slices)
    height, width = slices.shape[-2:]
    turn = 2 * math.pi * noise.use("turn").uniform()[0].to(slices)
    phase = turn[:, None, None] + 1.5 * _smooth(noise, "phase", 1, (4, 4), (height, width))[:, 0].to(slices)
    spectrum = centred_fft(torch.polar(slices[:, 0], phase))
    middle = spectrum[:, height // 4 : height // 4 * 3, width // 4 : width // 4 * 3]
    image = centred_ifft(middle)
    unit = image.abs().flatten(1).quantile(0.99, dim=1)[:, None, None]
    return torch.view_as_real(image / unit.clamp_min(torch.finfo(unit.dtype).tiny)).permute(0, 3, 1, 2).contiguous()


def _deformed(slices: Tensor, noise: Noise) -> Tensor:
    """Slices mirrored, rotated, stretched, sheared, shifted and bent, with other contrasts and intensities."""
    height, width = slices.shape[-2:]
    angle = math.radians(15) * (2 * noise.use("angle").uniform()[0] - 1)
    side = (noise.use("side").uniform()[0] - 0.5).sign()
    size, aspect, shear, down, right, power = _normal(noise, "shape", 6).unbind(1)
    size, aspect = (0.06 * size).exp(), (0.04 * aspect).exp()
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], -1).unflatten(-1, (2, 2))
    zero, one = torch.zeros_like(angle), torch.ones_like(angle)
    bend = torch.stack([size * aspect, 0.04 * shear, zero, size / aspect], -1).unflatten(-1, (2, 2))
    mirror = torch.stack([one, side], -1)  # (right, down), as grid_sample has them
    shift = 0.02 * torch.stack([width * right, height * down], -1)
    columns = torch.arange(width) - (width - 1) / 2
    rows = torch.arange(height)[:, None] - (height - 1) / 2
    places = torch.stack(torch.broadcast_tensors(columns, rows), -1).to(slices)
    matrix = ((turn @ bend) * mirror[:, None]).to(slices)
    field = 3 * _smooth(noise, "field", 2, (8, 8), (height, width)).to(slices)
    source = places.flatten(0, 1) @ matrix.transpose(1, 2)
    source = source.unflatten(1, (height, width)) + shift.to(slices)[:, None, None] + field.permute(0, 2, 3, 1)
    grid = source * (2 / torch.tensor([width, height])).to(slices)
    moved = functional.grid_sample(slices, grid, mode="bicubic", align_corners=False).clamp_min(0)
    peak = moved.amax((1, 2, 3), keepdim=True).clamp_min(torch.finfo(moved.dtype).tiny)
    contrast = (moved / peak) ** (0.2 * power).exp().to(slices)[:, None, None, None]
    return contrast * (0.15 * _smooth(noise, "intensity", 1, (3, 3), (height, width))).exp().to(slices)


def _normal(noise: Noise, name: str, count: int) -> Tensor:
    return noise.use(name).normal((count,))[0]


def _smooth(noise: Noise, name: str, channels: int, nodes: tuple[int, int], shape: tuple[int, int]) -> Tensor:
    """Fields (N, channels, *shape) through standard normal values at a few nodes."""
    values = noise.use(name).normal((channels, *nodes))[0]
    return functional.interpolate(values, shape, mode="bicubic", align_corners=True)


def _check(slices: Tensor) -> None:
    if slices.ndim != 4 or slices.shape[1] != 1 or any(side % 4 or not side for side in slices.shape[2:]):
        raise ShapeError(f"slices are (N, 1, H, W), H and W multiples of 4; got shape {tuple(slices.shape)}")
