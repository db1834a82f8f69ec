"""Slices of a Gaussian field, whose posterior is known."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from posterior.data import Geometry, RawSlice
from posterior.mri import random_maps, random_mask
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from posterior.operators.fourier import centred_fft
from posterior.priors import GaussianMixturePrior

HEIGHT, WIDTH, COILS, UNIT, STD = 8, 6, 3, 40.0, 2.0
SHAPE = (2, HEIGHT, WIDTH)
MAPS = random_maps(COILS, HEIGHT, WIDTH, seed=1)
MASK = random_mask((HEIGHT, WIDTH), 2, calibration=2, seed=1)
GEOMETRY = Geometry((5.0, 2.0, 3.0), (1.0, 2.0, 3.0), ((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)))


def prior() -> GaussianMixturePrior:
    """A smooth complex field about an image of magnitude 1."""
    places = torch.cartesian_prod(torch.arange(HEIGHT), torch.arange(WIDTH)).float()
    field = 0.05 * torch.exp(-torch.cdist(places, places) / 3)
    covariance = torch.block_diag(field, field) + 1e-3 * torch.eye(2 * HEIGHT * WIDTH)
    mean = torch.full((1, *SHAPE), math.sqrt(0.5))
    return GaussianMixturePrior(mean, covariance=covariance)


def images(count: int = 3) -> Tensor:
    """Samples of the prior in the unit of the file, (N, 2, H, W)."""
    return UNIT * prior().exact_sample(count, Noise.of(1))[:, 0]


def noise(*shape: int, seed: int = 2) -> Tensor:
    """Standard normal real and imaginary parts."""
    return torch.view_as_complex(Noise.of(seed).normal((*shape, 2))[0, 0])


def raw(image: Tensor, mask: Tensor | None = MASK, std: float = STD, maps: Tensor = MAPS, **fields: Any) -> RawSlice:
    """What coils measure of an image (2, H, W)."""
    operator = MultiCoilMRI(maps, mask)
    kspace = operator(image)
    kspace = operator.restrict(kspace + std * noise(*kspace.shape))
    measured = torch.ones(image.shape[-2:]) == 1 if mask is None else mask
    return RawSlice(**{"source": "a scan", "kspace": kspace, "mask": measured, "maps": maps} | fields)


def scan(count: int = 3, **fields: Any) -> Sequence[RawSlice]:
    """Slices one after another, with a noise scan, so that σ is nearly known."""
    noise_scan = STD * noise(COILS, 4000, seed=3)
    return [
        raw(image, source=f"a scan, slice {i}", noise=noise_scan, geometry=GEOMETRY.at(i), **fields)
        for i, image in enumerate(images(count))
    ]


def head_slice(magnitude: Tensor, coils: Tensor, **fields: Any) -> RawSlice:
    """A fully sampled slice of a magnitude (H, W) without noise."""
    kspace = centred_fft(coils * magnitude)
    return RawSlice(**{"source": "a head", "kspace": kspace, "mask": torch.ones(magnitude.shape[-1]) == 1} | fields)
