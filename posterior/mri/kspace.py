"""Coefficients of MRI (..., C, H, W): checks, their middle, linear combinations of coils, and images at a glance."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from posterior.checks import Count, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.operators.coils import as_channels
from posterior.operators.fourier import centred_fft, centred_ifft


def check_kspace(owner: str, kspace: Tensor, name: str = "kspace") -> None:
    """Raise unless values are complex, of coils, rows and columns.

    Raises:
        ShapeError: They are not (..., C, H, W).
        InvalidValueError: They are not complex.
    """
    if kspace.ndim < 3 or kspace.numel() == 0:
        raise ShapeError(f"{owner} needs {name} to be (..., C, H, W), got {tuple(kspace.shape)}")
    if not kspace.is_complex():
        raise InvalidValueError(f"{owner} needs {name} to be complex, got {kspace.dtype}")


@checked
def central(values: Tensor, shape: Sequence[Count]) -> Tensor:
    """The middle rows and columns of values (..., H, W), with the entry (⌊H/2⌋, ⌊W/2⌋) in their own middle.

    Of k-space it holds the low frequencies, of an image with oversampled readout the field of view.

    Args:
        values: (..., H, W).
        shape: How many rows and columns.

    Raises:
        ShapeError: There are not so many.
    """
    if len(shape) != 2 or values.ndim < 2 or any(n > m for n, m in zip(shape, values.shape[-2:], strict=True)):
        raise ShapeError(f"{tuple(shape)} are not rows and columns within {tuple(values.shape)}")
    first = [m // 2 - n // 2 for n, m in zip(shape, values.shape[-2:], strict=True)]
    return values[..., first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]


def band_limited(x: Tensor, shape: Sequence[int] | None) -> Tensor:
    """An image (..., H′, W′) on a coarser grid: the middle of its transform, with values as they were.

    Args:
        x: Complex images.
        shape: (H, W); nothing is done unless given.
    """
    if shape is None:
        return x
    middle = central(centred_fft(x), shape)
    return centred_ifft(middle) * math.sqrt(math.prod(shape) / math.prod(x.shape[-2:]))


@checked
def mix_coils(matrix: Tensor, values: Tensor) -> Tensor:
    """Linear combinations of coils, of k-space and of maps alike.

    Args:
        matrix: (C′, C), such as `whitening_matrix` or `compression_matrix`; (..., C′, C) where slices have their own.
        values: (..., C, H, W).

    Returns:
        (..., C′, H, W).

    Raises:
        ShapeError: The matrix takes another number of coils.
    """
    if matrix.ndim < 2 or values.ndim < 3 or matrix.shape[-1] != values.shape[-3]:
        raise ShapeError(f"a matrix {tuple(matrix.shape)} does not take the coils of {tuple(values.shape)}")
    dtype = torch.promote_types(values.dtype, torch.complex64)
    return (matrix.to(dtype) @ values.to(dtype).flatten(-2)).unflatten(-1, values.shape[-2:])


def divided(values: Tensor, length: Tensor) -> Tensor:
    """Values divided by a length, and 0 where it is 0: where no coil sees anything."""
    return torch.where(length > 0, values / torch.where(length > 0, length, 1.0), 0.0)


@checked
def mvue(kspace: Tensor, maps: Tensor) -> Tensor:
    r"""The image that coils make together of fully sampled k-space, as a reference.

    $$ \hat x = \sum_c \bar S_c F^{-1} y_c \Big/ \sqrt{\sum_c |S_c|^2} $$

    Where \(\sum_c |S_c|^2 = 1\) it is Sᴴ F⁻¹ y, the unbiased estimate of least variance under white noise; where no
    coil sees anything it is 0. Of undersampled k-space, zeros in what was not measured, it is the zero-filled image
    \(\sum_c \bar S_c F^{-1} y_c / \sum_c |S_c|^2\) times \(\sqrt{\sum_c |S_c|^2}\).

    Args:
        kspace: (..., C, H, W), centred.
        maps: Coil sensitivities S, (C, H, W) or as k-space.

    Returns:
        Images (..., 2, H, W), real and imaginary part.

    Raises:
        ShapeError: k-space or maps are not (..., C, H, W), or differ in coils, rows or columns.
        InvalidValueError: They are not complex.

    References:
        Jalal et al. 2021, Robust compressed sensing MRI with deep generative priors, arXiv:2108.01368, section 4.
    """
    check_kspace("mvue", kspace)
    check_kspace("mvue", maps, "maps")
    if kspace.shape[-3:] != maps.shape[-3:]:
        raise ShapeError(f"mvue got k-space {tuple(kspace.shape)} and maps {tuple(maps.shape)} of other sizes")
    length = maps.abs().square().sum(-3).sqrt()
    image = (maps.conj() * centred_ifft(kspace)).sum(-3)
    return as_channels(divided(image, length))


@checked
def rss(kspace: Tensor) -> Tensor:
    r"""The root of the sum of squares of the coils' images, \(\sqrt{\sum_c |F^{-1} y_c|^2}\): magnitudes (..., H, W).

    Raises:
        ShapeError: k-space is not (..., C, H, W).
        InvalidValueError: It is not complex.
    """
    check_kspace("rss", kspace)
    return centred_ifft(kspace).abs().square().sum(-3).sqrt()
