"""Cartesian magnetic resonance imaging: Fourier coefficients of an image seen through several coils."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.checks import checked
from posterior.errors import ShapeError
from posterior.operators.coils import CoilOperator, as_channels
from posterior.operators.fourier import centred_fft, centred_ifft
from posterior.operators.masks import MaskedOperator


class MultiCoilMRI(CoilOperator, MaskedOperator):
    r"""Cartesian MRI with several coils, \(y_c = M F (S_c \odot x)\), F the centred orthonormal Fourier transform.

    A complex image is two real channels, its real and its imaginary part; measurements are complex. Where
    \(\sum_c |S_c|^2 = 1\), as maps are usually normalised, or 0, as outside the head, ‖A‖ ≤ 1. One coil of sensitivity
    1 is `maps` of ones. A stack of slices is a batch of B measurements, with maps, and a mask, of each.

    Args:
        maps: Coil sensitivities S, complex, (C, H, W) or (B, C, H, W), one set for each measurement.
        mask: True or 1 where k-space is measured: (H, W) with the zero frequency at (⌊H/2⌋, ⌊W/2⌋), (W,) for whole
            columns, or (B, 1, H, W), one for each measurement; all of it unless given.

    Raises:
        ShapeError: Maps or mask are of another shape.
        InvalidValueError: Maps are not complex or all zero, the mask holds other numbers than 0 and 1, or a measurement
            has no coefficient.
    """

    @checked
    def __init__(self, maps: Tensor, mask: Tensor | None = None) -> None:
        super().__init__(maps, maps.shape[-2:])
        if mask is not None and mask.ndim > 2 and mask.shape[-3] != 1:  # a mask (B, H, W) is none for each coil
            raise ShapeError(
                f"the mask of MultiCoilMRI has shape {tuple(mask.shape)}; expected (W,), (H, W) or (B, 1, H, W), the "
                "same for all coils"
            )
        self._set_mask(torch.ones(maps.shape[-2:]) if mask is None else mask)

    def norm(self) -> Tensor:
        """As in the base class, or the largest root of the maps' sum of squares if that is less: ‖A‖ of the full F."""
        return torch.minimum(super().norm(), self._maps.square().sum((-4, -1)).flatten(-2).amax(-1).sqrt())

    def _forward(self, x: Tensor) -> Tensor:
        return self._masked(centred_fft(self._coil_images(x)))

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._combined(centred_ifft(self._masked(y)))

    def gram(self, x: Tensor) -> Tensor:
        """AᵀA x, with images moved to the origin of plain Fourier transforms instead of every coil."""
        maps, mask = self._cached("at origin", lambda: (_to_origin(self.maps), _to_origin(self._whole_mask())))
        image = _to_origin(torch.complex(*x.unbind(-3))).unsqueeze(-3)
        spectrum = torch.fft.fft2(maps * image)
        self._check_count(spectrum)
        image = (maps.conj() * torch.fft.ifft2(mask * spectrum)).sum(-3)
        return as_channels(torch.fft.fftshift(image, dim=(-2, -1)))


def _to_origin(values: Tensor) -> Tensor:
    return torch.fft.ifftshift(values, dim=(-2, -1))
