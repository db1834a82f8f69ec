"""Orthonormal bases in which images are sparse."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Basis = Literal["dct", "haar"]


class Transform(NamedTuple):
    """Coefficients of images, and images of coefficients: (..., H, W) both, one inverse and transpose of the other."""

    analyse: Callable[[Tensor], Tensor]
    synthesise: Callable[[Tensor], Tensor]


def dct(x: Tensor) -> Tensor:
    """The orthonormal discrete cosine transform (type II) over the last two axes."""
    rows, columns = (_cosines(size, x) for size in x.shape[-2:])
    return rows @ x @ columns.mT


def inverse_dct(c: Tensor) -> Tensor:
    """Images of the coefficients of `dct`."""
    rows, columns = (_cosines(size, c) for size in c.shape[-2:])
    return rows.mT @ c @ columns


def haar(x: Tensor) -> Tensor:
    """The orthonormal Haar wavelet transform over the last two axes, at as many levels as sides can be halved.

    The coarsest averages come first, in the corner, and the details of each level around them.
    """
    x = x.clone()
    for height, width in _levels(x):
        a, b, c, d = (x[..., i:height:2, j:width:2] for i in (0, 1) for j in (0, 1))
        parts = [a + b + c + d, a - b + c - d, a + b - c - d, a - b - c + d]
        x[..., :height, :width] = 0.5 * torch.cat([torch.cat(parts[:2], -1), torch.cat(parts[2:], -1)], -2)
    return x


def inverse_haar(c: Tensor) -> Tensor:
    """Images of the coefficients of `haar`."""
    x = c.clone()
    for height, width in reversed(_levels(x)):
        upper, lower = x[..., :height, :width].clone().chunk(2, -2)
        (mean, across), (down, diagonal) = upper.chunk(2, -1), lower.chunk(2, -1)
        signs = [(1, 1, 1), (-1, 1, -1), (1, -1, -1), (-1, -1, 1)]
        for (i, j), (p, q, r) in zip(((0, 0), (0, 1), (1, 0), (1, 1)), signs, strict=True):
            x[..., i:height:2, j:width:2] = 0.5 * (mean + p * across + q * down + r * diagonal)
    return x


TRANSFORMS: dict[str, Transform] = {"dct": Transform(dct, inverse_dct), "haar": Transform(haar, inverse_haar)}


def _cosines(size: int, like: Tensor) -> Tensor:
    k = torch.arange(size, dtype=like.dtype, device=like.device)
    matrix = (2 / size) ** 0.5 * torch.cos(math.pi / size * (k + 0.5) * k[:, None])
    matrix[0] /= 2**0.5
    return matrix


def _levels(x: Tensor) -> list[tuple[int, int]]:
    """Sides of the blocks that are halved, the largest first."""
    height, width = x.shape[-2:]
    sides = []
    while height % 2 == 0 and width % 2 == 0:
        sides.append((height, width))
        height, width = height // 2, width // 2
    return sides
