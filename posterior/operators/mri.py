"""Cartesian magnetic resonance imaging: Fourier coefficients of an image seen through several coils."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.checks import Shape, checked
from posterior.errors import ShapeError
from posterior.linalg import SpectralFunction, own_values
from posterior.operators.coils import CoilOperator, as_channels
from posterior.operators.fourier import centred_fft, centred_ifft
from posterior.operators.masks import MaskedOperator

_LARGEST = 2**22  # entries of the matrices of a measurement's rows: 32 MiB in complex64
_MEASUREMENTS = 8  # as large as that at the most: 256 MiB


class MultiCoilMRI(CoilOperator, MaskedOperator):
    r"""Cartesian MRI with several coils, \(y_c = M F (S_c \odot x)\), F the centred orthonormal Fourier transform.

    A complex image is two real channels, its real and its imaginary part; measurements are complex. Where
    \(\sum_c |S_c|^2 = 1\), as maps are usually normalised, or 0, as outside the head, ‖A‖ ≤ 1. One coil of sensitivity
    1 is `maps` of ones. A stack of slices is a batch of B measurements, with maps, and a mask, of each.

    A mask of whole columns leaves the rows of an image apart: AᵀA is a W × W matrix for each. Where these have at most
    2²² entries, as at 160 × 160, and 2²⁵ for all measurements with maps or masks of their own, functions of AᵀA are
    exact, by their eigenvectors, and `knows_spectrum` is true; elsewhere they are expanded in Chebyshev polynomials.

    Args:
        maps: Coil sensitivities S, complex, (C, H, W) or (B, C, H, W), one set for each measurement.
        mask: True or 1 where k-space is measured: (H, W) with the zero frequency at (⌊H/2⌋, ⌊W/2⌋), (W,) for whole
            columns, or (B, 1, H, W), one for each measurement; all of it unless given.
        grid: (H′, W′) of k-space and its mask, where its field of view is larger than the image, around whose pixel
            (⌊H/2⌋, ⌊W/2⌋) there is nothing else in it; that of the image unless given.

    Raises:
        ShapeError: Maps or mask are of another shape, or the grid is smaller than the image.
        InvalidValueError: Maps are not complex or all zero, the mask holds other numbers than 0 and 1, or a measurement
            has no coefficient.
    """

    @checked
    def __init__(self, maps: Tensor, mask: Tensor | None = None, grid: Shape | None = None) -> None:
        image = tuple(maps.shape[-2:])
        grid = image if grid is None else tuple(grid)
        if len(grid) != 2 or any(n < m for n, m in zip(grid, image, strict=False)):
            raise ShapeError(
                f"the grid of MultiCoilMRI is {grid}; expected (H′, W′), no smaller than the image's {image}"
            )
        super().__init__(maps, grid)
        start = [n // 2 - m // 2 for n, m in zip(grid, image, strict=True)]
        self._window = slice(start[0], start[0] + image[0]), slice(start[1], start[1] + image[1])
        if mask is not None and mask.ndim > 2 and mask.shape[-3] != 1:  # a mask (B, H, W) is none for each coil
            raise ShapeError(
                f"the mask of MultiCoilMRI has shape {tuple(mask.shape)}; expected (W,), (H, W) or (B, 1, H, W), the "
                "same for all coils"
            )
        self._set_mask(torch.ones(grid) if mask is None else mask)
        columns = bool((self._whole_mask() == self._whole_mask()[..., :1, :]).all())
        entries, own = math.prod(image) * image[1], max(math.prod(maps.shape[:-3]), math.prod(self.mask.shape[:-3]))
        self.knows_spectrum = columns and entries <= _LARGEST and own * entries <= _MEASUREMENTS * _LARGEST

    def norm(self) -> Tensor:
        """As in the base class, or the largest root of the maps' sum of squares if that is less: ‖A‖ of the full F."""
        return torch.minimum(super().norm(), self._maps.square().sum((-4, -1)).flatten(-2).amax(-1).sqrt())

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(AᵀA) x, row by row where the mask takes whole columns of an image that is not too large."""
        if not self.knows_spectrum:
            return super().gram_function(function, x)
        values, vectors = self._cached("rows", self._rows)
        image = torch.complex(*x.unbind(-3))
        if values.ndim == 2:
            factors, rows = function(values), "hvu"
        else:  # f may depend on the measurement as the eigenvalues do
            factors, rows = own_values(function, values), "bhvu"
            image = image.expand(torch.broadcast_shapes(image.shape, values.shape))
        lead = "..." + rows[:-2]
        parts = torch.einsum(f"{rows},{lead}v->{lead}u", vectors.conj(), image)
        return as_channels(torch.einsum(f"{rows},{lead}u->{lead}v", vectors, factors.to(x.dtype) * parts))

    def _rows(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues ([B,] H, W) and eigenvectors ([B,] H, W, W) of AᵀA for each row of an image."""
        maps = self.maps.to(torch.complex128).movedim(-3, -2)
        mask = self._whole_mask()[..., 0, :].double()
        mask = mask[..., 0, :] if mask.ndim == 3 else mask  # all coils have the same
        eye = torch.eye(mask.shape[-1], dtype=maps.dtype, device=maps.device)
        waves = centred_fft(eye.unsqueeze(-2)).squeeze(-2)[:, self._window[1]]  # F of one row of the image
        filters = (waves.mH * mask.unsqueeze(-2)) @ waves
        values, vectors = torch.linalg.eigh((maps.mH @ maps) * filters.unsqueeze(-3))
        return values.clamp_min(0), vectors.to(self.maps.dtype)

    def transform(self, x: Tensor) -> Tensor:
        """All of k-space (..., C, H′, W′), F S x, of images (..., 2, H, W), whatever the mask."""
        images = self._coil_images(x)
        whole = images
        if self.measurement_shape[-2:] != self.event_shape[-2:]:
            whole = images.new_zeros(*images.shape[:-2], *self.measurement_shape[-2:])
            whole[..., self._window[0], self._window[1]] = images
        return centred_fft(whole)

    def transform_adjoint(self, k: Tensor) -> Tensor:
        """The images (..., 2, H, W) of all of k-space, Sᴴ Fᴴ k: the adjoint of `transform`."""
        return self._combined(centred_ifft(k)[..., self._window[0], self._window[1]])

    def _forward(self, x: Tensor) -> Tensor:
        return self._masked(self.transform(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.transform_adjoint(self._masked(y))

    def gram(self, x: Tensor) -> Tensor:
        """AᵀA x, with images moved to the origin of plain Fourier transforms instead of every coil."""
        if self.measurement_shape[-2:] != self.event_shape[-2:]:
            return super().gram(x)
        maps, mask = self._cached("at origin", lambda: (_to_origin(self.maps), _to_origin(self._whole_mask())))
        image = _to_origin(torch.complex(*x.unbind(-3))).unsqueeze(-3)
        spectrum = torch.fft.fft2(maps * image)
        self._check_count(spectrum)
        image = (maps.conj() * torch.fft.ifft2(mask * spectrum)).sum(-3)
        return as_channels(torch.fft.fftshift(image, dim=(-2, -1)))


def _to_origin(values: Tensor) -> Tensor:
    return torch.fft.ifftshift(values, dim=(-2, -1))
