"""Random fields of any size whose denoiser is exact: Gaussian, and spike and slab, in the basis of Hartley."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.priors import ScorePrior
from posterior.shapes import expand_right

_SLAB, _SHARE = 0.2, 0.95  # how often a coefficient is large, and the part of the power in those that are


def hartley(x: Tensor) -> Tensor:
    """The orthonormal Hartley transform of the last two dimensions, real and its own inverse: Re Fx − Im Fx."""
    y = torch.fft.fft2(x, norm="ortho")
    return y.real - y.imag


def power_law(height: int, width: int | None = None, std: float = 0.5) -> Tensor:
    """Variances (height, width) of the coefficients, ∝ (1 + |k|²)^−3/2, of a field whose pixels have this std.

    k counts waves over the height; fields are square unless a width is given.
    """
    width = height if width is None else width
    down, across = (torch.fft.fftfreq(n, 1 / height, dtype=torch.float64) for n in (height, width))
    power = (1 + down[:, None] ** 2 + across**2) ** -1.5
    return std**2 * height * width * power / power.sum()


class FieldPrior(ScorePrior):
    r"""A field with independent coefficients: \(c_k \sim N(0, p_k)\), or of two scales (spike and slab).

    Args:
        power: p, the coefficients' variances (H, W).
        channels: Independent fields of an image (channels, H, W).
        spiky: Whether a coefficient is large with probability 0.2, with 95 % of the power in those that are.
        spatial: Whether images are fields, of which coefficients are the Hartley transform, or coefficients as they
            are.
    """

    power: Tensor

    def __init__(self, power: Tensor, channels: int = 1, spiky: bool = False, spatial: bool = True) -> None:
        super().__init__()
        self.event_shape = (channels, *power.shape)
        self.spiky, self.spatial = spiky, spatial
        self.sigma_data = float(power.mean().sqrt())
        self.sigma_min, self.sigma_max = 1e-4 * self.sigma_data, 10 * math.sqrt(power.numel()) * self.sigma_data
        self.register_buffer("power", power)

    @property
    def parts(self) -> tuple[Tensor, Tensor]:
        """Weights (K,) and variances (K, H, W) of a coefficient's Gaussian parts."""
        if not self.spiky:
            return self.power.new_ones(1), self.power[None]
        weights = self.power.new_tensor([_SLAB, 1 - _SLAB])
        shares = weights.new_tensor([_SHARE, 1 - _SHARE]) / weights
        return weights, expand_right(shares, 2) * self.power

    def transform(self, x: Tensor) -> Tensor:
        """Coefficients of images, or images of coefficients."""
        return hartley(x) if self.spatial else x

    def responsibilities(self, squares: Tensor, noise: Tensor) -> Tensor:
        """Probability (K, ...) of the parts given squares of coefficients in Gaussian noise of this variance."""
        weights, variances = self.parts
        totals = [variance + noise for variance in variances]
        logs = [w.log() - 0.5 * (squares / total + total.log()) for w, total in zip(weights, totals, strict=True)]
        return torch.stack(logs).softmax(0)

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        c, noise = self.transform(x), expand_right(sigma**2, 3)
        _, variances = self.parts
        gains = torch.stack([v / (v + noise) for v in variances])
        gain = (self.responsibilities(c.square(), noise) * gains).sum(0) if self.spiky else gains[0]
        return self.transform(gain * c)

    def exact_sample(self, num_samples: int, noise: Noise) -> Tensor:
        noise = noise.for_draws(num_samples)
        _, variances = self.parts
        std = variances[0].sqrt()
        if self.spiky:
            std = torch.where(noise.use("part").uniform(self.event_shape) < _SLAB, std, variances[1].sqrt())
        return self.transform(std.to(noise.dtype) * noise.use("value").normal(self.event_shape))
