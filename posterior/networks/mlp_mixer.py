"""A network of linear layers alone, across the patches of an image and across their features in turn."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from posterior.errors import InvalidValueError


class MLPMixer(nn.Module):
    """A network of noisy images and a time, which joins the image as one more channel, divided by the last time.

    A convolution makes features of patches that do not overlap, and a transposed one makes an image of them again.
    Parameters are in the order in which Equinox saves those of galaxygrad's network of this architecture.

    Args:
        size: Side of the images, a multiple of the patch's.
        channels: Channels of the image, in and out.
        patch: Side of a patch.
        features: Features of a patch.
        patch_width, feature_width: Hidden units of what mixes patches, and of what mixes features.
        blocks: How often both are done.
        last_time: The largest time of training.

    Raises:
        InvalidValueError: A size is not positive, or patches do not divide the image.

    References:
        Tolstikhin et al. 2021, MLP-Mixer: An all-MLP Architecture for Vision, arXiv:2105.01601.
        Sampson, Melchior, Ward & Birmingham 2024, Score-matching neural networks for improved multi-band source
        separation, arXiv:2401.07313.
    """

    def __init__(
        self,
        size: int = 32,
        channels: int = 1,
        patch: int = 4,
        features: int = 64,
        patch_width: int = 512,
        feature_width: int = 512,
        blocks: int = 4,
        last_time: float = 10.0,
    ) -> None:
        super().__init__()
        if min(size, channels, patch, features, patch_width, feature_width, blocks, last_time) <= 0:
            raise InvalidValueError("sizes, blocks and the last time of an MLPMixer are positive")
        if size % patch:
            raise InvalidValueError(f"patches of side {patch} do not divide images of side {size}")
        self.config = dict(
            size=size, channels=channels, patch=patch, features=features, patch_width=patch_width,
            feature_width=feature_width, blocks=blocks, last_time=last_time,
        )  # fmt: skip
        self.event_shape, self.last_time = (channels, size, size), last_time
        patches = (size // patch) ** 2
        self.conv_in = nn.Conv2d(channels + 1, features, patch, stride=patch)
        self.conv_out = nn.ConvTranspose2d(features, channels, patch, stride=patch)
        self.blocks = nn.ModuleList(_Block(patches, features, patch_width, feature_width) for _ in range(blocks))
        self.norm = nn.LayerNorm((features, patches))

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Images (N, channels, size, size) at times (N,) to images of the same shape."""
        clock = (time / self.last_time).to(x.dtype)[:, None, None, None].expand(-1, 1, *x.shape[-2:])
        grid = self.conv_in(torch.cat([x, clock], 1))
        h = grid.flatten(2)
        for block in self.blocks:
            h = block(h)
        return self.conv_out(self.norm(h).reshape(grid.shape))


class _Block(nn.Module):
    def __init__(self, patches: int, features: int, patch_width: int, feature_width: int) -> None:
        super().__init__()
        self.patch_mixer = _mlp(patches, patch_width)
        self.hidden_mixer = _mlp(features, feature_width)
        self.norm1 = nn.LayerNorm((features, patches))
        self.norm2 = nn.LayerNorm((patches, features))

    def forward(self, h: Tensor) -> Tensor:
        """Features of patches (N, features, patches) to others."""
        h = (h + self.patch_mixer(self.norm1(h))).mT
        return (h + self.hidden_mixer(self.norm2(h))).mT


def _mlp(size: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, width), nn.ReLU(), nn.Linear(width, size))
