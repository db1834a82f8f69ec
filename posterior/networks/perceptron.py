"""A fully connected generator with random weights: what theorems on inversion are about."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from posterior.checks import Count, Share, checked
from posterior.noise import Noise


class Perceptron(nn.Module):
    r"""Layers \(h \mapsto \phi(Wh)\) with \(\phi(v) = \max(v, av)\), the last one included, and Gaussian weights.

    $$ W_{ij} \sim N\!\Big(0, \frac{2}{(1 + a^2)\,n}\Big) $$

    of the n rows of W, so that a layer keeps the length of what enters it, on average.

    Args:
        sizes: Numbers of units from the latent to the image, k first.
        slope: a; 0 is ReLU, 1 a linear layer.
        seed: Of the weights.

    References:
        Hand & Voroninski 2018, Global Guarantees for Enforcing Deep Generative Priors by Empirical Risk,
        arXiv:1705.07576 (but for the factor 2, which makes their lengths fall by layers).
    """

    @checked
    def __init__(self, sizes: Sequence[Count], slope: Share = 0.0, seed: int = 0) -> None:
        super().__init__()
        self.config = dict(sizes=list(sizes), slope=slope, seed=seed)
        self.latent_shape, self.event_shape = (sizes[0],), (sizes[-1],)
        self.layers = nn.ModuleList()
        for number, (k, n) in enumerate(pairwise(sizes)):
            linear = nn.Linear(k, n, bias=False)
            normal = Noise.of(seed, dtype=linear.weight.dtype).use("perceptron", number).normal((n, k))[0, 0]
            linear.weight.data = (2 / ((1 + slope**2) * n)) ** 0.5 * normal
            self.layers.append(nn.Sequential(linear, nn.LeakyReLU(slope)))

    def forward(self, z: Tensor) -> Tensor:
        """G(z): (N, k) → (N, n)."""
        for layer in self.layers:
            z = layer(z)
        return z
