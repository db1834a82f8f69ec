"""A prior of images measured in units of their own at each pixel, by a denoiser that takes a map of noise levels."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from posterior.priors import PyramidPrior, ScorePrior
from posterior.shapes import expand_right


class MappedPrior(ScorePrior):
    r"""The law of x/r, r a length for each pixel: \(\tilde D(\tilde z, s) = D(r\tilde z, sr)/r\).

    White noise of level s in x/r is noise of level sr in x. So a sampler that takes noise of one level, and moves as
    far as that, moves by sr at each pixel. Where a map exceeds what the network is good for, image and map are pooled,
    as in `PyramidPrior`.

    Args:
        prior: A pyramid of FFDNet, which takes maps.
        lengths: r, (H, W).
    """

    def __init__(self, prior: PyramidPrior, lengths: Tensor) -> None:
        super().__init__()
        self.prior, self.event_shape = prior, prior.event_shape
        self.sigma_data, self.sigma_min = prior.sigma_data, prior.sigma_min
        self.sigma_max = prior.sigma_max / float(lengths.max())
        self.register_buffer("lengths", lengths)

    def _denoise(self, x: Tensor, sigma: Tensor, *labels: Tensor) -> Tensor:
        z, levels = x * self.lengths, expand_right(sigma, 3) * self.lengths
        octave = (levels.amax((1, 2, 3)) / self.prior.sigma_network * (1 - 1e-5)).log2().ceil().clamp_min(0)
        out = torch.empty_like(z)
        for k in octave.unique().tolist():
            rows = octave == k
            out[rows] = self._at_scale(z[rows], levels[rows], 2 ** int(k))
        return out.clamp(-1, 1) / self.lengths

    def _at_scale(self, z: Tensor, levels: Tensor, block: int) -> Tensor:
        full = z.shape[-2:]
        small = [max(1, round(n / block)) for n in full]
        pooled = math.sqrt(small[0] * small[1] / (full[0] * full[1]))  # std of the mean of a block's white noise
        levels = adaptive_avg_pool2d(levels.square(), small).sqrt() * pooled
        clean = self.prior.through(self.prior.network, (adaptive_avg_pool2d(z, small) + 1) / 2, levels / 2)
        return interpolate(2 * clean - 1, full, mode="bicubic") if block > 1 else 2 * clean - 1
