"""Radio interferometry: an image of the sky at the spatial frequencies that pairs of antennas see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

import torch
from torch import Tensor

from posterior.checks import Count, Level, Positive, Range, Shape, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.operators.base import LinearOperator
from posterior.operators.nufft import convolve
from posterior.shapes import check_values, image_shape

_LATITUDE = 34.08  # degrees north, of the Very Large Array
_ARMS, _GROWTH = 3, 1.716  # distances along an arm grow as n^1.716 there


class Visibilities(LinearOperator):
    r"""Visibilities of a real image at frequencies \(k_j\) off the grid, by the sum itself: exact, for some thousands.

    $$ A(x)_j = \frac{1}{\sqrt{HW}} \sum_r x_r\, e^{-2\pi i\,(k_{j1} r_1/H + k_{j2} r_2/W)} $$

    with r counted from pixel (⌊H/2⌋, ⌊W/2⌋): at integer k these are coefficients of `Fourier`. Every channel is
    measured on its own; measurements are complex, (..., K). Complex images are those of `NonCartesianMRI`.

    Args:
        event_shape: (..., H, W).
        frequencies: (K, 2), row before column, in cycles per field of view.

    Raises:
        ShapeError: event_shape has no H and W, or frequencies are not (K, 2), K ≥ 1.
        InvalidValueError: They are not real, floating-point and finite.

    References:
        Thompson, Moran & Swenson 2017, Interferometry and Synthesis in Radio Astronomy, chapters 2–4.
    """

    is_complex = True
    frequencies: Tensor

    @checked
    def __init__(self, event_shape: Shape, frequencies: Tensor) -> None:
        event_shape = tuple(event_shape)
        image_shape(event_shape)
        if frequencies.ndim != 2 or frequencies.shape[1] != 2 or len(frequencies) == 0:
            raise ShapeError(f"the frequencies of Visibilities have shape {tuple(frequencies.shape)}; expected (K, 2)")
        if frequencies.dtype not in (torch.float32, torch.float64):
            raise InvalidValueError(
                f"the frequencies of Visibilities are {frequencies.dtype}; give them in single or double precision"
            )
        super().__init__(event_shape, (*event_shape[:-2], len(frequencies)))
        self.register_buffer("frequencies", frequencies)

    @classmethod
    @checked
    def of_array(
        cls,
        event_shape: Shape,
        num_antennas: Annotated[int, Range(2)] = 9,
        hours: Positive = 6.0,
        num_times: Count = 12,
        declination: Annotated[float, Range(-90, 90)] = 40.0,
        longest: Level = 0.9,
    ) -> Visibilities:
        r"""The tracks of a small array in the shape of a Y, while the Earth turns under the source.

        A baseline \((L_x, L_y, L_z)\), towards the meridian, east and the pole, has at hour angle h and declination δ
        the coordinates

        $$ u = L_x \sin h + L_y \cos h, \quad v = -L_x \sin\delta \cos h + L_y \sin\delta \sin h + L_z \cos\delta . $$

        Args:
            event_shape: (..., H, W).
            num_antennas: Antennas, on three arms in turn.
            hours: Length of the observation, centred on the source's transit.
            num_times: Times at which visibilities are taken.
            declination: δ in degrees, of a source seen from 34° north.
            longest: Length of the longest track's farthest point, as a fraction of the largest frequency on the grid.
        """
        east, north = _antennas(num_antennas).unbind(1)
        latitude, delta = math.radians(_LATITUDE), math.radians(declination)
        place = torch.stack([-math.sin(latitude) * north, east, math.cos(latitude) * north], 1)
        first, second = torch.triu_indices(num_antennas, num_antennas, 1)
        lx, ly, lz = (place[second] - place[first]).unbind(1)
        h = (torch.linspace(-0.5, 0.5, num_times, dtype=torch.float64) * hours * (math.pi / 12))[:, None]
        u = lx * h.sin() + ly * h.cos()
        v = -lx * math.sin(delta) * h.cos() + ly * math.sin(delta) * h.sin() + lz * math.cos(delta)
        tracks = torch.stack([v, u], -1).flatten(0, 1)
        half = torch.tensor([0.5 * n for n in image_shape(event_shape)], dtype=torch.float64)
        tracks = tracks * (longest / tracks.norm(dim=1).max()) * half
        return cls(event_shape, tracks.to(torch.get_default_dtype()))

    def _forward(self, x: Tensor) -> Tensor:
        rows, columns = self._waves(x.dtype)
        return torch.einsum("...hk,hk->...k", torch.matmul(x.to(columns.dtype), columns), rows)

    def _adjoint(self, y: Tensor) -> Tensor:
        rows, columns = self._waves(y.real.dtype)
        weighted = rows.conj() * y[..., None, :]
        # the real part of a product, without its imaginary part
        return weighted.real @ columns.real.mT + weighted.imag @ columns.imag.mT

    def gram(self, x: Tensor) -> Tensor:
        """AᵀA x, which is a convolution: by Fourier transforms of twice the size."""
        check_values("x, given to Visibilities.gram,", x, self.event_shape)
        return convolve(self._spectrum(x.dtype), x.to(x.dtype.to_complex())).real

    def _waves(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The factors of the exponentials at the pixels, (H, K) and (W, K)."""
        return self._cached(("waves", dtype), lambda: self._at([n // 2 for n in self._shape], self._shape, dtype))

    def _spectrum(self, dtype: torch.dtype) -> Tensor:
        """The real multiplier (2H, 2W) by which AᵀA acts on images in a field of zeros."""

        def compute() -> Tensor:
            rows, columns = self._at(self._shape, [2 * n for n in self._shape], torch.float64)
            kernel = (rows @ columns.mT).real / math.sqrt(math.prod(self._shape))
            return torch.fft.fft2(torch.fft.ifftshift(kernel)).real.to(dtype)

        return self._cached(("spectrum", dtype), compute)

    def _at(self, centre: Sequence[int], counts: Sequence[int], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """The factors at so many places in a row, of which `centre` is the origin."""
        waves = []
        for n, first, count, frequency in zip(
            self._shape, centre, counts, self.frequencies.double().unbind(1), strict=True
        ):
            place = torch.arange(count, dtype=torch.float64, device=frequency.device) - first
            phase = (-2 * math.pi / n) * place[:, None] * frequency
            waves.append(torch.polar(torch.full_like(phase, n**-0.5), phase).to(dtype.to_complex()))
        return waves[0], waves[1]

    @property
    def _shape(self) -> tuple[int, int]:
        return image_shape(self.event_shape)


def _antennas(count: int) -> Tensor:
    """Places of antennas, (count, 2): east and north, at growing distances along three arms."""
    number = torch.arange(count)
    distance = (number // _ARMS + 1.0).double() ** _GROWTH
    azimuth = torch.deg2rad(5.0 + 120.0 * (number % _ARMS).double())
    return torch.stack([distance * azimuth.sin(), distance * azimuth.cos()], 1)
