"""Coil sensitivities from the fully sampled middle of k-space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from posterior.checks import Count, Level, NonNegative, checked
from posterior.errors import InvalidValueError
from posterior.mri.kspace import central, check_kspace

_PIXELS = 1 << 16  # decomposed at a time


@checked
def espirit_maps(
    kspace: Tensor,
    calibration: Sequence[Count],
    kernel: Count | None = None,
    threshold: Level = 0.02,
    crop: Level = 0.9,
    noise_std: NonNegative = 0.0,
) -> Tensor:
    r"""Sensitivities S of which the middle of k-space is one image's: ESPIRiT.

    Patches of k × k frequencies and C coils, of the middle, span a space of few dimensions, with the projection P. Its
    mean over all patches that hold a frequency is a convolution, and its transform a C × C matrix in each pixel,

    $$ \mathcal G(r)_{cc'} = \frac{1}{k^2} \sum_{a, b} P_{(c, a), (c', b)}\, e^{2\pi i (a - b) \cdot r / N}, \qquad
       \mathcal G(r) S(r) = S(r), $$

    and S is its eigenvector of the eigenvalue 1. Where the largest is no more than `crop` there is no image, and S = 0.
    Elsewhere \(\sum_c |S_c|^2 = 1\). The phase of S is such that the strongest combination of coils, the first left
    singular vector of the middle, is real and positive; that phase is then the image's.

    Args:
        kspace: Coefficients (..., C, H, W) with the zero frequency at (⌊H/2⌋, ⌊W/2⌋), of one slice or several.
        calibration: Rows and columns of the middle in which all is measured, as `calibration_region` gives them.
        kernel: k; half the shorter side of the middle, and at most 6, unless given.
        threshold: Singular values of the patches below this share of the largest are noise.
        crop: Eigenvalue up to which there is no image.
        noise_std: σ in each real component; singular values up to \(\sqrt 2\, \sigma(\sqrt{P} + \sqrt{C k^2})\), about
            those of white noise in P patches that overlap, are noise as well.

    Returns:
        Maps (..., C, H, W).

    Raises:
        ShapeError: k-space is not (..., C, H, W), or the middle is larger.
        InvalidValueError: k-space is not complex, or the middle holds zeros alone or is smaller than a patch.

    References:
        Uecker et al. 2014, ESPIRiT: an eigenvalue approach to autocalibrating parallel MRI, Magn. Reson. Med. 71.
    """
    check_kspace("espirit_maps", kspace)
    middle = central(kspace, calibration)
    middle = middle.reshape(-1, *middle.shape[-3:])
    size = max(1, min(6, min(calibration) // 2)) if kernel is None else kernel
    if min(calibration) < size or not bool(middle.flatten(1).any(1).all()):
        raise InvalidValueError(
            f"espirit_maps needs a middle that is measured and no smaller than patches of {size} × {size}; got "
            f"{calibration[0]} × {calibration[1]}" + ("" if bool(middle.any()) else ", of zeros")
        )
    shape = (kspace.shape[-2], kspace.shape[-1])
    return torch.stack([_maps(one, shape, size, threshold, crop, noise_std) for one in middle]).reshape(kspace.shape)


def _maps(
    middle: Tensor, shape: tuple[int, int], kernel: int, threshold: float, crop: float, noise_std: float
) -> Tensor:
    """Maps (C, H, W) of one slice, given the middle of its k-space."""
    coils, unit = len(middle), middle.abs().amax()
    middle = middle / unit  # squares of k-space in small units may leave the range
    patches = middle.unfold(1, kernel, 1).unfold(2, kernel, 1).permute(0, 3, 4, 1, 2).flatten(3).flatten(0, 2)
    squares, vectors = torch.linalg.eigh(patches @ patches.mH)
    noise = math.sqrt(2) * noise_std / unit * (math.sqrt(patches.shape[1]) + math.sqrt(patches.shape[0]))
    kept = squares > torch.maximum(threshold**2 * squares[-1], noise.square())
    if not bool(kept.any()):
        return middle.new_zeros(coils, *shape)
    basis = vectors[:, kept].reshape(coils, kernel, kernel, -1)
    convolution = _correlation(basis) / kernel**2
    rows, columns = (_waves(n, convolution) for n in shape)
    strongest = torch.linalg.eigh(middle.flatten(1) @ middle.flatten(1).mH)[1][:, -1]
    parts = [
        _eigenvector(torch.einsum("cdab,ha,wb->hwcd", convolution, part, columns), strongest, crop)
        for part in rows.split(max(1, _PIXELS // shape[1]))
    ]
    return torch.cat(parts).permute(2, 0, 1)


def _correlation(basis: Tensor) -> Tensor:
    """Sums over a − b of the entries of P = V Vᴴ, V (C, k, k, rank): (C, C, 2k − 1, 2k − 1), by lag modulo 2k − 1."""
    lags = (2 * basis.shape[1] - 1,) * 2
    spectrum = torch.fft.fft2(basis, s=lags, dim=(1, 2))
    return torch.fft.ifft2(torch.einsum("cabj,dabj->cdab", spectrum, spectrum.conj()))


def _waves(n: int, convolution: Tensor) -> Tensor:
    """exp(2πi Δ r/n) of pixels r, counted from ⌊n/2⌋, and lags Δ as in `_correlation`: (n, 2k − 1)."""
    count = convolution.shape[-1]
    pixels = torch.arange(n, dtype=torch.float64, device=convolution.device) - n // 2
    lags = torch.fft.fftfreq(count, 1 / count, dtype=torch.float64, device=convolution.device)
    angles = 2 * math.pi / n * torch.outer(pixels, lags)
    return torch.polar(torch.ones_like(angles), angles).to(convolution.dtype)


def _eigenvector(matrices: Tensor, strongest: Tensor, crop: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrices)
    maps = vectors[..., -1]
    phase = torch.sgn((strongest.conj() * maps).sum(-1, keepdim=True))
    return maps * phase.conj() * (values[..., -1:] > crop)
