"""A multi-scale flow of images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterior.errors import InvalidValueError, ShapeError
from posterior.networks.flow_steps import ConvNet, DenseNet, Step, fit_scales

_State = tuple[Tensor, ...]  # features that go on, and latents that wait for a finer level


class ImageFlow(nn.Module):
    r"""An invertible map f of latents z, (N, n), to images x, (N, *event_shape): Glow, with dense steps at the top.

    On the way from x to z: the logarithm of odds of grey values; then, level by level, squares of 2 × 2 pixels become
    channels (squeeze), steps follow (`Step`: actnorm, an invertible 1 × 1 convolution, an affine coupling), and half of
    the channels leave (split), standardised by a convolution of the others. What is left at the last level goes
    through steps whose couplings see all of it (dense).

    Args:
        event_shape: Shape (C, H, W) of one image; H and W are multiples of 2^levels.
        steps: Steps at each level, finest first.
        widths: Hidden features of their couplings.
        dense: Dense steps after the last level.
        dense_width: Hidden features of theirs.
        dropout: Dropout rate of all couplings, while training.
        margin: Images reach from −1/(1 − 2m) to 1/(1 − 2m), so that black and white are inside.

    Attributes:
        support: Bounds of an image's values.
        layers: Modules whose composition is f, with `inverse`: one deals out z, then one a level, coarsest first, then
            one maps to grey values.

    Raises:
        ShapeError: The images have no three axes, or their sides do not suit.
        InvalidValueError: A setting is out of range.

    References:
        Dinh, Sohl-Dickstein & Bengio 2017, Density estimation using Real NVP, arXiv:1605.08803.
        Kingma & Dhariwal 2018, Glow: Generative flow with invertible 1×1 convolutions, arXiv:1807.03039.
    """

    def __init__(
        self,
        event_shape: Sequence[int] = (1, 28, 28),
        steps: Sequence[int] = (8, 8),
        widths: Sequence[int] = (64, 96),
        dense: int = 4,
        dense_width: int = 384,
        dropout: float = 0.2,
        margin: float = 0.05,
    ) -> None:
        super().__init__()
        self.config = dict(
            event_shape=list(event_shape), steps=list(steps), widths=list(widths), dense=dense,
            dense_width=dense_width, dropout=dropout, margin=margin,
        )  # fmt: skip
        factor = 2 ** len(steps)
        if len(event_shape) != 3 or any(side % factor for side in event_shape[1:]):
            raise ShapeError(
                f"an ImageFlow of {len(steps)} levels takes images (C, H, W) with sides that are multiples of "
                f"{factor}, not {tuple(event_shape)}"
            )
        if not len(steps) == len(widths) > 0 or min(*steps, *widths, dense_width, dense + 1) < 1:
            raise InvalidValueError(
                "an ImageFlow has one or more levels, each with steps and a width of at least 1, got "
                f"steps={list(steps)}, widths={list(widths)}, dense={dense}, dense_width={dense_width}"
            )
        if not (0 <= dropout < 1 and 0 < margin < 0.5):
            raise InvalidValueError(f"dropout is in [0, 1) and margin in (0, 1/2), got {dropout} and {margin}")
        self.event_shape, self.latent_shape = tuple(event_shape), (math.prod(event_shape),)
        self.support = (-1 / (1 - 2 * margin), 1 / (1 - 2 * margin))
        channels, height, width = event_shape
        levels: list[Level] = []
        shapes: list[tuple[int, int, int]] = []  # of what leaves at each level, coarsest first
        for number, (count, hidden) in enumerate(zip(steps, widths, strict=True)):
            channels, height, width = 4 * channels, height // 2, width // 2
            last = number == len(steps) - 1
            nets: list[nn.Module] = [ConvNet(channels, hidden, dropout) for _ in range(count)]
            if last:
                nets += [DenseNet((channels, height, width), dense_width, dropout) for _ in range(dense)]
            levels.insert(0, Level(channels, nets, split=not last))
            channels = channels if last else channels // 2
            shapes.insert(0, (channels, height, width))
        self.layers = nn.ModuleList([Deal(shapes), *levels, GreyValues(margin)])

    def fit_scales(self, images: Tensor) -> None:
        """Set all actnorms so that these images (N, *event_shape) have features of mean 0 and variance 1."""
        fit_scales(self, self.layers, images)


class Deal(nn.Module):
    """Latents (N, n) → features of the coarsest level, and those that join at finer ones."""

    def __init__(self, shapes: Sequence[tuple[int, ...]]) -> None:
        super().__init__()
        self.shapes = list(shapes)
        self.sizes = [math.prod(shape) for shape in shapes]

    def forward(self, z: Tensor) -> _State:
        return tuple(part.unflatten(1, shape) for part, shape in zip(z.split(self.sizes, 1), self.shapes, strict=True))

    def inverse(self, state: _State) -> tuple[Tensor, Tensor]:
        return torch.cat([part.flatten(1) for part in state], 1), state[0].new_zeros(len(state[0]))


class Level(nn.Module):
    """Steps at one resolution.

    Args:
        channels: Channels there.
        nets: What the steps' couplings learn, from z to x the last first.
        split: Whether half of the channels join here; they are Gaussian given the others.
    """

    def __init__(self, channels: int, nets: Sequence[nn.Module], split: bool) -> None:
        super().__init__()
        self.steps = nn.ModuleList(Step(channels, net) for net in nets)
        self.prior = nn.Conv2d(channels // 2, channels, 3, padding=1) if split else None
        if self.prior is not None:
            nn.init.zeros_(self.prior.weight)
            nn.init.zeros_(self.prior.bias)  # type: ignore[arg-type]

    def forward(self, state: _State) -> _State:
        h, *held = state
        if self.prior is not None:
            mean, log_std = self.prior(h).to(h.dtype).chunk(2, 1)
            h = torch.cat([h, mean + log_std.exp() * held.pop(0)], 1)
        for step in reversed(self.steps):
            h = step(h)
        return functional.pixel_shuffle(h, 2), *held

    def inverse(self, state: _State) -> tuple[_State, Tensor]:
        h, *held = state
        h = functional.pixel_unshuffle(h, 2)
        total = h.new_zeros(len(h))
        steps: list[Any] = list(self.steps)
        for step in steps:
            h, log_det = step.inverse(h)
            total = total + log_det
        if self.prior is not None:
            h, leaving = h.chunk(2, 1)
            mean, log_std = self.prior(h).to(h.dtype).chunk(2, 1)
            held.insert(0, (leaving - mean) * (-log_std).exp())
            total = total - log_std.flatten(1).sum(1)
        return (h, *held), total


class GreyValues(nn.Module):
    r"""Logarithms of odds → grey values: \(x = 2(s(h) - m)/(1 - 2m) - 1\), s the sigmoid and m the margin."""

    def __init__(self, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, state: _State) -> Tensor:
        (h,) = state
        return 2 * (h.sigmoid() - self.margin) / (1 - 2 * self.margin) - 1

    def inverse(self, x: Tensor) -> tuple[_State, Tensor]:
        slope = (1 - 2 * self.margin) / 2
        odds = self.margin + slope * (x + 1)
        inside = ((odds > 0) & (odds < 1)).flatten(1).all(1)
        odds = odds.clamp(1e-6, 1 - 1e-6)  # of images outside, which have no density
        log_det = (math.log(slope) - odds.log() - (1 - odds).log()).flatten(1).sum(1)
        return (odds.logit(),), torch.where(inside, log_det, -torch.inf)
