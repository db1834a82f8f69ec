"""Coefficients of the Fourier transform of a real image, all or some."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.checks import Shape, checked
from posterior.errors import ShapeError
from posterior.linalg import SpectralFunction
from posterior.operators.masks import MaskedOperator
from posterior.shapes import expand_right

_EIGENVALUES = (0.0, 0.5, 1.0)


def centred_fft(x: Tensor) -> Tensor:
    """The orthonormal Fourier transform of the last two dimensions, with the origin of both domains at ⌊n/2⌋."""
    shifted = torch.fft.ifftshift(x, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.fft2(shifted, norm="ortho"), dim=(-2, -1))


def centred_ifft(y: Tensor) -> Tensor:
    """The inverse of `centred_fft`, which is its adjoint as well."""
    shifted = torch.fft.ifftshift(y, dim=(-2, -1))
    return torch.fft.fftshift(torch.fft.ifft2(shifted, norm="ortho"), dim=(-2, -1))


class Fourier(MaskedOperator):
    r"""Some coefficients of the centred orthonormal Fourier transform of a real image, \(A(x) = m \odot F x\).

    Every channel is transformed on its own. Measurements are complex and of the image's shape, zero where nothing is
    measured. Coefficients at opposite frequencies are conjugates of each other: where one is measured without the
    other, AᵀA has the eigenvalue ½, else 1 or 0. (Complex images, of two channels, are those of `MultiCoilMRI`.)

    Args:
        event_shape: Shape of one image (..., H, W).
        mask: True or 1 where measured, as for `Inpainting`: (H, W) with the zero frequency at (⌊H/2⌋, ⌊W/2⌋), or what
            broadcasts to event_shape, or (B, *event_shape) for B measurements; all coefficients unless given.

    Raises:
        ShapeError: event_shape has no H and W, or the mask does not fit it.
        InvalidValueError: The mask holds other numbers than 0 and 1, or a measurement has no coefficient.
    """

    is_complex = True
    knows_spectrum = True

    @checked
    def __init__(self, event_shape: Shape, mask: Tensor | None = None) -> None:
        event_shape = tuple(event_shape)
        super().__init__(event_shape, event_shape)
        if len(event_shape) < 2:
            raise ShapeError(f"Fourier takes images (..., H, W), got event_shape {event_shape}")
        self._set_mask(torch.ones(event_shape[-2:]) if mask is None else mask)

    def norm(self) -> Tensor:
        """1, which is ‖A‖ where the mask holds any coefficient and its opposite, such as the zero frequency."""
        return torch.tensor(1.0, dtype=torch.float64)

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(AᵀA) x, by Fourier transform."""
        values, spectrum = function(x.new_tensor(_EIGENVALUES)).to(x.dtype), self._spectrum()
        dims = len(self.event_shape)
        parts = zip(values.unbind(-1), _EIGENVALUES, strict=True)
        filters = torch.stack([expand_right(value, dims) * (spectrum == eigenvalue) for value, eigenvalue in parts])
        return centred_ifft(filters.sum(0) * centred_fft(x)).real

    def _forward(self, x: Tensor) -> Tensor:
        return self._masked(centred_fft(x))

    def _adjoint(self, y: Tensor) -> Tensor:
        return centred_ifft(self._masked(y)).real

    def _spectrum(self) -> Tensor:
        """Eigenvalues of AᵀA by frequency, of the mask's shape: means of the mask at k and −k."""

        def compute() -> Tensor:
            at_origin = torch.fft.ifftshift(self._whole_mask().double(), dim=(-2, -1))
            opposite = at_origin.flip(-2, -1).roll((1, 1), (-2, -1))
            return torch.fft.fftshift((at_origin + opposite) / 2, dim=(-2, -1))

        return self._cached("spectrum", compute)
