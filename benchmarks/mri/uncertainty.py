"""What a map of standard deviations is worth: coverage, rank correlation with the error, error by decile."""

from __future__ import annotations

import torch
from scipy.stats import spearmanr
from torch import Tensor

_DECILES = 10


def coverage(draws: Tensor, truth: Tensor, inside: Tensor) -> float:
    """Share of pixels whose truth lies between the smallest and the largest of samples (S, H, W)."""
    within = (draws.amin(0) <= truth) & (truth <= draws.amax(0))
    return float(within[inside].float().mean())


def rank_correlation(draws: Tensor, truth: Tensor, inside: Tensor) -> float:
    """Spearman's, of the samples' standard deviation with the error of their mean."""
    return float(spearmanr(draws.std(0)[inside], (draws.mean(0) - truth).abs()[inside]).statistic)


def ceiling(draws: Tensor, inside: Tensor) -> float:
    """The rank correlation if the truth were one of the samples: each is it in turn, and the others are the samples."""
    rest = [torch.cat([draws[:s], draws[s + 1 :]]) for s in range(len(draws))]
    found = [rank_correlation(others, one, inside) for others, one in zip(rest, draws, strict=True)]
    return sum(found) / len(found)


def decile_ratios(draws: Tensor, truth: Tensor, inside: Tensor) -> Tensor:
    """Root mean squared error over what is expected, in tenths of the pixels by their standard deviation, (10,).

    Pixels are sorted by every other sample; expected and found are the standard deviation and the error of the rest, of
    whose mean the variance is 1 + 1/S times that of a sample.
    """
    sorting, reading = draws[::2], draws[1::2]
    order = sorting.std(0)[inside].argsort().tensor_split(_DECILES)
    variance = reading.var(0)[inside] * (1 + 1 / len(reading))
    error = (reading.mean(0) - truth)[inside].square()
    return torch.stack([(error[part].mean() / variance[part].mean()).sqrt() for part in order])
