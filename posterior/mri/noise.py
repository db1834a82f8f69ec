"""The noise of receiver coils: its covariance, its standard deviation, and fewer coils that keep it white."""

from __future__ import annotations

import math
from typing import Annotated

import torch
from torch import Tensor

from posterior.checks import Count, Range, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.mri.kspace import check_kspace

_MEDIAN = 0.6744897501960817  # of |n|, n ~ N(0, 1)


@checked
def whitening_matrix(noise_scan: Tensor) -> Tensor:
    r"""The matrix that makes the noise of coils white, with standard deviation 1 in each real component.

    $$ \Psi = \frac{1}{2N} \sum_{n=1}^N \eta_n \eta_n^H = L L^H, \qquad W = L^{-1} $$

    `mix_coils` applies it, to k-space before maps are estimated from it, or to k-space and to known maps alike.

    Args:
        noise_scan: Samples η of a scan without signal, (C, ...), complex: at least as many as coils, C, and better a
            thousand times as many.

    Returns:
        W, lower triangular, (C, C).

    Raises:
        ShapeError: The scan has no coils and samples.
        InvalidValueError: It is not complex, or has fewer samples than coils, or a coil is silent or a copy of others.
    """
    if noise_scan.ndim < 2 or len(noise_scan) == 0:
        raise ShapeError(f"whitening_matrix needs samples (C, ...), got {tuple(noise_scan.shape)}")
    if not noise_scan.is_complex():
        raise InvalidValueError(f"whitening_matrix needs complex samples, got {noise_scan.dtype}")
    samples = noise_scan.flatten(1).to(torch.complex128)
    coils, count = samples.shape
    if count < coils:
        raise InvalidValueError(f"whitening_matrix needs at least as many noise samples as coils, {coils}; got {count}")
    covariance = samples @ samples.mH / (2 * count)
    std = covariance.diagonal().real.sqrt()
    # Of unit variances, so that coils of different gain do not look alike.
    root, failed = torch.linalg.cholesky_ex(covariance / torch.outer(std, std))
    if int(failed) or not bool(root.diagonal().real.min() > 1e-6):
        raise InvalidValueError("whitening_matrix: in the noise scan a coil is silent, or a combination of others")
    matrix = torch.linalg.solve_triangular(root, torch.diag(1 / std).to(root.dtype), upper=False)
    return matrix.to(noise_scan.dtype)


@checked
def compression_matrix(kspace: Tensor, num_coils: Count) -> Tensor:
    r"""The combinations of coils that hold most of k-space, by singular value decomposition.

    Its rows are orthonormal, so that white noise stays white. `mix_coils` applies it.

    Args:
        kspace: (..., C, H, W), whitened; best its fully sampled middle. All slices get one matrix.
        num_coils: How many combinations, at most C.

    Returns:
        The first left singular vectors of the coils' data, (num_coils, C).

    Raises:
        ShapeError: k-space is not (..., C, H, W).
        InvalidValueError: It is not complex, or has fewer coils.

    References:
        Buehrer et al. 2007, Array compression for MRI with large coil arrays, Magn. Reson. Med. 57.
    """
    check_kspace("compression_matrix", kspace)
    coils = kspace.shape[-3]
    if num_coils > coils:
        raise InvalidValueError(f"compression_matrix needs num_coils to be at most {coils}, the coils; got {num_coils}")
    samples = kspace.movedim(-3, 0).flatten(1)
    samples = samples / samples.abs().amax().clamp_min(torch.finfo(samples.dtype).tiny)  # whatever the unit
    _, vectors = torch.linalg.eigh(samples @ samples.mH)  # in rising order
    return vectors.flip(1)[:, :num_coils].mH


@checked
def noise_std_from_border(kspace: Tensor, border: Annotated[float, Range(0, 0.5, "(]")] = 0.1) -> Tensor:
    r"""The noise's standard deviation in each real component, from the highest frequencies.

    $$ \hat\sigma = \mathrm{median}\,|n| \,/\, 0.6745 $$

    over real and imaginary parts of all coils: the median does not heed the few coefficients in which there is signal.
    Where there is signal in most of the border, as in images with fine detail and next to no noise, it is too large.
    Coefficients that are zero in all coils have not been measured, and do not count.

    Args:
        kspace: (..., C, H, W), centred, with the same white noise in each coil.
        border: What share of the rows, and of the columns, at either end are the border.

    Returns:
        σ of each slice, (...), or () of one.

    Raises:
        ShapeError: k-space is not (..., C, H, W).
        InvalidValueError: It is not complex, or fewer than 32 of a slice's coefficients are measured in the border.
    """
    check_kspace("noise_std_from_border", kspace)
    rows, columns = (_ends(n, border, kspace.device) for n in kspace.shape[-2:])
    slices = kspace.reshape(-1, *kspace.shape[-3:])
    kept = (rows[:, None] | columns) & slices.any(1)
    return torch.stack([_robust(one[:, part]) for one, part in zip(slices, kept, strict=True)]).reshape(
        kspace.shape[:-3]
    )


def _ends(n: int, share: float, device: torch.device) -> Tensor:
    """Which of n entries are in the border."""
    places, width = torch.arange(n, device=device), math.ceil(share * n)
    return (places < width) | (places >= n - width)


def _robust(values: Tensor) -> Tensor:
    if values.numel() < 32:
        raise InvalidValueError(
            f"noise_std_from_border needs 32 coefficients in the border, got {values.numel()}; raise border, "
            "or measure the noise apart"
        )
    return torch.view_as_real(values.resolve_conj()).abs().median() / _MEDIAN
