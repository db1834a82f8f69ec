"""Building blocks of the networks of EDM."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Resampling = Literal["up", "down"]


@dataclass(frozen=True)
class Style:
    """How blocks of an architecture differ.

    Attributes:
        gain: Of a sum of two branches.
        eps: Of the group normalisation.
        modulated: Whether the embedding scales and shifts normalised features, or is added to features before.
        projected: Whether a skip that is resampled has a convolution even where widths agree.
        head: Features of an attention head; all of them unless given.
    """

    gain: float
    eps: float
    modulated: bool
    projected: bool
    head: int | None


STYLES = {
    "song": Style(gain=math.sqrt(0.5), eps=1e-6, modulated=False, projected=True, head=None),
    "adm": Style(gain=1.0, eps=1e-5, modulated=True, projected=False, head=64),
}


class Conv(nn.Module):
    """A convolution that may double or halve the resolution by a binomial filter.

    Args:
        inputs, outputs: Channels.
        kernel: Side of the kernel; 0 for resampling alone.
        resampling: "up", "down" or neither.
        taps: Side of the filter, 2 or 4.
        filter_last: Whether the filter comes after the convolution; before it, unless asked.
    """

    resample_filter: Tensor | None
    weight: Tensor | None

    def __init__(
        self, inputs: int, outputs: int, kernel: int, resampling: Resampling | None = None, taps: int = 2,
        filter_last: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.resampling, self.filter_last = resampling, filter_last
        weight = nn.Parameter(torch.randn(outputs, inputs, kernel, kernel) / (kernel * math.sqrt(inputs) or 1))
        self.weight = weight if kernel else None
        self.bias = nn.Parameter(torch.zeros(outputs)) if kernel else None
        row = torch.tensor([float(math.comb(taps - 1, k)) for k in range(taps)])
        self.register_buffer("resample_filter", torch.outer(row, row)[None, None] / row.sum() ** 2)
        if resampling is None:
            self.resample_filter = None

    def forward(self, x: Tensor) -> Tensor:
        if self.weight is None:
            return self._resample(x)
        margin = self.weight.shape[-1] // 2
        if not self.filter_last:
            return functional.conv2d(self._resample(x), self.weight, self.bias, padding=margin)
        # the filter sees what the convolution makes of the zeros around the image
        taps = 2 if self.resample_filter is None else self.resample_filter.shape[-1]
        x = functional.conv2d(x, self.weight, self.bias, padding=margin + (taps - 1) // 2)
        return self._resample(x, margin=0)

    def _resample(self, x: Tensor, margin: int | None = None) -> Tensor:
        if self.resample_filter is None:
            return x
        channels, taps = x.shape[1], self.resample_filter.shape[-1]
        kernel = self.resample_filter.expand(channels, 1, taps, taps)
        margin = (taps - 1) // 2 if margin is None else margin
        if self.resampling == "up":
            return functional.conv_transpose2d(x, 4 * kernel, stride=2, padding=margin, groups=channels)
        return functional.conv2d(x, kernel, stride=2, padding=margin, groups=channels)


class Block(nn.Module):
    """A residual block on an embedding of the noise level, with self-attention after it where asked.

    Args:
        inputs, outputs: Channels.
        embedding: Width of the embedding.
        style: What kind of block.
        resampling: "up", "down" or neither.
        taps: Side of the resampling filter.
        attention: Whether there is self-attention.
    """

    def __init__(
        self, inputs: int, outputs: int, embedding: int, style: Style, resampling: Resampling | None = None,
        taps: int = 2, attention: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.style, self.outputs = style, outputs
        self.norm0 = normalisation(inputs, style.eps)
        self.conv0 = Conv(inputs, outputs, 3, resampling, taps)
        self.affine = nn.Linear(embedding, 2 * outputs if style.modulated else outputs)
        self.norm1 = normalisation(outputs, style.eps)
        self.conv1 = Conv(outputs, outputs, 3)
        self.skip: nn.Module = nn.Identity()
        if inputs != outputs or resampling:
            kernel = 1 if inputs != outputs or style.projected else 0
            self.skip = Conv(inputs, outputs, kernel, resampling, taps)
        self.attention = attention
        if attention:
            self.norm2 = normalisation(outputs, style.eps)
            self.qkv, self.proj = Conv(outputs, 3 * outputs, 1), Conv(outputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv0(functional.silu(self.norm0(x)))
        told = self.affine(embedding)[:, :, None, None]
        if self.style.modulated:
            scale, shift = told.chunk(2, dim=1)
            h = torch.addcmul(shift, self.norm1(h), 1 + scale)
        else:
            h = self.norm1(h + told)
        x = self.style.gain * (self.skip(x) + self.conv1(functional.silu(h)))
        return self.style.gain * (x + self._attended(x)) if self.attention else x

    def _attended(self, x: Tensor) -> Tensor:
        heads = self.outputs // (self.style.head or self.outputs)
        # rows of qkv are ordered by head, then by feature, then query, key and value
        parts = self.qkv(self.norm2(x)).flatten(2).unflatten(1, (heads, -1, 3)).transpose(2, 4)
        q, k, v = (parts[:, :, :, i] for i in range(3))
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(2, 3).reshape(x.shape))


class PositionalEmbedding(nn.Module):
    r"""Sines and cosines of a label (N,) at frequencies \(10000^{-i/n}\), i = 0 … features/2 − 1.

    Args:
        features: Of the embedding.
        song: Sines first and n = features/2 − 1; otherwise cosines first and n = features/2.
    """

    def __init__(self, features: int, song: bool) -> None:
        super().__init__()
        self.features, self.song = features, song

    def forward(self, label: Tensor) -> Tensor:
        half = self.features // 2
        steps = torch.arange(half, dtype=label.dtype, device=label.device) / (half - self.song)
        return _waves(label[:, None] * 10_000.0**-steps, sines_first=self.song)


class FourierEmbedding(nn.Module):
    """Sines and cosines of a label (N,) at random frequencies, which belong to the weights."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("freqs", 16 * torch.randn(features // 2))

    def forward(self, label: Tensor) -> Tensor:
        return _waves(label[:, None] * (2 * math.pi * self.get_buffer("freqs")), sines_first=True)


def normalisation(features: int, eps: float) -> nn.GroupNorm:
    """Group normalisation with groups of at least four features, up to 32 of them."""
    return nn.GroupNorm(max(1, min(32, features // 4)), features, eps)


def _waves(angle: Tensor, sines_first: bool) -> Tensor:
    waves = (angle.sin(), angle.cos()) if sines_first else (angle.cos(), angle.sin())
    return torch.cat(waves, dim=1)
