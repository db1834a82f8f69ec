"""Magnetic resonance imaging along any trajectory: radial, spiral, or what the scanner made of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posterior.checks import checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.operators.coils import CoilOperator
from posterior.operators.nufft import NonUniformFFT, convolve, gram_spectrum


class NonCartesianMRI(CoilOperator):
    r"""MRI with several coils at any frequencies \(k_j\), \(y_{cj} = (F(S_c \odot x))(k_j)\).

    $$ (F x)(k) = \frac{1}{\sqrt{HW}} \sum_r x_r\, e^{-2\pi i\,(k_1 r_1/H + k_2 r_2/W)}, $$

    with r counted from pixel (⌊H/2⌋, ⌊W/2⌋): at integer k these are the coefficients of `MultiCoilMRI`. Complex images
    are two real channels, and measurements complex, (C, K). They are computed to 1e-7 in float32 and to 1e-12 in
    float64, and AᵀA, of which samplers take most products, by two Fourier transforms of twice the size.

    Weights that make up for the density of the frequencies are no part of A: noise that is white in y would not be so
    after them, and a posterior needs none. They are for images at a glance, `A.adjoint(weights * y)`
    (`posterior.mri.density_weights`).

    Args:
        maps: Coil sensitivities S, complex, (C, H, W) or (B, C, H, W), one set for each measurement.
        trajectory: Frequencies (K, 2), row before column, in cycles per field of view, from −H/2 to H/2 and −W/2 to
            W/2; or (B, K, 2), one trajectory for each measurement.

    Raises:
        ShapeError: Maps or trajectory are of another shape.
        InvalidValueError: Maps are not complex, or all zero; or the trajectory is complex.
    """

    trajectory: Tensor

    @checked
    def __init__(self, maps: Tensor, trajectory: Tensor) -> None:
        if trajectory.ndim not in (2, 3) or trajectory.shape[-1] != 2 or trajectory.numel() == 0:
            raise ShapeError(
                f"the trajectory of NonCartesianMRI has shape {tuple(trajectory.shape)}; expected ([B,] K, 2)"
            )
        if trajectory.is_complex():
            raise InvalidValueError("the trajectory of NonCartesianMRI is complex; its frequencies are real numbers")
        super().__init__(maps, trajectory.shape[-2:-1])
        self.register_batched("trajectory", trajectory.to(self._maps.dtype), 2)

    def _forward(self, x: Tensor) -> Tensor:
        return self._by_trajectory(self._transform(x.dtype).forward, self._coil_images(x), 3)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._combined(self._by_trajectory(self._transform(y.real.dtype).adjoint, y, 2))

    def gram(self, x: Tensor) -> Tensor:
        """AᵀA x, without interpolation: for each coil it is a convolution."""
        spectrum = self._cached(("gram", x.dtype), lambda: gram_spectrum(self._lists(), self._shape(), x.dtype))
        return self._combined(
            self._by_trajectory(lambda images: convolve(spectrum[:, None], images), self._coil_images(x), 3)
        )

    def _shape(self) -> tuple[int, int]:
        return self.event_shape[-2], self.event_shape[-1]

    def _lists(self) -> Tensor:
        """The trajectories (B, K, 2), B = 1 where all measurements have the same."""
        return self.trajectory.reshape(-1, *self.trajectory.shape[-2:])

    def _transform(self, dtype: torch.dtype) -> NonUniformFFT:
        return self._cached(("transform", dtype), lambda: NonUniformFFT(self._lists(), self._shape(), dtype))

    def _by_trajectory(self, function: Callable[[Tensor], Tensor], values: Tensor, dims: int) -> Tensor:
        """A function of (B, N, …) on values (..., [B,] C, …) that have `dims` dimensions from C on."""
        lists, lead, own = len(self._lists()), values.shape[:-dims], values.shape[-dims:]
        if lists == 1:
            lead = lead or self.trajectory.shape[:-2]
            return function(values.reshape(1, -1, *own[1:]))[0].unflatten(0, (*lead, own[0]))
        if lead and lead[-1] not in (1, lists):
            raise ShapeError(
                f"NonCartesianMRI has {lists} trajectories, one for each measurement, but was given {lead[-1]} images; "
                "use operator.select(...)"
            )
        grouped = values.expand(*lead[:-1], lists, *own).movedim(-dims - 1, 0)
        out = function(grouped.reshape(lists, -1, *own[1:]))
        return out.unflatten(1, (*lead[:-1], own[0])).movedim(0, len(lead[:-1]))
