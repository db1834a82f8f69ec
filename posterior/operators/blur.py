"""Convolution with a kernel: an image out of focus or in motion, a trace that a seismic wavelet has smeared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from torch import Tensor

from posterior.checks import Positive, Range, Shape, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.linalg import SpectralFunction, chebyshev
from posterior.operators.base import LinearOperator
from posterior.shapes import image_shape, over_channels

Boundary = Literal["circular", "reflect"]

_RICKER = 3.6  # πft at which a Ricker wavelet falls below 10⁻⁴


class Blur(LinearOperator):
    r"""Convolution of every channel with one kernel, \(A(x) = k * x\), of the image's shape.

    $$ A(x)_i = \sum_j k_j \, x_{i + c - j}, \quad c = \lfloor \text{kernel shape} / 2 \rfloor $$

    Args:
        event_shape: (..., H, W).
        kernel: (kh, kw), or (B, kh, kw), one for each measurement, of any sum.
        boundary: "circular" continues the image periodically: the Fourier transform diagonalises A, and norm and
            spectral functions are exact. "reflect" mirrors it about its border pixels.

    Raises:
        ShapeError: event_shape has no H and W, the kernel is not (kh, kw), or it is larger than the image.
        InvalidValueError: The kernel is zero, not real or not finite, or boundary is neither.
    """

    kernel: Tensor

    @checked
    def __init__(self, event_shape: Shape, kernel: Tensor, boundary: Boundary = "circular") -> None:
        event_shape = tuple(event_shape)
        super().__init__(event_shape, event_shape)
        if (
            len(event_shape) < 2
            or kernel.ndim not in (2, 3)
            or any(k > n for k, n in zip(kernel.shape[-2:], event_shape[-2:], strict=False))
        ):
            raise ShapeError(
                "Blur takes images (..., H, W) and a kernel (kh, kw), or one for each measurement, no larger; "
                f"got event_shape {event_shape} and a kernel of shape {tuple(kernel.shape)}"
            )
        if kernel.dtype not in (torch.float32, torch.float64) or not bool(kernel.any()):  # in half there is no FFT
            raise InvalidValueError(
                f"the kernel of Blur must be floating-point, of single or double precision, and not zero; got {kernel}"
            )
        self.boundary, self.knows_spectrum = boundary, boundary == "circular" and kernel.ndim == 2
        self._set_kernel(kernel)

    def _set_kernel(self, kernel: Tensor) -> None:
        self.register_batched("kernel", kernel, 2)
        # Pixels to continue the image by: before (left, above) and after (right, below).
        reflects = self.boundary == "reflect"
        self._margins = [(k - 1 - k // 2, k // 2) if reflects else (0, 0) for k in kernel.shape[-2:]]
        self._padded = [n + sum(margin) for n, margin in zip(self.event_shape[-2:], self._margins, strict=True)]

    @staticmethod
    @checked
    def gaussian(event_shape: Shape, std: Positive | Tensor, boundary: Boundary = "circular") -> GaussianBlur:
        """Blur by a Gaussian of standard deviation `std` pixels, whose width is a parameter.

        Raises:
            InvalidValueError: std is not positive.
        """
        return GaussianBlur(event_shape, std, boundary)

    @classmethod
    @checked
    def motion(
        cls, event_shape: Shape, length: Annotated[float, Range(1)], angle: float, boundary: Boundary = "circular"
    ) -> Blur:
        """Blur by uniform motion along a line of `length` pixels, `angle` degrees counter-clockwise from horizontal.

        Raises:
            InvalidValueError: length is less than 1.
            ShapeError: The line is longer than the image.
        """
        if length > math.hypot(*image_shape(event_shape)):
            raise ShapeError(
                f"Blur.motion takes a line no larger than images of event_shape {tuple(event_shape)}, got length "
                f"{length:g}"
            )
        half = (length - 1) / 2
        steps = torch.linspace(-half, half, 16 * math.ceil(length) + 1, dtype=torch.float64)
        radians = math.radians(angle)
        points = torch.stack([-steps * math.sin(radians), steps * math.cos(radians)])  # rows run down
        radii = [math.ceil(half * abs(f(radians)) - 1e-9) for f in (math.sin, math.cos)]
        kernel = torch.zeros([2 * r + 1 for r in radii], dtype=torch.float64)
        # Each point is shared between its four neighbours, in bilinear proportion.
        places = [torch.arange(-r, r + 1, dtype=torch.float64)[:, None] for r in radii]
        shares = [(1 - (place - p).abs()).clamp_min(0) for place, p in zip(places, points, strict=True)]
        kernel = shares[0] @ shares[1].T
        return cls(event_shape, (kernel / kernel.sum()).to(torch.get_default_dtype()), boundary)

    @classmethod
    @checked
    def ricker(
        cls, event_shape: Shape, frequency: Annotated[float, Range(0, 0.5, "()")], boundary: Boundary = "circular"
    ) -> Blur:
        r"""Convolution of every row, a seismic trace, with a Ricker wavelet of largest value 1.

        $$ k(t) = (1 - 2\pi^2 f^2 t^2)\, e^{-\pi^2 f^2 t^2} $$

        cut off where it is below 10⁻⁴, or at the row's length.

        Args:
            event_shape: (..., traces, samples).
            frequency: f, at which its spectrum is largest, in cycles a sample.
            boundary: As for `Blur`.
        """
        samples = image_shape(event_shape)[1]
        radius = min(math.ceil(_RICKER / (math.pi * frequency)), (samples - 1) // 2)
        phase = (math.pi * frequency * torch.arange(-radius, radius + 1, dtype=torch.float64)) ** 2
        wavelet = (1 - 2 * phase) * torch.exp(-phase)
        return cls(event_shape, wavelet[None].to(torch.get_default_dtype()), boundary)

    def norm(self) -> Tensor:
        """The largest magnitude of the kernel's Fourier transform, exactly, if circular; else as in the base class."""
        if self.boundary == "circular":
            return self._cached("norm", lambda: self._transfer().abs().amax((-2, -1)))
        return super().norm()

    def gram(self, x: Tensor) -> Tensor:
        """AᵀA x, in one pair of Fourier transforms if circular."""
        return self.gram_function(lambda values: values, x) if self.boundary == "circular" else super().gram(x)

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(AᵀA) x, by Fourier transform if circular."""
        if self.boundary != "circular":
            return super().gram_function(function, x)
        spectrum = self._transfer().abs().square().to(x.dtype)
        if spectrum.ndim == 2:
            factors = function(spectrum)
        else:  # each measurement takes its own f at its own spectrum: the expansion sees to that
            factors = chebyshev(spectrum.mul, self.norm() ** 2, function, torch.ones_like(spectrum), 2)
        return self._filter(x, factors.to(x.dtype))

    def _forward(self, x: Tensor) -> Tensor:
        (top, _), (left, _) = self._margins
        x = self._filter(self._pad(x), self._transfer())
        return x[..., top : top + self.event_shape[-2], left : left + self.event_shape[-1]]

    def _adjoint(self, y: Tensor) -> Tensor:
        (top, bottom), (left, right) = self._margins
        y = torch.nn.functional.pad(y, (left, right, top, bottom))
        return self._pad_adjoint(self._filter(y, self._transfer().conj()))

    def _filter(self, x: Tensor, transfer: Tensor) -> Tensor:
        return torch.fft.irfft2(torch.fft.rfft2(x) * over_channels(transfer, len(self.event_shape)), s=self._padded)

    def _transfer(self) -> Tensor:
        """Fourier transform of the kernel with its centre moved to the origin, on the padded image."""

        def compute() -> Tensor:
            (kh, kw), (h, w) = self.kernel.shape[-2:], self._padded
            image = torch.nn.functional.pad(self.kernel, (0, w - kw, 0, h - kh))
            return torch.fft.rfft2(image.roll((-(kh // 2), -(kw // 2)), (-2, -1)))

        return self._cached("transfer", compute)

    def _pad(self, x: Tensor) -> Tensor:
        """Continue the image by its mirror image."""
        for dim, (before, after) in zip((-2, -1), self._margins, strict=True):
            n = x.shape[dim]
            head, tail = x.narrow(dim, 1, before).flip(dim), x.narrow(dim, n - 1 - after, after).flip(dim)
            x = torch.cat([head, x, tail], dim) if before or after else x
        return x

    def _pad_adjoint(self, x: Tensor) -> Tensor:
        """Add what lies in the margins to the pixels that it mirrors."""
        for dim, (before, after) in zip((-2, -1), self._margins, strict=True):
            n = x.shape[dim] - before - after
            inner = x.narrow(dim, before, n).clone()
            inner.narrow(dim, 1, before).add_(x.narrow(dim, 0, before).flip(dim))
            inner.narrow(dim, n - 1 - after, after).add_(x.narrow(dim, before + n, after).flip(dim))
            x = inner
        return x


class GaussianBlur(Blur):
    """Convolution with a Gaussian of sum 1, cut off at 4 std or at the image's size; `Blur.gaussian` makes it.

    Args:
        event_shape: (..., H, W).
        std: Standard deviation in pixels, the parameter `std`: one number, or (B,) for a batch of measurements.
        boundary: As of `Blur`.

    Raises:
        InvalidValueError: std is not positive.
        ShapeError: event_shape has no H and W.
    """

    std: Tensor

    def __init__(self, event_shape: Sequence[int], std: float | Tensor, boundary: Boundary = "circular") -> None:
        image_shape(event_shape)
        super().__init__(event_shape, torch.ones(1, 1), boundary)
        self._add_parameter("std", std)
        self._buffers["std"] = self.std.to(self.kernel.dtype)
        self._check_parameters()

    def _check_parameters(self) -> None:
        std, profiles = self.std.double(), []
        for length in image_shape(self.event_shape):
            radius = (4 * std).ceil().clamp_max((length - 1) // 2)
            widest = int(radius.max())
            place = torch.arange(-widest, widest + 1, dtype=torch.float64, device=std.device)
            profile = torch.exp(-0.5 * (place / std[..., None]) ** 2) * (place.abs() <= radius[..., None])
            profiles.append(profile / profile.sum(-1, keepdim=True))
        self.knows_spectrum = self.boundary == "circular" and std.ndim == 0
        self._set_kernel((profiles[0][..., :, None] * profiles[1][..., None, :]).to(self.kernel))

    def norm(self) -> Tensor:
        """1, exactly, if circular: the kernel has no negative entry; else as in the base class."""
        return self.kernel.new_ones(()) if self.boundary == "circular" else super().norm()
