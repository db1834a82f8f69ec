"""Proper scores: how good a set of draws is as a forecast of the truth, smaller being better.

Both are the fair versions, whose mean does not depend on the number of draws: on average over measurements no method
beats the exact posterior, however few draws are scored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.checks import Real, checked
from posterior.errors import InvalidValueError, ShapeError


@checked
def crps(x: Real, truth: Real) -> Tensor:
    r"""Continuous ranked probability score of each entry of an image.

    $$ \frac1S \sum_s |x_s - x^*| - \frac{1}{2S(S-1)} \sum_{s,t} |x_s - x_t| $$

    Args:
        x: Draws (S, *shape), S ≥ 2.
        truth: What was true (*shape).

    Returns:
        The score (*shape), in the units of x; of a few draws it may be negative.

    Raises:
        ShapeError: The shapes do not fit.
        InvalidValueError: There are fewer than two draws.

    References:
        Gneiting & Raftery 2007, Strictly proper scoring rules, prediction, and estimation, JASA 102.
        Ferro 2014, Fair scores for ensemble forecasts, Q. J. R. Meteorol. Soc. 140.
    """
    size = _check(x, truth)
    # The sum over pairs s < t by order statistics: x₍ᵢ₎ is the larger of i − 1 pairs and the smaller of S − i.
    weights = 2 * torch.arange(1, size + 1, dtype=x.dtype, device=x.device) - size - 1
    pairs = torch.tensordot(weights, x.sort(0).values, dims=1)
    return (x - truth).abs().mean(0) - pairs / (size * (size - 1))


@checked
def energy_score(x: Real, truth: Real) -> Tensor:
    r"""Energy score of each image as a whole, which CRPS is in one dimension.

    $$ \frac1S \sum_s \|x_s - x^*\| - \frac{1}{2S(S-1)} \sum_{s,t} \|x_s - x_t\| $$

    Args:
        x: Draws (S, B, *event), S ≥ 2.
        truth: True images (B, *event).

    Returns:
        The score (B,), in the units of x.

    Raises:
        ShapeError: The shapes do not fit.
        InvalidValueError: There are fewer than two draws.

    References:
        Gneiting & Raftery 2007, Strictly proper scoring rules, prediction, and estimation, JASA 102, equation 22.
    """
    size = _check(x, truth)
    if truth.ndim == 0:
        raise ShapeError("truth is one number; expected images (B, *event)")
    rows = x.reshape(size, len(truth), -1).transpose(0, 1)
    to_truth = (rows - truth.reshape(len(truth), 1, -1)).norm(dim=2).mean(1)
    # without matrix products, which lose the digits of small distances; each pair once
    pairs = torch.stack([torch.pdist(one).sum() for one in rows])
    return to_truth - pairs / (size * (size - 1))


def _check(x: Tensor, truth: Tensor) -> int:
    if x.ndim == 0 or x.shape[1:] != truth.shape:
        raise ShapeError(f"draws have shape {tuple(x.shape)} and the truth {tuple(truth.shape)}; expected (S, *truth)")
    if len(x) < 2:
        raise InvalidValueError(f"a fair score needs at least two draws, got {len(x)}")
    return len(x)
