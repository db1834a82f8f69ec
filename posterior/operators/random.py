"""Random linear measurements: compressed sensing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.operators.dense import Matrix

_LARGEST_MATRIX = 2**28  # entries: 1 GiB in float32


class GaussianMeasurement(LinearOperator):
    r"""Random projections with entries \(A_{ij} \sim N(0, 1/m)\), so that E‖Ax‖² = ‖x‖².

    kind="dense" has independent entries. kind="circulant" is \(A = R\,C\,D\), random signs D, circular convolution C
    with a N(0, 1/m) filter and m rows R of n at random: memory and time of a Fourier transform, for large images.

    Args:
        event_shape: Shape of one image, n entries.
        num_measurements: m; measurements are (m,).
        seed: Of the entries.
        kind: "dense" or "circulant".

    Raises:
        InvalidValueError: m or kind is none of the above, m > n for a circulant, or a dense matrix of more than 2²⁸
            entries.

    References:
        Romberg 2009, Compressive sensing by random convolution, SIAM J. Imaging Sci. 2 (the circulant kind).
    """

    def __new__(
        cls, event_shape: Sequence[int] = (), num_measurements: int = 1, seed: int = 0, kind: str = "dense"
    ) -> GaussianMeasurement:
        kinds: dict[str, type[GaussianMeasurement]] = {"dense": DenseGaussian, "circulant": CirculantGaussian}
        if cls is GaussianMeasurement and kind not in kinds:
            raise InvalidValueError(f"kind of GaussianMeasurement must be one of {', '.join(kinds)}; got {kind!r}")
        return super().__new__(kinds[kind] if cls is GaussianMeasurement else cls)

    # Type checkers see this signature; the two kinds have their own __init__.
    def __init__(
        self,
        event_shape: Sequence[int],
        num_measurements: int,
        seed: int = 0,
        kind: Literal["dense", "circulant"] = "dense",
    ) -> None:
        raise NotImplementedError


class DenseGaussian(GaussianMeasurement, Matrix):
    """Independent entries; row i is draw i of the noise, whatever m is."""

    def __init__(
        self, event_shape: Sequence[int], num_measurements: int, seed: int = 0, kind: Literal["dense"] = "dense"
    ) -> None:
        m, n = _check_number(num_measurements), math.prod(event_shape)
        if m * n > _LARGEST_MATRIX:
            raise InvalidValueError(
                f"a dense GaussianMeasurement of {m} × {n} entries is too large to store; use kind='circulant'"
            )
        noise = Noise.of(seed).use("gaussian measurement")
        rows = torch.arange(m).split(max(1, 2**22 // n))
        matrix = torch.cat([replace(noise, draws=part).normal((n,))[:, 0] for part in rows]) / math.sqrt(m)
        Matrix.__init__(self, matrix.to(torch.get_default_dtype()), event_shape)


class CirculantGaussian(GaussianMeasurement):
    """A Gaussian circular convolution of the flattened image with random signs, at random places."""

    filter: Tensor
    signs: Tensor
    rows: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        num_measurements: int,
        seed: int = 0,
        kind: Literal["circulant"] = "circulant",
    ) -> None:
        m, n = _check_number(num_measurements), math.prod(event_shape)
        if m > n:
            raise InvalidValueError(
                f"a circulant GaussianMeasurement has at most as many measurements as pixels ({n}), got {m}"
            )
        LinearOperator.__init__(self, event_shape, (m,))
        noise = Noise.of(seed, dtype=torch.float64).use("gaussian measurement")
        gaussian = noise.use("filter").normal((n,)).flatten() / math.sqrt(m)
        self.register_buffer("filter", gaussian.to(torch.get_default_dtype()))
        self.register_buffer("signs", noise.use("signs").uniform((n,)).flatten() < 0.5)
        self.register_buffer("rows", noise.use("rows").uniform((n,)).flatten().argsort()[:m])

    def _forward(self, x: Tensor) -> Tensor:
        x = x.flatten(-len(self.event_shape))
        return self._convolve(torch.where(self.signs, -x, x), self._transfer())[..., self.rows]

    def _adjoint(self, y: Tensor) -> Tensor:
        full = y.new_zeros(*y.shape[:-1], len(self.signs)).index_copy(-1, self.rows, y)
        x = self._convolve(full, self._transfer().conj())
        return torch.where(self.signs, -x, x).unflatten(-1, self.event_shape)

    def _convolve(self, x: Tensor, transfer: Tensor) -> Tensor:
        return torch.fft.irfft(torch.fft.rfft(x) * transfer, n=len(self.signs))

    def _transfer(self) -> Tensor:
        return self._cached("transfer", lambda: torch.fft.rfft(self.filter))


def _check_number(num_measurements: int) -> int:
    if not isinstance(num_measurements, int) or num_measurements < 1:
        raise InvalidValueError(f"num_measurements must be a positive integer, got {num_measurements!r}")
    return num_measurements
