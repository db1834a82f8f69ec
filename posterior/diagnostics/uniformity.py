r"""Whether ranks are uniform, as those of a truth among exact draws are.

A rank is the number of L draws below the truth, 0 … L. The test compares the distribution function of N ranks with the
diagonal at all L inner points at once, each on its own scale:

$$ \gamma = \min_k 2 \min\{P(X_k \le R_k), P(X_k \ge R_k)\}, \qquad
   R_k = \#\{n: r_n < k\}, \quad X_k \sim \mathrm{Bin}(N, k/(L + 1)) $$

so that it sees slopes (bias), U and ∩ shapes (draws too narrow, too wide) and trouble at the ends alike. The law of γ
for uniform ranks is simulated, with a fixed seed, 4000 times.

References:
    Säilynoja, Bürkner & Vehtari 2022, Graphical test for discrete uniformity and its applications in goodness-of-fit
    evaluation and multiple sample comparison, Statistics and Computing 32, arXiv:2103.10522.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from posterior.checks import Count, Level, Real, checked
from posterior.errors import InvalidValueError
from posterior.noise import Noise

_REPETITIONS = 4000  # simulated studies behind a p-value
_TRIALS = 500  # simulated studies behind a power: 80 ± 1.8 %


@checked
def rank_ecdf(ranks: Real, num_draws: Count) -> Tensor:
    """Share of the ranks (..., N) below k, at k = 1 … L: (..., L). Its mean is k/(L + 1) where ranks are uniform.

    Raises:
        InvalidValueError: A rank is not one of 0 … L.
    """
    ranks = _checked_ranks(ranks, num_draws)
    return _counts(ranks, num_draws).double() / ranks.shape[-1]


@checked
def rank_p_value(ranks: Real, num_draws: Count) -> Tensor:
    """The p-value of the test that ranks are uniform.

    Args:
        ranks: Independent ranks (..., N), whole numbers 0 … L.
        num_draws: L.

    Returns:
        The p-value (...), at least 1/4001.

    Raises:
        InvalidValueError: A rank is not one of 0 … L.
    """
    ranks = _checked_ranks(ranks, num_draws)
    return _p_of(_statistic(_counts(ranks, num_draws), ranks.shape[-1]), ranks.shape[-1], num_draws)


@checked
def rank_band(num_ranks: Count, num_draws: Count, level: Level = 0.95) -> tuple[Tensor, Tensor]:
    """Lower and upper end (L,) of what `rank_ecdf` of uniform ranks stays within, everywhere, with probability level.

    It leaves the band if and only if `rank_p_value` is at most 1 − level.
    """
    inside = _p_of(_tails(num_ranks, num_draws), num_ranks, num_draws) > 1 - level
    lower = inside.int().argmax(1)
    upper = num_ranks - inside.flip(1).int().argmax(1)
    return lower.double() / num_ranks, upper.double() / num_ranks


@dataclass(frozen=True)
class DetectableEffect:
    """What a study would have found with 80 % probability, for a functional with a Gaussian posterior.

    Attributes:
        shift: Smallest shift of the draws' mean, in posterior standard deviations.
        too_wide: Smallest ratio above 1 of the draws' standard deviation to the posterior's.
        too_narrow: Largest ratio below 1.
    """

    shift: float
    too_wide: float
    too_narrow: float

    def __str__(self) -> str:
        found = [f"a shift of {self.shift:.2f} posterior standard deviations"] if self.shift < math.inf else []
        ratios = [f"{ratio:.2f}" for ratio in (self.too_narrow, self.too_wide) if 0 < ratio < math.inf]
        found += [f"a spread wrong by a factor of {' or '.join(ratios)}"] if ratios else []
        return ", ".join(found) or "nothing, for it is too small"


@lru_cache(maxsize=32)
@checked
def detectable_effect(num_ranks: Count, num_draws: Count, significance: Level = 0.05) -> DetectableEffect:
    r"""The smallest faults that give \(p \le\) significance with 80 % power, by simulation and bisection.

    The truth is N(0, 1), draws are N(δ, s²): a truth z has a rank distributed as Bin(L, Φ((z − δ)/s)).

    Args:
        num_ranks: Number of ranks N, one of each problem.
        num_draws: L.
        significance: The level of the test, with the correction for other tests that it stands among.

    Returns:
        The effect; infinite, or a ratio of 0, where no fault would be found (up to 8 standard deviations, or factors).
    """
    uniform = Noise.of(0, 1, _TRIALS, dtype=torch.float64).use("power").uniform((num_ranks,))[:, 0]

    def power(shift: float, ratio: float) -> float:
        cumulative = _rank_probabilities(num_draws, shift, ratio).cumsum(0)
        ranks = torch.searchsorted(cumulative / cumulative[-1], uniform).clamp_max(num_draws)
        return float((rank_p_value(ranks, num_draws) <= significance).double().mean())

    return DetectableEffect(
        shift=_smallest(lambda t: power(8 * t, 1.0)) * 8,
        too_wide=8 ** _smallest(lambda t: power(0.0, 8**t)),
        too_narrow=8 ** -_smallest(lambda t: power(0.0, 8**-t)),
    )


@checked
def holm(p_values: Real) -> Tensor:
    """Adjust p-values (F,) for their number: if no hypothesis is false, one is at most α with probability at most α.

    References:
        Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.
    """
    if p_values.ndim != 1 or not bool(((p_values >= 0) & (p_values <= 1)).all()):
        raise InvalidValueError(f"p_values lie in [0, 1], in a row; got {p_values}")
    count = len(p_values)
    ordered, order = p_values.sort()
    factors = torch.arange(count, 0, -1, dtype=p_values.dtype)
    adjusted = torch.empty_like(p_values)
    adjusted[order] = (factors * ordered).cummax(0).values.clamp_max(1)
    return adjusted


def _checked_ranks(ranks: Tensor, num_draws: int) -> Tensor:
    fractional = ranks.is_floating_point() or ranks.ndim == 0 or ranks.numel() == 0
    if fractional or int(ranks.min()) < 0 or int(ranks.max()) > num_draws:
        raise InvalidValueError(f"ranks among {num_draws} draws are whole numbers 0 … {num_draws}, at least one")
    return ranks.cpu()


def _counts(ranks: Tensor, num_draws: int) -> Tensor:
    """R_k for k = 1 … L, (..., L)."""
    bins = torch.zeros(*ranks.shape[:-1], num_draws + 1, dtype=torch.int64, device=ranks.device)
    return bins.scatter_add(-1, ranks.long(), torch.ones_like(ranks, dtype=torch.int64)).cumsum(-1)[..., :-1]


def _statistic(counts: Tensor, num_ranks: int) -> Tensor:
    """γ of counts (..., L): (...)."""
    tails = _tails(num_ranks, counts.shape[-1])
    return tails.expand(*counts.shape[:-1], -1, -1).gather(-1, counts[..., None])[..., 0].amin(-1)


def _rank_probabilities(num_draws: int, shift: float, ratio: float) -> Tensor:
    """P(r) for r = 0 … L, by the midpoint rule over quantiles of the truth."""
    truth = torch.special.ndtri((torch.arange(2000, dtype=torch.float64) + 0.5) / 2000)
    below = (truth - shift) / ratio
    return _binomial(num_draws, torch.special.log_ndtr(below), torch.special.log_ndtr(-below)).mean(0)


def _binomial(trials: int, log_p: Tensor, log_q: Tensor) -> Tensor:
    """Probabilities of 0 … trials successes, (P,) → (P, trials + 1)."""
    hits = torch.arange(trials + 1, dtype=torch.float64)
    log_choose = math.lgamma(trials + 1) - torch.lgamma(hits + 1) - torch.lgamma(trials - hits + 1)
    return (log_choose + hits * log_p[:, None] + (trials - hits) * log_q[:, None]).exp()


@lru_cache(maxsize=32)
def _tails(num_ranks: int, num_draws: int) -> Tensor:
    """2 min{P(X_k ≤ c), P(X_k ≥ c)} for k = 1 … L and c = 0 … N: (L, N + 1)."""
    level = torch.arange(1, num_draws + 1, dtype=torch.float64) / (num_draws + 1)
    mass = _binomial(num_ranks, level.log(), torch.log1p(-level))
    return 2 * torch.minimum(mass.cumsum(1), mass.flip(1).cumsum(1).flip(1))


@lru_cache(maxsize=32)
def _null(num_ranks: int, num_draws: int) -> Tensor:
    """Sorted values of γ in simulated studies with uniform ranks."""
    noise = Noise.of(0, 1, _REPETITIONS, dtype=torch.float64).use("uniform ranks")
    ranks = (noise.uniform((num_ranks,))[:, 0] * (num_draws + 1)).long()
    return _statistic(_counts(ranks, num_draws), num_ranks).sort().values


def _p_of(statistic: Tensor, num_ranks: int, num_draws: int) -> Tensor:
    null = _null(num_ranks, num_draws)
    return (1 + torch.searchsorted(null, statistic.contiguous(), right=True)).double() / (len(null) + 1)


def _smallest(power: Callable[[float], float]) -> float:
    """The smallest effect in (0, 1] found with 80 % power, infinity if there is none."""
    if power(1.0) < 0.8:
        return math.inf
    low, high = 0.0, 1.0
    for _ in range(10):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= 0.8 else (middle, high)
    return high
