"""The U-Net of MRI reconstruction, whose output scales as its input does."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterior.errors import InvalidValueError


class NormalisedUNet(nn.Module):
    r"""A U-Net \(s\,U((x - m)/s)\) of images x, with m and s the mean and the standard deviation of each channel.

    Each resolution has two 3 × 3 convolutions, with instance normalisation and leaky ReLU of slope 0.2 after each of
    them; from one to the next sides are halved by averaging, and features doubled. Sides of any length are padded with
    zeros. The last layer is zero at first, so that a network of the form x + U(x) begins with x.

    Args:
        channels: Channels of the image, in and out.
        width: Features at the finest resolution.
        pools: How often sides are halved.

    Raises:
        InvalidValueError: An argument is out of range.

    References:
        Ronneberger, Fischer & Brox 2015, U-Net: Convolutional Networks for Biomedical Image Segmentation,
        arXiv:1505.04597.
        Zbontar et al. 2018, fastMRI: An Open Dataset and Benchmarks for Accelerated MRI, arXiv:1811.08839.
        Sriram et al. 2020, End-to-End Variational Networks for Accelerated MRI Reconstruction, arXiv:2004.06688 (the
        normalisation).
    """

    def __init__(self, channels: int = 2, width: int = 16, pools: int = 4) -> None:
        super().__init__()
        if min(channels, width, pools) < 1:
            raise InvalidValueError(
                f"NormalisedUNet needs channels, width and pools of at least 1; got {channels}, {width} and {pools}"
            )
        self.config = dict(channels=channels, width=width, pools=pools)
        self.pools = pools
        widths = [width * 2**level for level in range(pools + 1)]
        self.down = nn.ModuleList([_convolutions(channels, width)])
        self.down.extend([_convolutions(features // 2, features) for features in widths[1:]])
        self.larger, self.up = nn.ModuleList(), nn.ModuleList()
        for features in reversed(widths[:-1]):
            transposed = nn.ConvTranspose2d(2 * features, features, 2, stride=2, bias=False)
            self.larger.append(nn.Sequential(transposed, nn.InstanceNorm2d(features), nn.LeakyReLU(0.2)))
            self.up.append(_convolutions(2 * features, features))
        self.last = nn.Conv2d(width, channels, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, channels, H, W), in any precision, to images of the same shape and precision."""
        std, mean = torch.std_mean(x, dim=(-2, -1), keepdim=True)
        h = ((x - mean) / std.clamp_min(torch.finfo(x.dtype).tiny)).to(self.last.weight.dtype)
        height, width = h.shape[-2:]
        h = functional.pad(h, (*_padding(width, self.pools), *_padding(height, self.pools)))
        top, left = _padding(height, self.pools)[0], _padding(width, self.pools)[0]
        skips = []
        for level, layer in enumerate(self.down):
            h = layer(h if level == 0 else functional.avg_pool2d(h, 2))
            skips.append(h)
        skips.pop()
        for larger, layer in zip(self.larger, self.up, strict=True):
            h = layer(torch.cat([larger(h), skips.pop()], 1))
        return self.last(h)[..., top : top + height, left : left + width].to(x.dtype) * std


def _convolutions(inputs: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for features in (inputs, outputs):
        convolution = nn.Conv2d(features, outputs, 3, padding=1, bias=False)
        layers += [convolution, nn.InstanceNorm2d(outputs), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def _padding(size: int, pools: int) -> tuple[int, int]:
    """Zeros before and after, so that sides can be halved, and are 2 or more at the lowest resolution."""
    missing = max(-(-size // 2**pools), 2) * 2**pools - size
    return missing // 2, missing - missing // 2
