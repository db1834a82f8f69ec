r"""Intervals that hold on average whatever the prior: conformal risk control on a calibration set.

Credible intervals are right if the prior is. Where truths are not draws of it, those of a calibration set tell by how
much to widen the intervals (or to narrow them).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.checks import Level, Real, checked
from posterior.errors import InvalidValueError, ShapeError, check_finite
from posterior.results import Samples

_EPSILON = 0.01  # of the truths' standard deviation


@dataclass(frozen=True)
class ConformalIntervals:
    r"""Credible intervals of each entry, widened by a common factor λ.

    $$ [\,m - \lambda(m - l + \epsilon),\; m + \lambda(u - m + \epsilon)\,] $$

    with m the median of the draws and [l, u] their equal-tailed credible interval. ε, small, lets intervals grow where
    all draws agree.

    Attributes:
        level: Share of an image's entries to be held.
        scale: λ.
        epsilon: ε.
    """

    level: float
    scale: float
    epsilon: float

    def __call__(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """Lower and upper ends for the draws of new measurements, (B, *event_shape) each.

        Raises:
            InvalidValueError: There are too few draws for a credible interval of this level.
        """
        middle, below, above = _reach(samples, self.level, self.epsilon)
        return middle - self.scale * below, middle + self.scale * above


@checked
def conformal_intervals(samples: Samples, truth: Real, level: Level = 0.9) -> ConformalIntervals:
    r"""Learn from measurements with known truth how wide intervals have to be.

    λ is the smallest with

    $$ \frac{1}{N + 1}\Bigl(1 + \sum_{n=1}^N \text{share of the entries of } x_n \text{ outside}\Bigr)
       \le 1 - \text{level} $$

    so that of a new image, exchangeable with the N, at least `level` of its entries are held on average over
    calibration sets and images, whatever prior and sampler made the draws; not of each image, nor each entry. And not
    more than \(\text{level} + 2/(N + 1)\), but for ties.

    Args:
        samples: Draws (S, N, *event_shape) of the calibration measurements.
        truth: Their true images (N, *event_shape), none of which served to train the prior.
        level: Share of an image's entries to be held.

    Raises:
        ShapeError: Truths do not fit the draws.
        InvalidValueError: There are too few draws or too few truths for this level.
        NotFiniteError: A truth or a draw holds NaN or infinity.

    References:
        Angelopoulos, Bates, Fisch, Lei & Schuster 2024, Conformal Risk Control, ICLR, arXiv:2208.02814.
        Angelopoulos et al. 2022, Image-to-Image Regression with Distribution-Free Uncertainty Quantification and
        Applications in Imaging, ICML, arXiv:2202.05265.
    """
    if truth.shape != samples.x.shape[1:]:
        raise ShapeError(
            f"truths have shape {tuple(truth.shape)}; draws {tuple(samples.x.shape)} need {tuple(samples.x.shape[1:])}"
        )
    for what, x in (("truths", truth), ("samples", samples.x)):
        check_finite(what, x, "find out where they arose")
    count = len(truth)
    # The sum of the shares outside may be at most this.
    allowed = (1 - level) * (count + 1) - 1
    if allowed < -1e-9:
        raise InvalidValueError(
            f"a level of {level:.0%} needs at least {math.ceil(1 / (1 - level) - 1 - 1e-9)} truths, got {count}"
        )
    epsilon = _EPSILON * float(truth.double().std())
    middle, below, above = _reach(samples, level, epsilon)
    # The factor at which each entry comes in.
    needed = torch.where(truth > middle, (truth - middle) / above, (middle - truth) / below).flatten()
    outside = math.floor(allowed * needed.numel() / count + 1e-6)  # entries that may stay out
    scale = float(needed.double().kthvalue(max(1, needed.numel() - outside)).values)
    return ConformalIntervals(level, scale * (1 + 1e-6), epsilon)  # the entry that decides is in, rounding or not


def _reach(samples: Samples, level: float, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """The median, and how far the interval reaches below and above it."""
    lower, upper = samples.credible_interval(level)
    middle = samples.quantile(0.5)
    return middle, (middle - lower).clamp_min(0) + epsilon, (upper - middle).clamp_min(0) + epsilon
