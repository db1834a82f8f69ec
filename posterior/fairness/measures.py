r"""Fairness of reconstructions, with intervals (Jalal et al. 2021, arXiv:2106.12182).

X is the true image, X̂ what a method makes of its measurement y, a draw or an estimate; groups partition images. As X
and X̂ are independent given y, all measures come from \(\hat p_a = P(\hat X \in a \mid y)\) and \(t_a\), 1 if X ∈ a and
0 if not, or better, where X is a draw of the prior, \(P(X \in a \mid y)\), which has the same mean and less noise.
Measurements are independent and draws of one measurement are not: intervals are of a bootstrap over measurements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from posterior.checks import Count, Real, checked
from posterior.errors import InvalidValueError, ShapeError

BINS = 10


@dataclass(frozen=True)
class Interval:
    """Values, each with a 95 % percentile-bootstrap interval; all of one shape."""

    value: Tensor
    low: Tensor
    high: Tensor

    def within(self, margin: float) -> bool:
        """Whether all intervals lie between −margin and margin: equivalence to zero, not merely no difference seen."""
        return bool(((self.low > -margin) & (self.high < margin)).all())

    def outside(self, margin: float) -> bool:
        """Whether some interval lies wholly beyond −margin or margin."""
        return bool(((self.high < -margin) | (self.low > margin)).any())

    def worst(self) -> Interval:
        """The one of the largest value in modulus, as scalars."""
        index = self.value.abs().flatten().argmax()
        return Interval(self.value.flatten()[index], self.low.flatten()[index], self.high.flatten()[index])

    def __str__(self) -> str:
        if self.value.ndim:
            return "\n".join(map(str, map(Interval, self.value, self.low, self.high)))
        return f"{float(self.value):+.3f} [{float(self.low):+.3f}, {float(self.high):+.3f}]"


@dataclass(frozen=True)
class Fairness:
    r"""What a method does to K groups.

    Attributes:
        confusion: P(X ∈ a, X̂ ∈ b), (K, K).
        representation: PR gaps, P(X̂ ∈ a) − P(X ∈ a), (K,).
        recall: P(X̂ ∈ a | X ∈ a), (K,), one less the rate of group changes: with representation demographic parity (RDP)
            they are equal.
        parity: The RDP gap, largest less smallest recall; never negative, and above zero by chance where all are equal.
        symmetry: SPE gaps, P(X ∈ a, X̂ ∈ b) − P(X ∈ b, X̂ ∈ a) for a < b in order, (K(K − 1)/2,); with two groups the
            PR gap once more.
        conditional: CPR gaps, the root mean square over y of P(X̂ ∈ a | y) − P(X ∈ a | y), (K,); with a sign, that of
            the estimate of the square, which is zero on average where there is no gap. None where P(X ∈ a | y) is
            neither known nor estimated.
        conditional_is_exact: Whether it was known.
        calibration: Root mean square of the mean of \(\hat p_a - t_a\) over ten bins of \(\hat p_a\), (K,), with a
            sign as above: what truths alone tell of the CPR gap, at most as large.
    """

    confusion: Interval
    representation: Interval
    recall: Interval
    parity: Interval
    symmetry: Interval
    conditional: Interval | None
    conditional_is_exact: bool
    calibration: Interval


@checked
def fairness(
    truth: Real,
    first: Real,
    second: Real,
    given: Real | tuple[Real, Real] | None = None,
    *,
    resamples: Count = 2000,
    seed: int = 0,
) -> Fairness:
    r"""Measure a method's fairness from group memberships.

    Squares of \(\hat p - p\) are products of two independent runs, \((\hat p^{(1)} - p)(\hat p^{(2)} - p)\), and bins
    are chosen by one run and filled by the other: the noise of few draws, however they depend on each other within a
    run, then adds nothing to the gaps on average.

    Args:
        truth: Memberships of the true images, (B, K).
        first, second: Mean memberships of the draws of two independent runs, (B, K); of an estimate twice the same.
        given: P(X ∈ a | y), (B, K), where it is known, as for truths that are draws of a prior that tells it; it then
            takes the place of `truth` in all but calibration. Or two estimates of it, mean memberships of two
            independent runs of a sampler that is trusted, independent of `second` and of `first` in this order; they
            serve the CPR gap alone.
        resamples: Of the bootstrap.
        seed: Of the bootstrap.

    Raises:
        ShapeError: Shapes differ, or there are fewer than two measurements or groups.
        InvalidValueError: Memberships are no probabilities.
    """
    references = [] if given is None else [given, given] if isinstance(given, Tensor) else list(given)
    arrays = [truth, first, second, *references]
    if len({a.shape for a in arrays}) > 1 or truth.ndim != 2 or min(truth.shape) < 2:
        raise ShapeError(f"memberships are (B, K) with B, K ≥ 2, all alike; got {[tuple(a.shape) for a in arrays]}")
    if not all(bool((a >= 0).all() and ((a.sum(1) - 1).abs() < 1e-3).all()) for a in arrays):
        raise InvalidValueError("memberships must not be negative and sum to 1 for each measurement")
    truth, first, second = truth.double(), first.double(), second.double()
    size, groups = truth.shape
    weights = _resampled(size, resamples, seed).to(truth.device)
    target = given.double() if isinstance(given, Tensor) else truth
    joint = (target[:, :, None] * (first + second)[:, None] / 2).flatten(1)
    joint = (weights @ joint / size).unflatten(1, (groups, groups))
    true, made = joint.sum(2), joint.sum(1)
    recall = joint.diagonal(dim1=1, dim2=2) / true  # NaN in resamples without anyone of a group
    rows, columns = torch.triu_indices(groups, groups, 1)
    square = weights @ ((first - references[0]) * (second - references[1])) / size if references else None
    return Fairness(
        confusion=_interval(joint),
        representation=_interval(made - true),
        recall=_interval(recall),
        parity=_interval(recall.amax(1) - recall.amin(1)),
        symmetry=_interval((joint - joint.mT)[:, rows, columns]),
        conditional=None if square is None else _interval(_signed_root(square)),
        conditional_is_exact=isinstance(given, Tensor),
        calibration=_interval(_signed_root(_binned_square(weights, truth, first, second))),
    )


@checked
def by_group(values: Real, truth: Real, *, resamples: Count = 2000, seed: int = 0) -> Interval:
    r"""Mean over each group of a figure of each measurement, \(\sum_b t_{ba} v_b / \sum_b t_{ba}\), (K,).

    Args:
        values: An error or a score of each measurement, (B,).
        truth: Memberships of the true images, (B, K).

    The other arguments are those of `fairness`.

    Raises:
        ShapeError: Shapes do not fit.
    """
    if truth.ndim != 2 or values.shape != truth.shape[:1] or 0 in truth.shape:
        raise ShapeError(
            f"truth is (B, K) and values (B,), B and K at least 1; got {tuple(truth.shape)} and {tuple(values.shape)}"
        )
    weights, truth = _resampled(len(truth), resamples, seed).to(truth.device), truth.double()
    return _interval(weights @ (truth * values.double()[:, None]) / (weights @ truth))


def _resampled(size: int, resamples: int, seed: int) -> Tensor:
    """How often each measurement occurs in the data, once, and in resamples of it: (1 + resamples, B)."""
    counts = np.random.default_rng(seed % 2**64).multinomial(size, np.full(size, 1 / size), resamples)
    return torch.cat([torch.ones(1, size, dtype=torch.float64), torch.from_numpy(counts).double()])


def _binned_square(weights: Tensor, truth: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Σ over bins of P(bin) · (mean of p̂ − t in it)², without the bias of squared noise: (resamples, K)."""
    bins = (first * BINS).long().clamp_max(BINS - 1)
    total = weights.new_zeros(len(weights), truth.shape[1])
    for group in range(truth.shape[1]):
        inside = torch.nn.functional.one_hot(bins[:, group], BINS).double()
        error = inside * (second - truth)[:, group, None]
        count, own = weights @ inside, weights**2 @ inside
        # of pairs of different measurements only: Σ_{i≠j} c_i c_j e_i e_j, over as many pairs
        pairs = (weights @ error).square() - weights**2 @ error.square()
        mean_square = pairs / (count.square() - own).clamp_min(1)
        total[:, group] = (count / len(truth) * mean_square).sum(1)
    return total


def _signed_root(square: Tensor) -> Tensor:
    return square.sign() * square.abs().sqrt()


def _interval(values: Tensor) -> Interval:
    """The first of (1 + resamples, ...), and quantiles of the others."""
    low, high = torch.nanquantile(values[1:], values.new_tensor([0.025, 0.975]), dim=0)
    return Interval(values[0], low, high)
