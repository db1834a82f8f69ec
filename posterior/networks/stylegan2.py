"""The generator of StyleGAN2."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.networks.stylegan2_blocks import MappingLayer, PixelNorm, StyledConv, ToRGB
from posterior.noise import Noise

State = tuple[Tensor, Tensor, Tensor]  # features (N, C, h, w), image (N, 3, h, w), styles (N, L, latent)


class StyleGAN2Generator(nn.Module):
    r"""Styles that modulate the convolutions of every resolution, whose images add up ("skip" layout, config-f).

    A mapping network takes z to a style, and the L = 2 log₂(size) − 2 places of the synthesis network take one each; at
    resolution r features have min(max_channels, 16384 channel_multiplier / r) channels. The noise images are buffers,
    drawn once, so that G is a map of its latent alone: methods that search them too, as ILO's and PULSE's authors do,
    are given the latent only. There is no tanh at the end: images are in [−1, 1] about, and are not clamped, which
    would stop gradients.

    Parameters and buffers are named as in the widely used PyTorch port (github.com/rosinality/stylegan2-pytorch), so
    that its `g_ema` fits: see `posterior.priors.checkpoints.convert_stylegan2`.

    Args:
        size: Side of the image, a power of two from 8 on.
        latent: Width of z and of a style.
        mapping_layers: Layers of the mapping network.
        channel_multiplier: 2 in config-f, 1 in the smaller configurations.
        max_channels: Most channels of any resolution.
        latents: What the prior's N(0, I) is on. "z": the input of the mapping network, (latent,), the distribution that
            was trained. "w+": a style for each place, (L, latent), made of Gaussians as PULSE does, see
            `StyleMarginals`; there are more images, few of them as good, and `fit_styles` must be called first.

    Attributes:
        layers: Modules whose composition is G, one a resolution. The first takes latents, the last gives images, and
            what goes from one to the next is a tuple: features, the image so far, and the styles (N, L, latent).

    Raises:
        InvalidValueError: A size or a number that makes no network, or an unknown kind of latents.

    References:
        Karras, Laine, Aittala, Hellsten, Lehtinen & Aila 2020, Analyzing and Improving the Image Quality of StyleGAN,
        arXiv:1912.04958.
    """

    def __init__(
        self,
        size: int = 1024,
        latent: int = 512,
        mapping_layers: int = 8,
        channel_multiplier: int = 2,
        max_channels: int = 512,
        latents: Literal["z", "w+"] = "z",
    ) -> None:
        super().__init__()
        if size < 8 or size & (size - 1):
            raise InvalidValueError(f"size is a power of two from 8 on, got {size}")
        if min(latent, channel_multiplier, max_channels) < 1 or mapping_layers < 0:
            raise InvalidValueError(
                "latent, channel_multiplier and max_channels are at least 1 and mapping_layers not negative, got "
                f"{latent}, {channel_multiplier}, {max_channels} and {mapping_layers}"
            )
        if latents not in ("z", "w+"):
            raise InvalidValueError(f"latents are 'z' or 'w+', not {latents!r}")
        self.config = dict(
            size=size, latent=latent, mapping_layers=mapping_layers, channel_multiplier=channel_multiplier,
            max_channels=max_channels, latents=latents,
        )  # fmt: skip
        sizes = [2**i for i in range(2, size.bit_length())]
        widths = [max(1, min(max_channels, 16384 * channel_multiplier // side)) for side in sizes]
        self.num_styles = 2 * len(sizes)
        self.latent_shape = (latent,) if latents == "z" else (self.num_styles, latent)
        self.event_shape = (3, size, size)

        self.style = nn.Sequential(PixelNorm(), *(MappingLayer(latent) for _ in range(mapping_layers)))
        self.marginals = StyleMarginals(latent) if latents == "w+" else None
        self.input = ConstantInput(widths[0])
        self.conv1 = StyledConv(widths[0], widths[0], latent)
        self.to_rgb1 = ToRGB(widths[0], latent, upsample=False)
        self.convs, self.to_rgbs, self.noises = nn.ModuleList(), nn.ModuleList(), nn.Module()
        self.noises.register_buffer("noise_0", torch.randn(1, 1, 4, 4))
        for i, side in enumerate(sizes[1:]):
            self.convs.append(StyledConv(widths[i], widths[i + 1], latent, upsample=True))
            self.convs.append(StyledConv(widths[i + 1], widths[i + 1], latent))
            self.to_rgbs.append(ToRGB(widths[i + 1], latent))
            for j in (2 * i + 1, 2 * i + 2):
                self.noises.register_buffer(f"noise_{j}", torch.randn(1, 1, side, side))

    @property
    def layers(self) -> nn.ModuleList:
        """One module a resolution, sharing the parameters of this network."""
        return nn.ModuleList([_First(self), *(_Resolution(self, i) for i in range(len(self.to_rgbs)))])

    def forward(self, z: Tensor) -> Tensor:
        """G(z): (N, *latent_shape) → (N, 3, size, size)."""
        for layer in self.layers:
            z = layer(z)
        return z

    @torch.no_grad()
    def fit_styles(self, noise: Noise, num: int = 10_000) -> None:
        """Fit the Gaussians that "w+" latents are scaled to, on the mapping network's output; in place.

        Args:
            noise: Source of randomness.
            num: Draws of z; the fit is accurate to about num^(−1/2) standard deviations.

        Raises:
            IncompatibleError: The latents are "z".
            InvalidValueError: Fewer than two draws.
        """
        if self.marginals is None:
            raise IncompatibleError("fit_styles fits 'w+' latents, and this generator's are 'z'")
        if num < 2:
            raise InvalidValueError(f"a fit takes at least two draws, not {num}")
        mean = self.marginals.mean
        z = noise.for_draws(num).normal((mean.shape[0],))[:, 0].to(mean)
        self.marginals.fit(self.style(z))


class StyleMarginals(nn.Module):
    r"""Styles of about the right distribution, made of standard Gaussians v (N, L, latent).

    $$ w = \operatorname{LeakyReLU}_{0.2}(m + s \odot v) $$

    m and s are the mean and the standard deviation, entry by entry, of \(\operatorname{LeakyReLU}_5\) of the mapping
    network's outputs, which undoes its last activation. Correlations of a style's entries are lost, and so is the
    dependence that all places have the same style.

    References:
        Menon, Damian, Hu, Ravi & Rudin 2020, PULSE: Self-Supervised Photo Upsampling via Latent Space Exploration of
        Generative Models, arXiv:2003.03808.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("std", torch.ones(latent))

    def fit(self, styles: Tensor) -> None:
        """Fit to styles (N, latent)."""
        before = functional.leaky_relu(styles, 5.0)
        self.mean.copy_(before.mean(0))
        self.std.copy_(before.std(0))

    def forward(self, v: Tensor) -> Tensor:
        return functional.leaky_relu(self.mean + self.std * v, 0.2)


class ConstantInput(nn.Module):
    """The features (1, channels, 4, 4) that every image begins with."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.input = nn.Parameter(torch.randn(1, channels, 4, 4))

    def forward(self, rows: int) -> Tensor:
        return self.input.expand(rows, -1, -1, -1)


class _First(nn.Module):
    """Latents (N, *latent_shape) → the state at 4 × 4."""

    def __init__(self, network: StyleGAN2Generator) -> None:
        super().__init__()
        self.styles = network.style if network.marginals is None else network.marginals
        self.input, self.conv, self.to_rgb = network.input, network.conv1, network.to_rgb1
        self.noises, self.num_styles = network.noises, network.num_styles

    def forward(self, z: Tensor) -> State:
        styles = self.styles(z)
        if styles.ndim == 2:
            styles = styles[:, None].repeat(1, self.num_styles, 1)
        x = self.conv(self.input(len(z)), styles[:, 0], self.noises.get_buffer("noise_0"))
        return x, self.to_rgb(x, styles[:, 1]), styles


class _Resolution(nn.Module):
    """The state at half of this resolution → the state, or the image where this is the last."""

    def __init__(self, network: StyleGAN2Generator, index: int) -> None:
        super().__init__()
        self.up, self.conv = network.convs[2 * index], network.convs[2 * index + 1]
        self.to_rgb, self.noises = network.to_rgbs[index], network.noises
        self.index, self.last = index, index == len(network.to_rgbs) - 1

    def forward(self, state: State) -> State | Tensor:
        x, image, styles = state
        place = 2 * self.index + 1  # the image of a resolution and the next one's first convolution share a style
        x = self.up(x, styles[:, place], self.noises.get_buffer(f"noise_{place}"))
        x = self.conv(x, styles[:, place + 1], self.noises.get_buffer(f"noise_{place + 1}"))
        image = self.to_rgb(x, styles[:, place + 2], image)
        return image if self.last else (x, image, styles)
