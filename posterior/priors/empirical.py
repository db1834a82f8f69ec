"""A finite set of images as a prior: exact denoiser, exact draws, exact posteriors on real data."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from posterior.checks import NonNegative, Real, checked
from posterior.priors.gaussian_mixture import GaussianMixturePrior, check_rows


class EmpiricalPrior(GaussianMixturePrior):
    r"""The images of a data set, each blurred by a Gaussian: \(\sum_i w_i N(x_i, \text{std}^2 I)\).

    Its `posterior` is exact for any likelihood if std = 0, and otherwise where that of a `GaussianMixturePrior` is.

    Args:
        images: The data set (N, *event_shape).
        std: Width of each image's Gaussian; 0 for the images themselves.
        weights: Probability of each image (N,), equal unless given; reweighting by group is done here.
    """

    @checked
    def __init__(self, images: Tensor, std: NonNegative = 0.0, weights: Real | Sequence[float] | None = None) -> None:
        check_rows("images", images)
        super().__init__(images, weights, std)
