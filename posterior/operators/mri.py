"""Magnetic resonance imaging: Fourier coefficients of an image seen through the sensitivities of receiver coils."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.checks import checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.operators.fourier import centred_fft, centred_ifft
from posterior.operators.masks import MaskedOperator


class MultiCoilMRI(MaskedOperator):
    r"""Cartesian MRI with several coils, \(y_c = M F (S_c \odot x)\), F the centred orthonormal Fourier transform.

    A complex image is two real channels, its real and its imaginary part; measurements are complex. Where
    \(\sum_c |S_c|^2 = 1\), as maps are usually normalised, ‖A‖ ≤ 1. One coil of sensitivity 1 is `maps` of ones.

    Args:
        maps: Coil sensitivities S, complex, (C, H, W) or (B, C, H, W), one set for each measurement.
        mask: True or 1 where k-space is measured: (H, W) with the zero frequency at (⌊H/2⌋, ⌊W/2⌋), (W,) for whole
            columns, or (B, 1, H, W), one for each measurement; all of it unless given.

    Raises:
        ShapeError: Maps or mask are of another shape.
        InvalidValueError: Maps are not complex or all zero, the mask holds other numbers than 0 and 1, or a measurement
            has no coefficient.
    """

    is_complex = True
    _maps: Tensor

    @checked
    def __init__(self, maps: Tensor, mask: Tensor | None = None) -> None:
        if maps.ndim not in (3, 4):
            raise ShapeError(f"the maps of MultiCoilMRI have shape {tuple(maps.shape)}; expected ([B,] C, H, W)")
        if not maps.is_complex() or not bool(maps.any()):
            raise InvalidValueError(f"the maps of MultiCoilMRI must be complex and not all zero, got {maps.dtype}")
        super().__init__((2, *maps.shape[-2:]), tuple(maps.shape[-3:]))
        # As pairs of real numbers, so that .to(torch.float64) converts them.
        self.register_batched("_maps", torch.view_as_real(maps.resolve_conj()).clone(), 4)
        self._set_mask(torch.ones(maps.shape[-2:]) if mask is None else mask)

    @property
    def maps(self) -> Tensor:
        """Coil sensitivities ([B,] C, H, W)."""
        return torch.view_as_complex(self._maps)

    def norm(self) -> Tensor:
        """As in the base class, or the largest root of the maps' sum of squares if that is less: ‖A‖ of the full F."""
        return torch.minimum(super().norm(), self._maps.square().sum((-4, -1)).flatten(-2).amax(-1).sqrt())

    def _forward(self, x: Tensor) -> Tensor:
        image = torch.complex(*x.unbind(-3))
        return self._masked(centred_fft(self.maps * image.unsqueeze(-3)))

    def _adjoint(self, y: Tensor) -> Tensor:
        image = (self.maps.conj() * centred_ifft(self._masked(y))).sum(-3)
        return torch.stack([image.real, image.imag], -3)

    def gram(self, x: Tensor) -> Tensor:
        """AᵀA x, with images moved to the origin of plain Fourier transforms instead of every coil."""
        maps, mask = self._cached("at origin", lambda: (_to_origin(self.maps), _to_origin(self._whole_mask())))
        image = _to_origin(torch.complex(*x.unbind(-3))).unsqueeze(-3)
        spectrum = torch.fft.fft2(maps * image)
        self._check_count(spectrum)
        image = (maps.conj() * torch.fft.ifft2(mask * spectrum)).sum(-3)
        image = torch.fft.fftshift(image, dim=(-2, -1))
        return torch.stack([image.real, image.imag], -3)


def _to_origin(values: Tensor) -> Tensor:
    return torch.fft.ifftshift(values, dim=(-2, -1))
