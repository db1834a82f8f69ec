"""How far an image is from the truth: PSNR, SSIM, NMSE."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from posterior.checks import Real, checked
from posterior.errors import InvalidValueError, ShapeError

_WINDOW, _STD = 11, 1.5  # Wang et al. 2004, section III-B
_CHUNK = 1 << 22  # values whose local moments are held at a time


@checked
def psnr(estimate: Real, truth: Real, value_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    r"""Peak signal-to-noise ratio in decibels, infinite where the images are equal.

    $$ \mathrm{PSNR} = 10 \log_{10} \frac{(v_{\max} - v_{\min})^2}{\tfrac1n \|\hat x - x\|^2} $$

    Args:
        estimate: Images (..., C, H, W). Values outside `value_range` count as they are.
        truth: True images, whose leading dimensions broadcast to the estimate's.
        value_range: Smallest and largest value an image can have.

    Returns:
        One number for each estimate, (...).

    Raises:
        ShapeError: The images do not fit together.
        InvalidValueError: value_range is empty, or the images are not floating-point.
    """
    estimate, truth = _pair(estimate, truth)
    low, high = _limits(value_range)
    return 10 * torch.log10((high - low) ** 2 / (estimate - truth).square().mean((-3, -2, -1)))


@checked
def nmse(estimate: Real, truth: Real) -> Tensor:
    r"""Normalised mean squared error.

    $$ \mathrm{NMSE} = \|\hat x - x\|^2 / \|x\|^2 $$

    It depends on where zero is: it means most for MR images, whose background is zero.

    Args:
        estimate: Images (..., C, H, W).
        truth: True images, whose leading dimensions broadcast to the estimate's.

    Returns:
        One number for each estimate, (...).

    Raises:
        ShapeError: The images do not fit together.
        InvalidValueError: A true image is zero everywhere, or the images are not floating-point.

    References:
        Zbontar et al. 2018, fastMRI: An Open Dataset and Benchmarks for Accelerated MRI, arXiv:1811.08839, section 5.
    """
    estimate, truth = _pair(estimate, truth)
    energy = truth.square().sum((-3, -2, -1))
    if bool((energy == 0).any()):
        raise InvalidValueError(
            "nmse divides by the energy of the truth, and a true image is zero everywhere; use psnr"
        )
    return (estimate - truth).square().sum((-3, -2, -1)) / energy


@checked
def ssim(estimate: Real, truth: Real, value_range: tuple[float, float] = (-1.0, 1.0)) -> Tensor:
    r"""Structural similarity, 1 where the images are equal.

    The mean over channels and window positions of

    $$ \frac{(2\mu_a\mu_b + c_1)(2\sigma_{ab} + c_2)}{(\mu_a^2 + \mu_b^2 + c_1)(\sigma_a^2 + \sigma_b^2 + c_2)},
       \qquad c_1 = 0.01^2,\ c_2 = 0.03^2 $$

    on values mapped from `value_range` to [0, 1] (the luminance factor needs black to be zero). The window is an 11×11
    Gaussian of standard deviation 1.5 inside the image, or the largest odd window that fits a smaller one.

    Args:
        estimate: Images (..., C, H, W).
        truth: True images, whose leading dimensions broadcast to the estimate's.
        value_range: Smallest and largest value an image can have.

    Returns:
        One number for each estimate, (...).

    Raises:
        ShapeError: The images do not fit together.
        InvalidValueError: value_range is empty, or the images are not floating-point.

    References:
        Wang, Bovik, Sheikh & Simoncelli 2004, Image Quality Assessment: From Error Visibility to Structural
        Similarity, IEEE TIP 13(4).
    """
    estimate, truth = _pair(estimate, truth)
    low, high = _limits(value_range)
    event = estimate.shape[-3:]
    rows = max(1, _CHUNK // max(1, event.numel()))
    pairs = zip(estimate.reshape(-1, *event).split(rows), truth.reshape(-1, *event).split(rows), strict=True)
    # float64: a variance is a small difference of large numbers, and c₂ is small
    values = [_ssim((a.double() - low) / (high - low), (b.double() - low) / (high - low)) for a, b in pairs]
    return torch.cat(values).to(estimate.dtype).reshape(estimate.shape[:-3])


def _ssim(a: Tensor, b: Tensor) -> Tensor:
    mean_a, mean_b = _local_mean(a), _local_mean(b)
    var_a = _local_mean(a * a) - mean_a**2
    var_b = _local_mean(b * b) - mean_b**2
    cov = _local_mean(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    structure = (2 * cov + c2) / (var_a + var_b + c2)
    return (luminance * structure).mean((-3, -2, -1))


def _local_mean(x: Tensor) -> Tensor:
    """Gaussian-weighted mean around every place where the window fits: (N, C, H, W) → (N, C, H − w + 1, W − w + 1)."""
    size = min(_WINDOW, *x.shape[-2:])
    offset = torch.arange(size - (size + 1) % 2, dtype=x.dtype, device=x.device)
    window = (-0.5 * ((offset - offset.mean()) / _STD) ** 2).exp()
    window = window / window.sum()
    channels = x.flatten(0, 1)[:, None]
    rows = functional.conv2d(channels, window[None, None, :, None])
    return functional.conv2d(rows, window[None, None, None, :]).unflatten(0, x.shape[:2])[:, :, 0]


def _pair(estimate: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Both images in one precision, the truth expanded to the estimate's shape."""
    for name, image in (("estimate", estimate), ("truth", truth)):
        if not image.is_floating_point():
            raise InvalidValueError(f"{name} must hold floating-point numbers, got {image.dtype}; use {name}.float()")
        if image.ndim < 3 or 0 in image.shape[-3:]:
            raise ShapeError(f"{name} has shape {tuple(image.shape)}; expected (..., C, H, W)")
    if estimate.shape[-3:] != truth.shape[-3:]:
        raise ShapeError(f"estimate has images of shape {tuple(estimate.shape[-3:])}, truth {tuple(truth.shape[-3:])}")
    try:
        truth = truth.expand(estimate.shape)
    except RuntimeError as error:
        raise ShapeError(
            f"the leading dimensions of truth {tuple(truth.shape[:-3])} do not broadcast to those of estimate "
            f"{tuple(estimate.shape[:-3])}"
        ) from error
    dtype = torch.promote_types(estimate.dtype, truth.dtype)
    return estimate.to(dtype), truth.to(dtype)


def _limits(value_range: tuple[float, float]) -> tuple[float, float]:
    low, high = value_range
    if not low < high:
        raise InvalidValueError(f"value_range is (smallest, largest value), got {value_range}")
    return low, high
