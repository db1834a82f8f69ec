"""Reliability of probabilities: whether what is said to be 30 % likely happens in 30 % of cases."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from posterior.checks import Real, checked
from posterior.errors import ShapeError
from posterior.fairness.measures import BINS, Interval

_Z = 1.96  # of a 95 % interval


@dataclass(frozen=True)
class Reliability:
    """Stated and observed frequencies of K classes in ten bins of the stated; NaN where a bin is empty.

    Attributes:
        stated: Mean probability in each bin, (K, 10).
        observed: Share of members in each bin, (K, 10), with Wilson's intervals.
        count: Measurements in each bin, (K, 10).
    """

    stated: Tensor
    observed: Interval
    count: Tensor


@checked
def reliability(truth: Real, probabilities: Real) -> Reliability:
    r"""Bin probabilities and count how often they come true: \(\hat f = \sum_b t_{ba} / n\) over a bin.

    $$ \frac{\hat f + z^2/2n \pm z \sqrt{\hat f (1 - \hat f)/n + z^2/4n^2}}{1 + z^2/n}, \quad z = 1.96 $$

    with n the measurements in the bin, bounds the frequency in 95 % of cases, even where n = 1; somewhat more where
    memberships are soft.

    Args:
        truth: Memberships of the true images, (B, K).
        probabilities: What is said of them: a classifier's, or mean memberships of draws of the posterior, (B, K).

    Raises:
        ShapeError: Shapes differ.

    References:
        Wilson 1927, Probable inference, the law of succession, and statistical inference, JASA 22.
    """
    if truth.shape != probabilities.shape or truth.ndim != 2:
        raise ShapeError(f"memberships are (B, K), both alike; got {tuple(truth.shape)}, {tuple(probabilities.shape)}")
    truth, probabilities = truth.double(), probabilities.double()
    inside = one_hot((probabilities * BINS).long().clamp(0, BINS - 1), BINS).double()  # (B, K, bins)
    count = inside.sum(0)
    observed = torch.einsum("bkn,bk->kn", inside, truth) / count
    stated = torch.einsum("bkn,bk->kn", inside, probabilities) / count
    narrowed = 1 + _Z**2 / count
    centre = (observed + _Z**2 / (2 * count)) / narrowed
    reach = _Z * (observed * (1 - observed) / count + (_Z / (2 * count)) ** 2).sqrt() / narrowed
    return Reliability(stated, Interval(observed, centre - reach, centre + reach), count.long())
