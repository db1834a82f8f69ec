"""Random linear measurements: compressed sensing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from posterior.checks import Count, Shape, checked
from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.operators.base import SVD, LinearOperator
from posterior.operators.dense import Matrix
from posterior.operators.kinds import OperatorOfKinds

_LARGEST_MATRIX = 2**28  # entries: 1 GiB in float32


class GaussianMeasurement(OperatorOfKinds):
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

    @checked
    def __init__(
        self,
        event_shape: Shape,
        num_measurements: Count,
        seed: int = 0,
        kind: Literal["dense", "circulant"] = "dense",
    ) -> None:
        event_shape, m = tuple(event_shape), num_measurements
        kinds: dict[str, Callable[..., LinearOperator]] = {"dense": _dense, "circulant": Circulant}
        super().__init__(kinds[kind](event_shape, m, seed))

    def svd(self) -> SVD:
        """The thin singular value decomposition of a dense matrix, computed once; that of a circulant is not cheap."""
        return self.algorithm.svd() if isinstance(self.algorithm, Matrix) else super().svd()


def _dense(event_shape: tuple[int, ...], m: int, seed: int) -> Matrix:
    """Independent entries; row i is draw i of the noise, whatever m is."""
    n = math.prod(event_shape)
    if m * n > _LARGEST_MATRIX:
        raise InvalidValueError(
            f"a dense GaussianMeasurement of {m} × {n} entries is too large to store; use kind='circulant'"
        )
    noise = Noise.of(seed).use("gaussian measurement")
    rows = torch.arange(m).split(max(1, 2**22 // n))
    matrix = torch.cat([replace(noise, draws=part).normal((n,))[:, 0] for part in rows]) / math.sqrt(m)
    return Matrix(matrix.to(torch.get_default_dtype()), event_shape)


class Circulant(LinearOperator):
    """A Gaussian circular convolution of the flattened image with random signs, at random places."""

    filter: Tensor
    signs: Tensor
    rows: Tensor

    def __init__(self, event_shape: tuple[int, ...], m: int, seed: int) -> None:
        n = math.prod(event_shape)
        if m > n:
            raise InvalidValueError(
                f"a circulant GaussianMeasurement has at most as many measurements as pixels ({n}), got {m}"
            )
        super().__init__(event_shape, (m,))
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
