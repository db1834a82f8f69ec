"""A step of a flow: actnorm, an invertible 1 × 1 convolution, an affine coupling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_STEEPEST = 2.0  # logarithm of the largest factor of a coupling


class Step(nn.Module):
    """One step: (N, C, H, W) → the same shape.

    Args:
        channels: C, even.
        net: Of the first half of the channels, makes shift and scale of the second, one after the other.
    """

    def __init__(self, channels: int, net: nn.Module) -> None:
        super().__init__()
        self.actnorm, self.mix, self.net = Actnorm(channels), Mix(channels), net

    def forward(self, h: Tensor) -> Tensor:
        """From z to x."""
        first, second = h.chunk(2, 1)
        shift, log_scale = self._coupling(first)
        h = torch.cat([first, second * log_scale.exp() + shift], 1)
        return self.actnorm(self.mix(h))

    def inverse(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """From x to z, and log|det|, (N,)."""
        h, one = self.actnorm.inverse(h)
        h, two = self.mix.inverse(h)
        first, second = h.chunk(2, 1)
        shift, log_scale = self._coupling(first)
        h = torch.cat([first, (second - shift) * (-log_scale).exp()], 1)
        return h, one + two - log_scale.flatten(1).sum(1)

    def _coupling(self, first: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.net(first).to(first.dtype).chunk(2, 1)
        return shift, _STEEPEST * torch.tanh(raw / _STEEPEST)


class Actnorm(nn.Module):
    """x = e^s h + b channel by channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.log_scale = nn.Parameter(torch.zeros(channels, 1, 1))
        self.fitting = False

    def forward(self, h: Tensor) -> Tensor:
        """From z to x."""
        return self.log_scale.exp() * h + self.bias

    def inverse(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """From x to z, and log|det|, (N,)."""
        if self.fitting:
            self.bias.data = h.mean((0, 2, 3))[:, None, None]
            self.log_scale.data = h.std((0, 2, 3)).clamp_min(1e-6).log()[:, None, None]
        pixels = h.shape[-1] * h.shape[-2]
        h = (h - self.bias) * (-self.log_scale).exp()
        return h, (-pixels * self.log_scale.sum()).expand(len(h))


class Mix(nn.Module):
    """An invertible 1 × 1 convolution, from x to z by W = P L U: a rotation to begin with."""

    permutation: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels))[0]
        permutation, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", permutation)
        self.register_buffer("sign", upper.diagonal().sign())
        self.lower = nn.Parameter(lower)
        self.upper = nn.Parameter(upper)
        self.log_diagonal = nn.Parameter(upper.diagonal().abs().log())

    def forward(self, h: Tensor) -> Tensor:
        """From z to x."""
        with _full_precision(h):
            lower, upper = self._factors()
            inner = torch.linalg.solve_triangular(lower, self.permutation.T, upper=False, unitriangular=True)
            inverse = torch.linalg.solve_triangular(upper, inner, upper=True)
            return functional.conv2d(h, inverse[:, :, None, None])

    def inverse(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """From x to z, and log|det|, (N,)."""
        with _full_precision(h):
            lower, upper = self._factors()
            weight = self.permutation @ lower @ upper
            pixels = h.shape[-1] * h.shape[-2]
            log_det = (pixels * self.log_diagonal.sum()).expand(len(h))
            return functional.conv2d(h, weight[:, :, None, None]), log_det

    def _factors(self) -> tuple[Tensor, Tensor]:
        one = torch.eye(len(self.lower), dtype=self.lower.dtype, device=self.lower.device)
        diagonal = torch.diag(self.sign * self.log_diagonal.exp())
        return self.lower.tril(-1) + one, self.upper.triu(1) + diagonal


class ConvNet(nn.Sequential):
    """Convolutions 3 × 3, 1 × 1, 3 × 3 of half of the channels; the last is zero to begin with."""

    def __init__(self, channels: int, hidden: int, dropout: float) -> None:
        last = nn.Conv2d(hidden, channels, 3, padding=1)
        super().__init__(
            nn.Conv2d(channels // 2, hidden, 3, padding=1), nn.SiLU(), nn.Conv2d(hidden, hidden, 1), nn.SiLU(),
            nn.Dropout(dropout), _zero(last),
        )  # fmt: skip


class DenseNet(nn.Sequential):
    """Fully connected layers of half of the channels of all pixels; the last is zero to begin with."""

    def __init__(self, shape: Sequence[int], hidden: int, dropout: float) -> None:
        size = math.prod(shape)
        super().__init__(
            nn.Flatten(), nn.Linear(size // 2, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, hidden),
            nn.SiLU(), nn.Dropout(dropout), _zero(nn.Linear(hidden, size)), nn.Unflatten(1, tuple(shape)),
        )  # fmt: skip


@torch.no_grad()
def fit_scales(network: nn.Module, layers: nn.ModuleList, x: Tensor) -> None:
    """Set every `Actnorm` of a network, from x to z, so that its features have mean 0 and variance 1."""
    actnorms = [module for module in network.modules() if isinstance(module, Actnorm)]
    for actnorm in actnorms:
        actnorm.fitting = True
    h: Any = x
    inward: list[Any] = list(reversed(layers))
    for layer in inward:
        h, _ = layer.inverse(h)
    for actnorm in actnorms:
        actnorm.fitting = False


def _full_precision(h: Tensor) -> torch.autocast:
    """No autocast: half precision is for what couplings learn, not for what they act on."""
    return torch.autocast(h.device.type, enabled=False)


def _zero(layer: nn.Conv2d | nn.Linear) -> nn.Module:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer
