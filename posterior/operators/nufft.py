"""The Fourier transform of images at frequencies off the grid, by interpolation from a grid of twice the size."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

_POINTS = {torch.float32: 8, torch.float64: 14}  # of the kernel along an axis: relative errors of 1e-7 and 1e-13


class NonUniformFFT:
    r"""Fourier coefficients of images at B lists of K frequencies, with the origin of an image at ⌊n/2⌋.

    $$ (F x)_k = \frac{1}{\sqrt{HW}} \sum_r x_r\, e^{-2\pi i\,(k_1 r_1/H + k_2 r_2/W)} $$

    At integer frequencies these are the coefficients of `centred_fft`. The image, divided by the transform of a
    Kaiser–Bessel kernel, goes to a grid of twice as many frequencies, from which the kernel interpolates.

    Args:
        frequencies: (B, K, 2), row before column, in cycles per field of view.
        shape: (H, W).
        dtype: Precision of real and imaginary parts, on which the width of the kernel depends.

    References:
        Fessler & Sutton 2003, Nonuniform fast Fourier transforms using min-max interpolation, IEEE Trans. Signal
        Process. 51; Beatty, Nishimura & Pauly 2005, Rapid gridding reconstruction with a minimal oversampling ratio,
        IEEE Trans. Med. Imaging 24 (the kernel's shape).
    """

    def __init__(self, frequencies: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> None:
        self.shape, self.grid = shape, (2 * shape[0], 2 * shape[1])
        points = _POINTS.get(dtype, 8)
        scales = [1 / _kernel_transform(n, points, frequencies.device) for n in shape]
        self.scale = (scales[0][:, None] * scales[1] / math.sqrt(math.prod(shape))).to(dtype)
        self.reading, self.writing = _tables(frequencies.double(), self.grid, points, dtype)
        self.lists, self.length = frequencies.shape[:2]

    def forward(self, x: Tensor) -> Tensor:
        """F x of complex images (B, N, H, W), with the frequencies of each b: (B, N, K)."""
        rows, columns = self.shape
        padded = torch.nn.functional.pad(self.scale * x, (0, columns, 0, rows))
        spectrum = torch.fft.fft2(padded.roll((-(rows // 2), -(columns // 2)), (-2, -1)))
        return _interpolate(spectrum.flatten(-2), self.reading, self.writing)

    def adjoint(self, y: Tensor) -> Tensor:
        """Fᴴ y of coefficients (B, N, K): (B, N, H, W)."""
        rows, columns = self.shape
        spectrum = _interpolate(y, self.writing, self.reading).unflatten(-1, self.grid)
        padded = torch.fft.ifft2(spectrum, norm="forward").roll((rows // 2, columns // 2), (-2, -1))
        return self.scale * padded[..., :rows, :columns]

    def overlap(self, weights: Tensor) -> Tensor:
        """Sums over frequencies near each, by the product of their kernels, of weights (B, N, K)."""
        return _interpolate(_interpolate(weights, self.writing, self.reading), self.reading, self.writing)


def gram_spectrum(frequencies: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    r"""The multiplier λ (B, 2H, 2W) by which FᴴF acts: it is a convolution, and a circular one on twice the grid.

    $$ F^H F x = \mathrm{crop}\; \mathrm{FFT}^{-1}(\lambda \odot \mathrm{FFT}(\mathrm{pad}\; x)) $$

    Args:
        frequencies: (B, K, 2), as for `NonUniformFFT`.
        shape: (H, W).
        dtype: Precision of λ.
    """
    lags = (2 * shape[0], 2 * shape[1])
    transform = NonUniformFFT(2 * frequencies, lags, torch.float64)
    ones = torch.ones(transform.lists, 1, transform.length, dtype=torch.complex128, device=frequencies.device)
    kernel = transform.adjoint(ones)[:, 0] * (2 / math.sqrt(math.prod(shape)))
    return torch.fft.fft2(torch.fft.ifftshift(kernel, dim=(-2, -1))).real.to(dtype)


def convolve(spectrum: Tensor, x: Tensor) -> Tensor:
    """FᴴF x of complex images (..., H, W), given its multiplier (..., 2H, 2W)."""
    wide = torch.fft.ifft2(spectrum * torch.fft.fft2(x, s=tuple(spectrum.shape[-2:])))
    return wide[..., : x.shape[-2], : x.shape[-1]]


class _Table(NamedTuple):
    """A sparse real matrix by its rows: the columns and values of entry after entry, and where each row begins."""

    columns: Tensor
    values: Tensor
    starts: Tensor


class _Product(torch.autograd.Function):
    """A sparse matrix times a dense one, with derivatives of any order by its transpose."""

    @staticmethod
    def forward(ctx: Any, dense: Tensor, table: _Table, transpose: _Table) -> Tensor:
        ctx.tables = transpose, table
        return embedding_bag(table.columns, dense, table.starts, mode="sum", per_sample_weights=table.values)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(slopes[0].contiguous(), *ctx.tables), None, None


def _interpolate(values: Tensor, table: _Table, transpose: _Table) -> Tensor:
    """The product with complex values (B, N, columns), of each b with its own block of the matrix: (B, N, rows)."""
    dense = torch.view_as_real(values.movedim(1, 2).resolve_conj()).flatten(0, 1).flatten(1).contiguous()
    out = _Product.apply(dense, table, transpose)
    out = out.unflatten(1, (values.shape[1], 2)).unflatten(0, (values.shape[0], -1))
    return torch.view_as_complex(out.contiguous()).movedim(2, 1)


def _tables(frequencies: Tensor, grid: tuple[int, int], points: int, dtype: torch.dtype) -> tuple[_Table, _Table]:
    """The matrix that reads coefficients from the grid, and its transpose, for all b in one."""
    lists, length, _ = frequencies.shape
    place = 2 * frequencies[..., None]  # in steps of the grid
    taps = torch.ceil(place - points / 2) + torch.arange(points, device=frequencies.device)
    kernel = _kernel(place - taps, points)
    row, column = (taps[..., axis, :].long() % grid[axis] for axis in range(2))
    first = torch.arange(lists, device=frequencies.device)[:, None, None, None] * math.prod(grid)
    nodes = (first + row[..., :, None] * grid[1] + column[..., None, :]).flatten()
    values = (kernel[..., 0, :, None] * kernel[..., 1, None, :]).flatten().to(dtype)
    order = nodes.argsort(stable=True)
    every = torch.arange(lists * math.prod(grid), device=frequencies.device)
    starts = torch.arange(lists * length, device=frequencies.device) * points**2
    reading = _Table(nodes, values, starts)
    return reading, _Table(order // points**2, values[order], torch.searchsorted(nodes[order], every))


def _shape_of(points: int) -> float:
    return math.pi * math.sqrt((0.75 * points) ** 2 - 0.8)


def _kernel(distance: Tensor, points: int) -> Tensor:
    r"""The Kaiser–Bessel kernel \(e^{-\beta} I_0(\beta\sqrt{1 - (2t/J)^2})\), J points wide."""
    beta = _shape_of(points)
    root = (1 - (2 * distance / points) ** 2).clamp_min(0).sqrt()
    return torch.special.i0e(beta * root) * torch.exp(beta * (root - 1))


def _kernel_transform(n: int, points: int, device: torch.device) -> Tensor:
    """Its Fourier transform at the n pixels of an axis."""
    beta = _shape_of(points)
    pixels = torch.arange(n, dtype=torch.float64, device=device) - n // 2
    root = (beta**2 - (math.pi * points * pixels / (2 * n)) ** 2).sqrt()
    return points * (torch.exp(root - beta) - torch.exp(-root - beta)) / (2 * root)
