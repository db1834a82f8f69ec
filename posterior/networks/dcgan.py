"""The generator of a deep convolutional GAN."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class DCGANGenerator(nn.Module):
    r"""Transposed convolutions from a latent vector to an image in [−1, 1] of side \(4 \cdot 2^{len(widths)}\).

    Each but the last is followed by batch normalisation and ReLU, the last by tanh. Parameters are named as in the
    widely used PyTorch example, `main.0.weight` …, so that its checkpoints fit.

    Args:
        latent: Dimension k of z.
        widths: Features at each resolution, coarsest (4 × 4) first.
        channels: Channels of the image.

    Attributes:
        layers: Modules whose composition is G, one a resolution; the first takes z (N, latent).

    References:
        Radford, Metz & Chintala 2016, Unsupervised Representation Learning with Deep Convolutional Generative
        Adversarial Networks, arXiv:1511.06434.
    """

    def __init__(self, latent: int = 100, widths: Sequence[int] = (512, 256, 128, 64), channels: int = 3) -> None:
        super().__init__()
        self.config = dict(latent=latent, widths=list(widths), channels=channels)
        side = 4 * 2 ** len(widths)
        self.latent_shape, self.event_shape = (latent,), (channels, side, side)
        modules: list[nn.Module] = []
        for i, (inputs, outputs) in enumerate(zip([latent, *widths[:-1]], widths, strict=True)):
            stride, padding = (1, 0) if i == 0 else (2, 1)
            modules += [
                nn.ConvTranspose2d(inputs, outputs, 4, stride, padding, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(),
            ]
        modules += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*modules)

    @property
    def layers(self) -> nn.ModuleList:
        """One module a resolution, sharing the parameters of `main`."""
        first = nn.Sequential(nn.Unflatten(1, (-1, 1, 1)), *self.main[:3])
        return nn.ModuleList([first, *(self.main[i : i + 3] for i in range(3, len(self.main), 3))])

    def forward(self, z: Tensor) -> Tensor:
        """G(z): (N, latent) → (N, channels, side, side)."""
        return self.main(z[:, :, None, None])
