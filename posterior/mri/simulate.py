"""Measurements of MRI made of magnitude images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from posterior.checks import Count, NonNegative, Positive, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.mri.coils import smooth_fields
from posterior.mri.kspace import band_limited, check_kspace
from posterior.noise import Noise
from posterior.operators.coils import as_channels
from posterior.operators.fourier import centred_fft

_OBJECT = 0.1  # of an image's largest magnitude: what lies above is the object


class Simulation(NamedTuple):
    """What was measured, and of what.

    Attributes:
        kspace: y (B, C, H, W), complex, fully sampled and with noise; `MultiCoilMRI.restrict` undersamples it.
        noise_std: σ in each real component, (B,).
        image: The truth x (B, 2, H, W), real and imaginary part.
    """

    kspace: Tensor
    noise_std: Tensor
    image: Tensor


@checked
def simulate(
    magnitude: Tensor,
    maps: Tensor,
    snr: Positive,
    seed: int = 0,
    shape: Sequence[Count] | None = None,
    phase_std: NonNegative = 1.0,
    ids: Sequence[int] | None = None,
) -> Simulation:
    r"""Fully sampled k-space with noise, of magnitude images with a smooth random phase.

    $$ y_c = F\big(S_c\, |x| e^{i\varphi}\big) + \sigma n_c, \qquad
       \mathrm{SNR} = \frac{\text{mean } |x| \text{ in the object}}{\sigma}, $$

    with n of standard normal real and imaginary parts; the object is where |x| exceeds a tenth of its largest value.
    Magnitudes that stem from scans have been filtered and combined, and have lost their phase: what is simulated of
    them is easier than a scan.

    Args:
        magnitude: (B, H′, W′), not negative.
        maps: Coil sensitivities on the same grid, complex, (C, H′, W′) or (B, C, H′, W′).
        snr: SNR.
        seed: Of phases and noise, of which each slice has its own.
        shape: (H, W) of the k-space that is kept, its middle, on which the truth is band-limited too: a finer grid
            than that of the reconstruction is how a scanner sees the object. That of the magnitudes unless given.
        phase_std: Standard deviation of φ in radians.
        ids: Numbers of the slices, by which they have phases and noise whatever others are simulated with them;
            0 … B − 1 unless given.

    Raises:
        ShapeError: Magnitudes, maps or shape do not fit each other.
        InvalidValueError: Magnitudes are not real, negative, or zero in all of a slice; or maps are not complex; or
            there are more or fewer ids.

    References:
        Shimron, Tamir, Wang & Lustig 2022, Implicit data crimes: machine learning bias arising from misuse of public
        data, PNAS 119.
    """
    check_kspace("simulate", maps, "maps")
    if magnitude.ndim != 3 or maps.ndim > 4 or maps.shape[-2:] != magnitude.shape[-2:]:
        raise ShapeError(
            f"simulate needs magnitudes (B, H, W) and maps ([B,] C, H, W), got {tuple(magnitude.shape)} and "
            f"{tuple(maps.shape)}"
        )
    if maps.ndim == 4 and len(maps) not in (1, len(magnitude)):
        raise ShapeError(f"simulate got maps of {len(maps)} slices for magnitudes of {len(magnitude)}")
    names = list(range(len(magnitude)) if ids is None else ids)
    if len(names) != len(magnitude):
        raise InvalidValueError(f"simulate got {len(names)} ids of {len(magnitude)} slices")
    if magnitude.is_complex() or bool((magnitude < 0).any()):
        raise InvalidValueError("simulate needs magnitudes of at least 0")
    if empty := [name for name, one in zip(names, magnitude, strict=True) if not bool(one.any())]:
        raise InvalidValueError(f"simulate got slices that are 0 everywhere, {empty}; leave them out")
    magnitude = magnitude.to(maps.real.dtype)
    noise = Noise.of(seed, names, device=magnitude.device, dtype=magnitude.dtype)
    phase = phase_std * smooth_fields(noise.use("phase"), *magnitude.shape[-2:])[0]
    x = torch.polar(magnitude, phase)
    image = band_limited(x, shape)
    std = noise_of_snr(image.abs(), snr)
    y = centred_fft(band_limited(maps * x.unsqueeze(-3), shape))
    white = torch.view_as_complex(noise.use("noise").normal((*y.shape[1:], 2))[0])
    return Simulation(y + std[:, None, None, None] * white, std, as_channels(image))


def noise_of_snr(magnitude: Tensor, snr: float) -> Tensor:
    """The noise's standard deviation, (B,), with which images of these magnitudes (B, H, W) have an SNR."""
    inside = magnitude > _OBJECT * magnitude.amax((-2, -1), keepdim=True)
    return (magnitude * inside).sum((-2, -1)) / inside.sum((-2, -1)) / snr
