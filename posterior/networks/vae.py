"""A variational autoencoder of fully connected layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class VAE(nn.Module):
    r"""An encoder \(q(z \mid x)\), a diagonal Gaussian, and a decoder G whose pixels are Bernoulli means.

    Args:
        latent: Dimension k of z.
        hidden: Units of the decoder's inner layers, from z to x; the encoder has them the other way round.
        event_shape: Shape of one image.
        dropout: Dropout rate after each of the encoder's inner layers, while training.

    References:
        Kingma & Welling 2014, Auto-Encoding Variational Bayes, arXiv:1312.6114.
        Bora, Jalal, Price & Dimakis 2017, Compressed Sensing using Generative Models, arXiv:1703.03208 (the sizes).
    """

    def __init__(
        self,
        latent: int = 20,
        hidden: Sequence[int] = (500, 500),
        event_shape: Sequence[int] = (1, 28, 28),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder = VAEEncoder(latent, hidden, event_shape, dropout)
        self.decoder = VAEDecoder(latent, hidden, event_shape)


class VAEEncoder(nn.Module):
    """Mean and log-variance of q(z | x); arguments as in `VAE`."""

    def __init__(self, latent: int, hidden: Sequence[int], event_shape: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        sizes = [math.prod(event_shape), *reversed(hidden)]
        inner = [
            layer
            for inputs, outputs in pairwise(sizes)
            for layer in (nn.Linear(inputs, outputs), nn.Softplus(), nn.Dropout(dropout))
        ]
        self.layers = nn.Sequential(nn.Flatten(), *inner, nn.Linear(sizes[-1], 2 * latent))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images (N, *event_shape) in [−1, 1] → mean and log-variance, (N, latent) each."""
        mean, log_variance = self.layers(x).chunk(2, dim=1)
        return mean, log_variance


class VAEDecoder(nn.Module):
    """The generator G of a VAE: softplus layers, then logits of the pixels, then an image in [−1, 1].

    Args:
        latent, hidden, event_shape: As in `VAE`.

    Attributes:
        layers: Modules whose composition is G; all but the last give the pixels' logits.
    """

    def __init__(
        self, latent: int = 20, hidden: Sequence[int] = (500, 500), event_shape: Sequence[int] = (1, 28, 28)
    ) -> None:
        super().__init__()
        self.config = dict(latent=latent, hidden=list(hidden), event_shape=list(event_shape))
        self.latent_shape, self.event_shape = (latent,), tuple(event_shape)
        sizes = [latent, *hidden]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(inputs, outputs), nn.Softplus()) for inputs, outputs in pairwise(sizes)
        )
        self.layers.append(nn.Linear(sizes[-1], math.prod(event_shape)))
        self.layers.append(SigmoidImage(event_shape))

    def logits(self, z: Tensor) -> Tensor:
        """Log-odds of the pixels, (N, latent) → (N, pixels)."""
        for layer in list(self.layers)[:-1]:
            z = layer(z)
        return z

    def forward(self, z: Tensor) -> Tensor:
        """G(z): (N, latent) → (N, *event_shape)."""
        return self.layers[-1](self.logits(z))


class SigmoidImage(nn.Module):
    """Log-odds (N, pixels) → images 2 sigmoid − 1, (N, *event_shape)."""

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)

    def forward(self, logits: Tensor) -> Tensor:
        """The same as tanh(logits/2)."""
        return torch.tanh(logits / 2).reshape(-1, *self.event_shape)
