"""Building blocks of the generator of StyleGAN2."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

_EPS = 1e-8


class PixelNorm(nn.Module):
    r"""\(z / \sqrt{\operatorname{mean}(z^2) + 10^{-8}}\), over the entries of each latent (N, latent)."""

    def forward(self, z: Tensor) -> Tensor:
        return z * (z.square().mean(1, keepdim=True) + _EPS).rsqrt()


class EqualLinear(nn.Module):
    r"""A linear map with an equalised learning rate, \(\lambda (W x / \sqrt{inputs} + b)\).

    Args:
        inputs, outputs: Features.
        bias: First value of each entry of b.
        rate: λ, how much slower than the other weights these learn; W begins 1/λ as large.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        scale = self.rate / math.sqrt(self.weight.shape[1])
        return functional.linear(x, self.weight * scale, self.bias * self.rate)


class MappingLayer(EqualLinear):
    """A layer of the mapping network: an `EqualLinear` that learns at a hundredth, and a leaky ReLU with gain √2."""

    def __init__(self, latent: int) -> None:
        super().__init__(latent, latent, rate=0.01)

    def forward(self, x: Tensor) -> Tensor:
        return _scaled_leaky_relu(super().forward(x))


class Filter(nn.Module):
    """Convolution of every channel with the binomial filter (1, 3, 3, 1), of gain 4 for pixels that were spread out."""

    kernel: Tensor

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0])
        self.register_buffer("kernel", 4 * torch.outer(row, row) / row.sum() ** 2)


class Blur(Filter):
    """(N, C, 2h + 1, 2w + 1) → (N, C, 2h, 2w)."""

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.kernel.flip(0, 1).expand(x.shape[1], 1, 4, 4)
        return functional.conv2d(x, kernel, padding=1, groups=x.shape[1])


class Upsample(Filter):
    """(N, C, h, w) → (N, C, 2h, 2w)."""

    def forward(self, x: Tensor) -> Tensor:
        # spread out, padded by (2, 1) and filtered in one step
        channels = x.shape[1]
        return functional.conv_transpose2d(
            x, self.kernel.expand(channels, 1, 4, 4), stride=2, padding=1, groups=channels
        )


class ModulatedConv(nn.Module):
    r"""A convolution whose input channels are scaled by the style, and whose outputs are rescaled to unit variance.

    $$ w'_{oik} = s_i w_{oik}, \qquad
       w''_{oik} = w'_{oik} \Big/ \sqrt{\textstyle\sum_{i,k} w'^2_{oik} + 10^{-8}} $$

    with s an affine function of the style. Features are scaled instead of weights, which is the same.

    Args:
        inputs, outputs: Channels.
        kernel: Side of w.
        latent: Width of a style.
        upsample: Whether to double the resolution, by a transposed convolution and a blur.
        demodulate: Whether to rescale the outputs.

    References:
        Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020, Analyzing and Improving the Image Quality of StyleGAN,
        arXiv:1912.04958, section 2.2.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, latent: int, *, upsample: bool = False, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, outputs, inputs, kernel, kernel))
        self.modulation = EqualLinear(latent, inputs, bias=1.0)
        self.demodulate = demodulate
        self.blur = Blur() if upsample else None

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        """Features (N, inputs, h, w) and styles (N, latent) → (N, outputs, h, w), or (N, outputs, 2h, 2w)."""
        weight = self.weight[0] / math.sqrt(self.weight[0, 0].numel())
        scale = self.modulation(style)
        x = x * scale[:, :, None, None]
        if self.blur is None:
            x = functional.conv2d(x, weight, padding=weight.shape[-1] // 2)
        else:
            x = self.blur(functional.conv_transpose2d(x, weight.transpose(0, 1), stride=2))
        if self.demodulate:
            variance = functional.linear(scale.square(), weight.square().sum((2, 3)))
            x = x * (variance + _EPS).rsqrt()[:, :, None, None]
        return x


class NoiseStrength(nn.Module):
    """How much of a noise image (1, 1, h, w) is added to all channels (N, C, h, w)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        return x + self.weight * noise


class BiasedLeakyReLU(nn.Module):
    """A bias for each channel (N, C, h, w), then a leaky ReLU of slope .2 and gain √2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return _scaled_leaky_relu(x + self.bias[:, None, None])


class StyledConv(nn.Module):
    """A modulated 3 × 3 convolution, noise, and a leaky ReLU; arguments as in `ModulatedConv`."""

    def __init__(self, inputs: int, outputs: int, latent: int, *, upsample: bool = False) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, outputs, 3, latent, upsample=upsample)
        self.noise = NoiseStrength()
        self.activate = BiasedLeakyReLU(outputs)

    def forward(self, x: Tensor, style: Tensor, noise: Tensor) -> Tensor:
        """Features (N, inputs, h, w), styles (N, latent), a noise image of the new size → (N, outputs, …)."""
        return self.activate(self.noise(self.conv(x, style), noise))


class ToRGB(nn.Module):
    """What a resolution adds to the image that the coarser ones made.

    Args:
        inputs: Channels of the features.
        latent: Width of a style.
        upsample: Whether there is an image of coarser resolutions.
    """

    def __init__(self, inputs: int, latent: int, *, upsample: bool = True) -> None:
        super().__init__()
        self.conv = ModulatedConv(inputs, 3, 1, latent, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.upsample = Upsample() if upsample else None

    def forward(self, x: Tensor, style: Tensor, image: Tensor | None = None) -> Tensor:
        """Features (N, inputs, h, w), styles (N, latent), image (N, 3, h/2, w/2) → image (N, 3, h, w)."""
        added = self.conv(x, style) + self.bias
        return added if image is None or self.upsample is None else added + self.upsample(image)


def _scaled_leaky_relu(x: Tensor) -> Tensor:
    return math.sqrt(2) * functional.leaky_relu(x, 0.2)
