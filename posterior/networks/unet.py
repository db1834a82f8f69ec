"""A small convolutional UNet, conditioned on the noise level."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterior.errors import InvalidValueError, ShapeError


class UNet(nn.Module):
    r"""A residual UNet \(F(x, c)\) for images, with c a scalar noise label, and a class if there are any.

    Each resolution has `blocks` residual blocks on the way down and `blocks + 1` on the way up, joined by skip
    connections; group normalisation modulated by an embedding of c; self-attention at the lowest resolution.

    Args:
        channels: Channels of the image, in and out.
        widths: Features at each resolution, finest first; sides are halved (rounded up) from one to the next.
        blocks: Residual blocks a resolution.
        patch: Side of the square of pixels that becomes one position of the finest resolution.
        dropout: Dropout rate inside each block, while training.
        attention: Whether the lowest resolution has self-attention, with 4 heads.
        classes: Classes that the network can be told of; number `classes` itself stands for none.

    Attributes:
        num_classes: `classes`, or None for none.

    Raises:
        InvalidValueError: An argument is out of range.
        ShapeError: The sides of an image, given to `forward`, are no multiples of `patch`.

    References:
        Ho, Jain & Abbeel 2020, Denoising Diffusion Probabilistic Models, arXiv:2006.11239.
    """

    def __init__(
        self,
        channels: int = 1,
        widths: Sequence[int] = (32, 64, 128),
        blocks: int = 2,
        patch: int = 1,
        dropout: float = 0.0,
        attention: bool = True,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if not widths or min(channels, *widths, blocks, patch, classes + 1) < 1 or not 0 <= dropout < 1:
            raise InvalidValueError(
                f"UNet needs channels, widths, blocks and patch of at least 1, 0 ≤ dropout < 1 and classes ≥ 0; got "
                f"{channels}, {list(widths)}, {blocks}, {patch}, {dropout} and {classes}"
            )
        if attention and widths[-1] % 4:
            raise InvalidValueError(f"self-attention needs a last width that 4 divides; got widths {list(widths)}")
        self.config = dict(
            channels=channels, widths=list(widths), blocks=blocks, patch=patch, dropout=dropout, attention=attention,
            classes=classes,
        )  # fmt: skip
        self.patch, self.num_classes = patch, classes or None
        embedding = 4 * widths[0]
        self.embed = nn.Sequential(
            FourierFeatures(embedding), nn.Linear(embedding, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        if classes:
            self.classes = nn.Embedding(classes + 1, embedding)
            nn.init.zeros_(self.classes.weight)
        self.stem = nn.Conv2d(channels * patch**2, widths[0], 3, padding=1)

        def block(inputs: int, outputs: int) -> ResidualBlock:
            return ResidualBlock(inputs, outputs, embedding, dropout)

        self.down = nn.ModuleList()
        skips, features = [widths[0]], widths[0]
        for level, width in enumerate(widths):
            for _ in range(blocks):
                self.down.append(block(features, width))
                features = width
                skips.append(features)
            if level + 1 < len(widths):
                self.down.append(nn.Conv2d(features, features, 3, stride=2, padding=1))
                skips.append(features)
        self.middle = nn.ModuleList([block(features, features), block(features, features)])
        self.attention = SelfAttention(features) if attention else nn.Identity()
        self.up = nn.ModuleList()
        for level, width in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                self.up.append(block(features + skips.pop(), width))
                features = width
            if level > 0:
                self.up.append(nn.Conv2d(features, features, 3, padding=1))
        last = nn.Conv2d(features, channels * patch**2, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.head = nn.Sequential(normalisation(features), nn.SiLU(), last)

    def forward(self, x: Tensor, label: Tensor, which: Tensor | None = None) -> Tensor:
        """Map images x (N, C, H, W), labels (N,) and classes (N,), or none, to an image of the same shape."""
        if any(side % self.patch for side in x.shape[-2:]):
            raise ShapeError(
                f"UNet takes images whose sides are multiples of patch = {self.patch}, got {tuple(x.shape)}; crop or "
                "pad them, or choose another patch"
            )
        embedding = self.embed(label)
        if self.num_classes is not None:
            none = torch.full_like(label, self.num_classes, dtype=torch.long)
            embedding = embedding + self.classes(none if which is None else which)
        embedding = functional.silu(embedding)
        h = self.stem(functional.pixel_unshuffle(x, self.patch).contiguous(memory_format=torch.channels_last))
        skips = [h]
        for layer in self.down:
            h = layer(h, embedding) if isinstance(layer, ResidualBlock) else layer(h)
            skips.append(h)
        h = self.middle[0](h, embedding)
        h = self.middle[1](self.attention(h), embedding)
        for layer in self.up:
            if isinstance(layer, ResidualBlock):
                h = layer(torch.cat([h, skips.pop()], dim=1), embedding)
            else:  # odd sides were rounded up on the way down: upsample to the size of the skip that comes next
                h = layer(functional.interpolate(h, size=skips[-1].shape[-2:], mode="nearest"))
        return functional.pixel_shuffle(self.head(h), self.patch)


class ResidualBlock(nn.Module):
    """Two normalised convolutions beside a skip, scaled and shifted by the embedding."""

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = normalisation(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(embedding, 2 * outputs)
        self.norm2 = normalisation(outputs)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        h = self.conv1(functional.silu(self.norm1(x)))
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        h = functional.silu(torch.addcmul(shift, self.norm2(h), 1 + scale))
        return self.skip(x) + self.conv2(self.dropout(h))


class SelfAttention(nn.Module):
    """Self-attention over the pixels of a feature map, with a skip."""

    def __init__(self, features: int, heads: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = normalisation(features)
        self.qkv = nn.Conv2d(features, 3 * features, 1)
        self.out = nn.Conv2d(features, features, 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, -1)).transpose(-1, -2).unbind(1)
        attended = functional.scaled_dot_product_attention(q, k, v).transpose(-1, -2).reshape(n, c, h, w)
        return x + self.out(attended)


class FourierFeatures(nn.Module):
    """Sines and cosines of a scalar label at geometric frequencies."""

    def __init__(self, features: int) -> None:
        super().__init__()
        frequencies = torch.exp(torch.linspace(math.log(0.25), math.log(16.0), features // 2))
        self.register_buffer("frequencies", frequencies)

    def forward(self, label: Tensor) -> Tensor:
        angle = label[:, None] * self.get_buffer("frequencies")
        return torch.cat([angle.sin(), angle.cos()], dim=1)


def normalisation(features: int) -> nn.GroupNorm:
    """Group normalisation with groups of at least four features, as many as divide them up to 8."""
    groups = max(g for g in range(1, 9) if (features % g == 0 and features // g >= 4) or g == 1)
    return nn.GroupNorm(groups, features)
