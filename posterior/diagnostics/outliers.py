"""Which entries of a measurement an image cannot explain."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.checks import Positive, Values, checked
from posterior.errors import ShapeError
from posterior.problem import Posterior
from posterior.shapes import check_values, expand_right

_GAUSSIAN = 1.4826  # standard deviations in a median of |t|, t Gaussian


@checked
def find_outliers(problem: Posterior, x: Values, cutoff: Positive = 4.0) -> Tensor:
    r"""Find the measured entries whose residuals are too large for the others'.

    $$ |y_i - \text{E}[y_i \mid x]| > c \cdot 1.4826\, \operatorname*{median}_j |y_j - \text{E}[y_j \mid x]| $$

    The scale is that of the residuals themselves, of which up to half may be wrong: what x does not explain of the
    image counts as noise too, and σ_y is not used. Of Gaussian residuals 4 standard deviations leave one in 16,000. The
    image should be one that outliers did not move: of `RobustCSGM`, of `CSGM` under a `LaplaceLikelihood` or a
    `StudentTLikelihood`, or a mean of such a posterior.

    Args:
        problem: Prior, likelihood and measurements; complex ones are judged by moduli.
        x: Images (B, *event_shape), one for each measurement.
        cutoff: c, in standard deviations.

    Returns:
        Whether each entry is an outlier, (B, *measurement_shape), never where nothing is measured.

    Raises:
        ShapeError: x is of another shape.
        InvalidValueError: cutoff is not positive and finite.

    References:
        Xu, Liu, Yang & Wang 2023, Outlier Detection Using Generative Models with Theoretical Performance Guarantees,
        arXiv:2310.09999 (by the l1 norm).
    """
    likelihood, y = problem.likelihood, problem.y
    check_values("x, given to find_outliers,", x, problem.prior.event_shape, real=True)
    expected = (len(problem), *problem.prior.event_shape)
    if x.shape != expected:
        raise ShapeError(f"x, given to find_outliers, has shape {tuple(x.shape)}; expected {expected}, one for each y")
    mean, _ = likelihood.mean_and_variance(likelihood.noiseless(x))
    size = (y - mean).abs()
    seen = likelihood.measured(torch.ones_like(size)) != 0
    scale = _GAUSSIAN * torch.where(seen, size, torch.nan).flatten(1).nanmedian(1).values
    return seen & (size > cutoff * expand_right(scale, size.ndim - 1))
