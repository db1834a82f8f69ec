"""Operators that see a complex image through the sensitivities of receiver coils."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.operators.base import LinearOperator


class CoilOperator(LinearOperator):
    r"""A linear operator on the images \(S_c \odot x\) of C coils.

    A complex image is two real channels, its real and its imaginary part; measurements are complex.

    Args:
        maps: Coil sensitivities S, complex, (C, H, W) or (B, C, H, W), one set for each measurement.
        measured: Shape of what one coil measures.

    Raises:
        ShapeError: Maps are of another shape.
        InvalidValueError: Maps are not complex, or all zero.
    """

    is_complex = True
    _maps: Tensor

    def __init__(self, maps: Tensor, measured: Sequence[int]) -> None:
        name = type(self).__name__
        if maps.ndim not in (3, 4):
            raise ShapeError(f"the maps of {name} have shape {tuple(maps.shape)}; expected ([B,] C, H, W)")
        if not maps.is_complex() or not bool(maps.any()):
            raise InvalidValueError(f"the maps of {name} must be complex and not all zero, got {maps.dtype}")
        super().__init__((2, *maps.shape[-2:]), (maps.shape[-3], *measured))
        # As pairs of real numbers, so that .to(torch.float64) converts them.
        self.register_batched("_maps", torch.view_as_real(maps.resolve_conj()).clone(), 4)

    @property
    def maps(self) -> Tensor:
        """Coil sensitivities ([B,] C, H, W)."""
        return torch.view_as_complex(self._maps)

    def _coil_images(self, x: Tensor) -> Tensor:
        """S x: (..., 2, H, W) → (..., C, H, W)."""
        return self.maps * torch.complex(*x.unbind(-3)).unsqueeze(-3)

    def _combined(self, images: Tensor) -> Tensor:
        """Sᴴ of complex images (..., C, H, W) as two channels (..., 2, H, W)."""
        return as_channels((self.maps.conj() * images).sum(-3))


def as_channels(image: Tensor) -> Tensor:
    """A complex image (..., H, W) as two real channels (..., 2, H, W)."""
    return torch.stack([image.real, image.imag], -3)
