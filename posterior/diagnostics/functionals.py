"""Functionals that a calibration study ranks: numbers that an image has, alone or beside the measurement."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from posterior.problem import Posterior

Functional = Callable[[Tensor, Posterior], Tensor]
"""Images x (S, B, *event) of a problem with B measurements → one number each, (S, B). It may depend on y."""


def centre_pixel(x: Tensor, problem: Posterior) -> Tensor:
    """The entry in the middle."""
    for size in problem.event_shape:
        x = x.select(2, size // 2)
    return x


def corner_mean(x: Tensor, problem: Posterior) -> Tensor:
    """Mean of the first quarter of the rows and of the columns, in all channels."""
    for axis, size in list(enumerate(x.shape))[max(2, x.ndim - 2) :]:
        x = x.narrow(axis, 0, -(-size // 4))
    return _rows(x).mean(2)


def mean(x: Tensor, problem: Posterior) -> Tensor:
    """Mean of all entries."""
    return _rows(x).mean(2)


def total_variation(x: Tensor, problem: Posterior) -> Tensor:
    """Sum of the absolute differences between neighbours, along the last two axes."""
    axes = range(max(2, x.ndim - 2), x.ndim)
    return torch.stack([_rows(x.diff(dim=axis).abs()).sum(2) for axis in axes]).sum(0)


def log_likelihood(x: Tensor, problem: Posterior) -> Tensor:
    """The log-likelihood log p(y | x): it alone of these sees that draws of the prior are not of the posterior."""
    return problem.log_likelihood(x)


DEFAULT_FUNCTIONALS: Mapping[str, Functional] = {
    "centre pixel": centre_pixel,
    "corner mean": corner_mean,
    "image mean": mean,
    "total variation": total_variation,
    "log-likelihood": log_likelihood,
}
"""What is ranked unless you say otherwise, fixed before any result is seen: choosing after makes p-values meaningless.
"""


def distance_to_reference(x: Tensor, held: Tensor, problem: Posterior) -> Tensor:
    r"""Distance \(\|x - r\|\) to the reference point of TARP: (S, B).

    $$ r = h + \|h - h'\|\, \frac{g}{\|g\|}, \qquad g = \nabla_h \log p(y \mid h) $$

    with h, h′ two draws that are not ranked. TARP is valid for any reference that is a function of y and of noise that
    is independent of the truth, and r is one. It sees a method that ignores y only if r does not: hence the step
    towards y, which no draw can undo, as far as two draws are apart, so that truth and draws lie to its sides.

    Args:
        x: Images (S, B, *event).
        held: The draws h and h′, (2, B, *event).
        problem: The problem they are draws of.
    """
    slope = _rows(problem.log_likelihood_grad(held[:1]))[0]
    here, other = _rows(held)
    length = slope.norm(dim=1, keepdim=True)
    step = torch.where(length > 0, (here - other).norm(dim=1, keepdim=True) / length, 0.0)
    return (_rows(x) - (here + step * slope)).norm(dim=2)


def distance_to_mean(x: Tensor) -> Tensor:
    """Distance of each image to the mean of the others, up to a common factor: (S, B, *event) → (S, B).

    That to the mean of all, itself included, is S/(S − 1) times smaller. So all play the same part, and the ball that
    holds a share of the draws holds an exchangeable truth exactly as often.
    """
    rows = _rows(x)
    return (rows - rows.mean(0)).norm(dim=2)


def _rows(x: Tensor) -> Tensor:
    return x.reshape(*x.shape[:2], -1)
