"""A denoiser of a few noise levels, extended to all of them by pooling the image."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from posterior.checks import Positive, Shape, check_falling, checked
from posterior.errors import ShapeError
from posterior.priors.score_prior import ScorePrior


class PyramidPrior(ScorePrior):
    r"""A prior of a convolutional denoiser F that is good up to a noise level \(\sigma_F\), for images of any size.

    The mean of 2 × 2 pixels has white noise too, of half the level, and photographs look alike at every scale. So
    larger noise is removed from a smaller image,

    $$ D(x, \sigma) = U_k F(P_k x,\, 2^{-k}\sigma), \qquad k = \lceil\log_2(\sigma/\sigma_F)\rceil, $$

    with \(P_k\) the means of blocks of \(2^k\) pixels a side (about so many where they do not divide the image) and
    \(U_k\) bicubic interpolation; for σ ≤ \(\sigma_F\) D is F itself. What is finer than a block is taken to be zero on
    average. The last k leaves one pixel of a square image: that is \(\sigma_{max} = 2^k\sigma_F\). D is projected on
    `value_range`.

    Args:
        network: F(x, sigma) with x (N, C, H, W) in [0, 1] and sigma (N,) in those units.
        event_shape: (C, H, W).
        sigma_data: Standard deviation of the images' entries.
        sigma_min, sigma_network: Noise levels between which the network is good, for images in [−1, 1].

    Raises:
        ShapeError: event_shape is not (C, H, W).
        InvalidValueError: sigma_min < sigma_network does not hold, or another argument is none of the above.
    """

    settings = ("event_shape", "sigma_data", "sigma_min", "sigma_network")

    @checked
    def __init__(
        self, network: nn.Module, event_shape: Shape, *, sigma_data: Positive, sigma_min: Positive,
        sigma_network: Positive,
    ) -> None:  # fmt: skip
        super().__init__()
        self.network, self.event_shape = network, tuple(event_shape)
        if len(self.event_shape) != 3:
            raise ShapeError(f"images of a PyramidPrior are (C, H, W), not {self.event_shape}")
        self.sigma_data, self.sigma_min, self.sigma_network = sigma_data, sigma_min, sigma_network
        self.sigma_max = sigma_network * 2 ** math.ceil(math.log2(max(self.event_shape[1:])))
        check_falling(self, "sigma_network", "sigma_min")

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoise rows x at sigma (N,), or at maps of noise levels (N, 1, H, W), if the network takes these."""
        largest = sigma.flatten(1).amax(1) if sigma.ndim > 1 else sigma
        octave = (largest / self.sigma_network * (1 - 1e-5)).log2().ceil().clamp_min(0)
        out = torch.empty_like(x)
        for k in octave.unique().tolist():
            rows = octave == k
            out[rows] = self._at_scale(x[rows], sigma[rows], 2 ** int(k))
        return out.clamp(*self.value_range)

    def _at_scale(self, x: Tensor, sigma: Tensor, block: int) -> Tensor:
        full = x.shape[-2:]
        if block > 1:
            (rows, noise_down), (columns, noise_across) = (_blocks(n, block) for n in full)
            x = adaptive_avg_pool2d(x, (rows, columns))
            if sigma.ndim > 1:
                sigma = adaptive_avg_pool2d(sigma.square(), (rows, columns)).sqrt()
            sigma = sigma * noise_down * noise_across
        low, high = self.value_range
        clean = self.through(self.network, (x - low) / (high - low), (sigma / (high - low)).to(self.dtype))
        clean = low + (high - low) * clean
        return interpolate(clean, full, mode="bicubic") if block > 1 else clean


def _blocks(length: int, block: int) -> tuple[int, float]:
    """How many blocks a line of pixels is pooled into, and the standard deviation of the mean of one's white noise."""
    count = max(1, round(length / block))
    sizes = [-(-(i + 1) * length // count) - i * length // count for i in range(count)]  # torch's, which may overlap
    return count, math.sqrt(sum(1 / size for size in sizes) / count)
