"""Importance weights: how far they can be trusted, and made steadier."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from posterior.checks import Real, checked
from posterior.errors import InvalidValueError

_FEWEST = 5  # weights of a tail that is fitted
_PRIOR, _TOWARDS = 10, 0.5  # draws that the shape's prior counts for, and where it is


class ParetoSmoothed(NamedTuple):
    """What `pareto_smoothed` gives.

    Attributes:
        log_weights: Logarithms of smoothed weights, normalised to a sum of 1, (S, B).
        k: Shape of the weights' upper tail, (B,).
    """

    log_weights: Tensor
    k: Tensor


@checked
def pareto_smoothed(log_weights: Real) -> ParetoSmoothed:
    r"""Importance weights with their largest replaced by what a generalised Pareto distribution expects of them.

    The tail is the largest \(\min(S/5, 3\sqrt S)\) of S weights. Its shape k̂ tells how many moments weights have, 1/k:
    with k̂ < 0.7 means of a few thousand draws are as good as their standard errors say; with more they are not, and
    draws by these weights are not of the target. It is a diagnostic, not a proof: what no draw came near leaves no
    weight.

    Args:
        log_weights: \(\log p(x_s) - \log q(x_s)\) of draws of q, each up to a constant, (S, B).

    Raises:
        InvalidValueError: There are none, one is NaN or +∞, or all of one column are −∞.

    References:
        Vehtari, Simpson, Gelman, Yao & Gabry 2024, Pareto smoothed importance sampling, JMLR 25, arXiv:1507.02646.
        Zhang & Stephens 2009, A new and efficient estimation method for the generalized Pareto distribution,
        Technometrics 51 (the fit).
    """
    if log_weights.ndim != 2 or len(log_weights) == 0 or not bool((log_weights < math.inf).all()):
        raise InvalidValueError("log_weights are (S, B), S at least 1, without NaN and +∞")
    highest = log_weights.amax(0)
    if not bool(highest.isfinite().all()):
        raise InvalidValueError("no draw of q has a weight: it does not overlap with the target")
    size = len(log_weights)
    values = log_weights.double() - highest.double()
    ordered, order = values.sort(0)
    tail = math.floor(min(size / 5, 3 * size**0.5))
    k = torch.full_like(highest, torch.inf, dtype=torch.float64)
    if tail >= _FEWEST:
        threshold = ordered[size - tail - 1].exp()
        excess = ordered[size - tail :].exp() - threshold
        spread = excess[-1] > 1e-12  # or all weights of the tail are the same
        k, scale = _fit(torch.where(spread, excess, torch.linspace(0.5, 1.5, tail).to(excess)[:, None]))
        middle = ((torch.arange(tail).to(values) + 0.5) / tail)[:, None]
        expected = scale * torch.expm1(-k * torch.log1p(-middle)) / k + threshold
        smoothed = torch.where(spread, expected.log().clamp_max(0), ordered[size - tail :])
        values = values.scatter(0, order[size - tail :], smoothed)
        k = torch.where(spread, k, 0.0)
    return ParetoSmoothed(values.log_softmax(0).to(log_weights), k.to(log_weights))


def _fit(excess: Tensor) -> tuple[Tensor, Tensor]:
    """Shape k and scale of generalised Pareto distributions, (B,) each, of sorted columns of positive values (n, B).

    A posterior mean over a grid of b = −k/scale under an empirical prior; a weak prior shrinks k towards one half.
    """
    count = len(excess)
    points = 30 + int(count**0.5)
    grid = 1 - (points / (torch.arange(1, points + 1).to(excess) - 0.5)).sqrt()
    quartile = excess[max(0, int(count / 4 + 0.5) - 1)].clamp_min(torch.finfo(excess.dtype).tiny)
    b = grid[:, None] / (3 * quartile) + 1 / excess[-1]
    k = torch.log1p(-b[:, None] * excess).mean(1)
    weights = (count * ((-b / k).log() - k - 1)).softmax(0)
    b = (b * weights).sum(0)
    k = torch.log1p(-b * excess).mean(0)
    return (count * k + _PRIOR * _TOWARDS) / (count + _PRIOR), -k / b
