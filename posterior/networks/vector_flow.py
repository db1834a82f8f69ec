"""A flow of vectors, by the library zuko."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from posterior.errors import InvalidValueError


class VectorFlow(nn.Module):
    """An invertible map of latents z, (N, d), to vectors x, (N, d): neural spline couplings, and a scale of each entry.

    Args:
        features: Entries d of a vector, at least 2.
        transforms: Couplings.
        hidden: Features of their hidden layers.
        bins: Pieces of a spline.

    Attributes:
        layers: Modules whose composition is f, with `inverse`.

    Raises:
        InvalidValueError: A setting is out of range.

    References:
        Durkan, Bekasov, Murray & Papamakarios 2019, Neural spline flows, arXiv:1906.04032.
        Rozet et al. 2022, Zuko: Normalizing flows in PyTorch, https://pypi.org/project/zuko/.
    """

    def __init__(self, features: int = 2, transforms: int = 5, hidden: Sequence[int] = (64, 64), bins: int = 8) -> None:
        from zuko.flows import NSF

        super().__init__()
        if features < 2 or min(transforms, bins - 1, *hidden) < 1:
            raise InvalidValueError(
                "a VectorFlow needs features ≥ 2, transforms ≥ 1, bins ≥ 2 and hidden layers of at least 1, got "
                f"{features}, {transforms}, {bins} and {tuple(hidden)}"
            )
        self.config = dict(features=features, transforms=transforms, hidden=list(hidden), bins=bins)
        self.event_shape = self.latent_shape = (features,)
        flow = NSF(features, transforms=transforms, hidden_features=tuple(hidden), bins=bins, passes=2)
        self.layers = nn.ModuleList([ZukoLayer(flow.transform), Scale(features)])

    def fit_scales(self, x: Tensor) -> None:
        """Set the scales so that these vectors (N, d) come to the couplings with mean 0 and variance 1."""
        scale = self.layers[1]
        assert isinstance(scale, Scale)
        scale.mean.data, scale.log_std.data = x.mean(0), x.std(0).clamp_min(1e-6).log()


class ZukoLayer(nn.Module):
    """A transformation of zuko's, which go from x to z, as a layer from z to x."""

    def __init__(self, transform: Any) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, z: Tensor) -> Tensor:
        """From z to x."""
        return self.transform().inv(z)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From x to z, and log|det|, (N,)."""
        return self.transform().call_and_ladj(x)


class Scale(nn.Module):
    """x = μ + e^s h, entry by entry."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(features))
        self.log_std = nn.Parameter(torch.zeros(features))

    def forward(self, h: Tensor) -> Tensor:
        """From z to x."""
        return self.mean + self.log_std.exp() * h

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """From x to z, and log|det|, (N,)."""
        return (x - self.mean) * (-self.log_std).exp(), -self.log_std.sum().expand(len(x))
