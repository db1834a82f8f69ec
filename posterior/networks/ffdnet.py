"""A denoising network for photographs of any size."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad, pixel_shuffle, pixel_unshuffle


class FFDNet(nn.Module):
    r"""Convolutions on blocks of 2 × 2 pixels beside a map of the noise level, without a skip: clean images come out.

    Parameters are named as in the authors' code, `model.0.weight` …, so that its checkpoints fit. An odd height or
    width is made even by repeating the last line.

    Args:
        channels: Channels of the image.
        width: Features of each layer.
        depth: Convolutions, 3 × 3 each, with ReLU between them.

    References:
        Zhang, Zuo & Zhang 2018, FFDNet: Toward a Fast and Flexible Solution for CNN-based Image Denoising,
        arXiv:1710.04026.
    """

    def __init__(self, channels: int = 3, width: int = 96, depth: int = 12) -> None:
        super().__init__()
        self.config = dict(channels=channels, width=width, depth=depth)
        features = [4 * channels + 1, *[width] * (depth - 1), 4 * channels]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(features):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        self.model = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise images (N, channels, H, W) in [0, 1] with noise of standard deviation sigma in those units.

        It is (N,), or a map (N, 1, H, W), of whose blocks of 2 × 2 pixels the network is told the mean.
        """
        height, width = x.shape[-2:]
        even = (0, width % 2, 0, height % 2)
        blocks = pixel_unshuffle(pad(x, even, mode="replicate"), 2)
        if sigma.ndim == 1:
            level = sigma[:, None, None, None].expand(-1, 1, *blocks.shape[-2:])
        else:
            level = avg_pool2d(pad(sigma, even, mode="replicate"), 2)
        return pixel_shuffle(self.model(torch.cat([blocks, level], 1)), 2)[..., :height, :width]
