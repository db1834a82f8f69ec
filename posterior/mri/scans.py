"""Undersampled scans of complex images as a reconstruction meets them: with coil maps that are estimated from them."""

from __future__ import annotations

from typing import Annotated, Literal, NamedTuple

import torch
from torch import Tensor

from posterior.checks import Count, Positive, Range, Size, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.mri.coils import random_maps
from posterior.mri.espirit import espirit_maps
from posterior.mri.kspace import mvue
from posterior.mri.masks import MASKS, calibration_region
from posterior.mri.simulate import noise_of_snr
from posterior.noise import Noise
from posterior.operators.fourier import centred_fft
from posterior.operators.mri import MultiCoilMRI

MaskKind = Literal["random", "equispaced", "gaussian-columns", "gaussian", "poisson", "radial"]  # of MASKS


class Scans(NamedTuple):
    """Undersampled measurements, what is known of them, and what they are of.

    Attributes:
        y: (B, C, H, W), complex, zero where nothing is measured.
        operator: A, with maps and a mask of each.
        truth: The images (B, 2, H, W) that the same maps make of fully sampled k-space without noise.
    """

    y: Tensor
    operator: MultiCoilMRI
    truth: Tensor


@checked
def undersampled_scans(
    images: Tensor,
    noise: Noise,
    mask: MaskKind = "random",
    acceleration: Annotated[float, Range(1)] = 4.0,
    snr: Positive = 20.0,
    num_coils: Count = 8,
    calibration: Size | None = None,
) -> Scans:
    r"""Scan images, each with coils, a mask and noise of its own, and estimate coil maps from each measurement.

    Coils are those of `random_maps`; the maps of the operator are estimated by `espirit_maps` from the middle of the
    noisy k-space, so that what is trained on such scans has seen maps with their errors.

    Args:
        images: Complex images as two channels, (B, 2, H, W).
        noise: Source of randomness of B rows.
        mask: The family of masks, a name of `MASKS`.
        acceleration, calibration: As for the masks.
        snr: As for `simulate`.
        num_coils: C.

    Raises:
        ShapeError: Images are not (B, 2, H, W).
        InvalidValueError: An image is zero everywhere, the masks of this acceleration have no middle that is measured,
            or the noise hides all coil maps.
    """
    if images.ndim != 4 or images.shape[1] != 2:
        raise ShapeError(f"undersampled_scans needs images (B, 2, H, W), got {tuple(images.shape)}")
    height, width = images.shape[-2:]
    seeds = [int(2**31 * u) for u in noise.use("scan").uniform()[0]]
    x = torch.complex(*images.unbind(1))
    coils = torch.stack([random_maps(num_coils, height, width, seed, images.dtype) for seed in seeds])
    masks = torch.stack([MASKS[mask]((height, width), acceleration, calibration, seed) for seed in seeds])
    masks = masks[:, None].to(images.device)
    full = centred_fft(coils.to(x.device) * x[:, None])
    white = torch.view_as_complex(noise.use("noise").normal((*full.shape[1:], 2))[0].to(images))
    std = noise_of_snr(x.abs(), snr)
    y = masks * (full + std[:, None, None, None] * white)
    maps = torch.stack([
        espirit_maps(one, calibration_region(kept[0]), noise_std=float(level))
        for one, kept, level in zip(y, masks, std, strict=True)
    ])  # fmt: skip
    if not bool(maps.flatten(1).any(1).all()):
        raise InvalidValueError(f"no coil map can be estimated from a scan at snr = {snr:g}; take a larger snr")
    return Scans(y, MultiCoilMRI(maps, masks), mvue(full, maps))
