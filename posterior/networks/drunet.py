"""A denoising U-Net of residual blocks, without normalisation and, as a rule, without biases."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from posterior.errors import InvalidValueError


class DRUNet(nn.Module):
    r"""A U-Net on the image beside a map of the noise level: clean images come out.

    Parameters are named as in the authors' code, `m_head.weight` …, so that its checkpoints fit. Without biases
    \(D(ax, a\sigma) = a D(x, \sigma)\) for a > 0. Sides are made multiples of 8 by repeating the last line.

    Args:
        channels: Channels of the image.
        widths: Features at each of four resolutions.
        blocks: Residual blocks, of two 3 × 3 convolutions with ReLU between them, at each resolution, down and up.
        bias: Whether convolutions have biases.

    Raises:
        InvalidValueError: There are not four widths, or a size is not positive.

    References:
        Zhang, Li, Zuo, Zhang, Van Gool & Timofte 2021, Plug-and-Play Image Restoration with Deep Denoiser Prior,
        arXiv:2008.13751.
    """

    def __init__(
        self, channels: int = 3, widths: Sequence[int] = (64, 128, 256, 512), blocks: int = 4, bias: bool = False
    ) -> None:
        super().__init__()
        if len(widths) != 4 or min(channels, blocks, *widths) < 1:
            raise InvalidValueError(
                f"DRUNet needs four widths, and channels and blocks of at least 1; got {list(widths)}, {channels} and "
                f"{blocks}"
            )
        self.config = dict(channels=channels, widths=list(widths), blocks=blocks, bias=bias)

        def level(width: int) -> list[nn.Module]:
            return [_Block(width, bias) for _ in range(blocks)]

        def down(width: int, wider: int) -> nn.Sequential:
            return nn.Sequential(*level(width), nn.Conv2d(width, wider, 2, stride=2, bias=bias))

        def up(width: int, narrower: int) -> nn.Sequential:
            return nn.Sequential(nn.ConvTranspose2d(width, narrower, 2, stride=2, bias=bias), *level(narrower))

        first, second, third, last = widths
        self.m_head = nn.Conv2d(channels + 1, first, 3, padding=1, bias=bias)
        self.m_down1, self.m_down2, self.m_down3 = down(first, second), down(second, third), down(third, last)
        self.m_body = nn.Sequential(*level(last))
        self.m_up3, self.m_up2, self.m_up1 = up(last, third), up(third, second), up(second, first)
        self.m_tail = nn.Conv2d(first, channels, 3, padding=1, bias=bias)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise images (N, channels, H, W) in [0, 1] with noise of standard deviation sigma (N,) in those units."""
        height, width = x.shape[-2:]
        padded = pad(x, (0, -width % 8, 0, -height % 8), mode="replicate")
        level = sigma[:, None, None, None].expand(-1, 1, *padded.shape[-2:])
        h1 = self.m_head(torch.cat([padded, level], 1))
        h2 = self.m_down1(h1)
        h3 = self.m_down2(h2)
        h4 = self.m_down3(h3)
        h = self.m_up3(self.m_body(h4) + h4)
        h = self.m_up2(h + h3)
        h = self.m_up1(h + h2)
        return self.m_tail(h + h1)[..., :height, :width]


class _Block(nn.Module):
    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        first, second = (nn.Conv2d(width, width, 3, padding=1, bias=bias) for _ in range(2))
        self.res = nn.Sequential(first, nn.ReLU(), second)

    def forward(self, h: Tensor) -> Tensor:
        """h + C(ReLU(C(h)))."""
        return h + self.res(h)
