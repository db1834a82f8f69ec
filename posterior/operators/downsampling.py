"""Lower resolution, by block means or bicubic resampling."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from posterior.checks import Count, Shape, checked
from posterior.errors import ShapeError
from posterior.linalg import SpectralFunction
from posterior.operators.base import LinearOperator
from posterior.operators.kinds import OperatorOfKinds
from posterior.operators.tight import TightOperator
from posterior.shapes import over_channels


class Downsampling(OperatorOfKinds):
    """An image at 1/factor of its resolution: super-resolution.

    kind="mean" averages factor × factor blocks; kind="bicubic" resamples with the cubic kernel (a = −½) stretched by
    the factor, which is antialiased, and renormalised at the border (as Pillow and torch's antialias=True do).

    Args:
        event_shape: (..., H, W); measurements are (..., H/factor, W/factor).
        factor: Positive integer that divides H and W.
        kind: "mean" or "bicubic".

    Raises:
        ShapeError: event_shape has no H and W, or factor does not divide them.
        InvalidValueError: factor or kind is none of the above.

    References:
        Keys 1981, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29 (the kernel).
    """

    @checked
    def __init__(self, event_shape: Shape, factor: Count, kind: Literal["mean", "bicubic"] = "mean") -> None:
        event_shape = tuple(event_shape)
        kinds: dict[str, type[BlockMean | Bicubic]] = {"mean": BlockMean, "bicubic": Bicubic}
        if len(event_shape) < 2 or event_shape[-2] % factor or event_shape[-1] % factor:
            raise ShapeError(
                f"Downsampling by {factor} takes images (..., H, W) with sides that {factor} divides, got event_shape "
                f"{event_shape}; crop or pad the images"
            )
        super().__init__(kinds[kind](event_shape, factor))
        self.factor = factor


class BlockMean(TightOperator):
    """Means of factor × factor blocks, a tight operator with c = 1/factor²."""

    def __init__(self, event_shape: tuple[int, ...], factor: int) -> None:
        super().__init__(event_shape, _measurement_shape(event_shape, factor), scale=1 / factor**2)
        self.factor = factor

    def _forward(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (-1, self.factor)).unflatten(-3, (-1, self.factor)).mean((-3, -1))

    def _adjoint(self, y: Tensor) -> Tensor:
        shape = (*y.shape[:-2], *self.event_shape[-2:])
        blocks = (y / self.factor**2)[..., :, None, :, None]
        return blocks.expand(*y.shape[:-1], self.factor, y.shape[-1], self.factor).reshape(shape)


class Bicubic(LinearOperator):
    r"""Antialiased cubic resampling, \(A(x) = R_H x R_W^T\) with dense R, so that adjoint and spectrum are exact."""

    knows_spectrum = True

    def __init__(self, event_shape: tuple[int, ...], factor: int) -> None:
        super().__init__(event_shape, _measurement_shape(event_shape, factor))
        self.factor = factor

    def norm(self) -> Tensor:
        """The product of the largest singular values of the two axes, exactly."""
        (values_h, _), (values_w, _) = (self._spectrum(n) for n in self.event_shape[-2:])
        return (values_h[-1] * values_w[-1]).sqrt()

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        r"""f(AᵀA) x from the eigenvectors \(u_i \otimes v_j\) and eigenvalues \(\lambda_i \mu_j\) of the two axes."""
        (values_h, vectors_h), (values_w, vectors_w) = (
            [t.to(x) for t in self._spectrum(n)] for n in self.event_shape[-2:]
        )
        factors = over_channels(function(values_h[:, None] * values_w), len(self.event_shape)).to(x.dtype)
        return vectors_h @ (factors * (vectors_h.T @ x @ vectors_w)) @ vectors_w.T

    def _forward(self, x: Tensor) -> Tensor:
        rows, columns = self._matrices(x)
        return rows @ x @ columns.T

    def _adjoint(self, y: Tensor) -> Tensor:
        rows, columns = self._matrices(y)
        return rows.T @ y @ columns

    def _matrices(self, x: Tensor) -> list[Tensor]:
        key = (x.dtype, x.device)
        return self._cached(key, lambda: [_cubic_matrix(n, self.factor).to(x) for n in self.event_shape[-2:]])

    def _spectrum(self, length: int) -> tuple[Tensor, Tensor]:
        """Eigenvalues (n,) and eigenvectors (n, n) of RᵀR for one axis, float64."""

        def compute() -> tuple[Tensor, Tensor]:
            matrix = _cubic_matrix(length, self.factor)
            values, vectors = torch.linalg.eigh(matrix.T @ matrix)
            return values.clamp_min(0), vectors

        return self._cached(("spectrum", length), compute)


def _measurement_shape(event_shape: tuple[int, ...], factor: int) -> tuple[int, ...]:
    return (*event_shape[:-2], event_shape[-2] // factor, event_shape[-1] // factor)


def _cubic_matrix(length: int, factor: int) -> Tensor:
    """Rows of Keys's kernel, stretched by factor, centred on the middle of each block, of sum 1: float64 (n/f, n)."""
    centres = (torch.arange(length // factor, dtype=torch.float64) + 0.5) * factor
    t = (torch.arange(length, dtype=torch.float64) + 0.5 - centres[:, None]).abs() / factor
    near = 1.5 * t**3 - 2.5 * t**2 + 1
    far = -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    weights = torch.where(t < 1, near, torch.where(t < 2, far, 0.0))
    return weights / weights.sum(1, keepdim=True)
