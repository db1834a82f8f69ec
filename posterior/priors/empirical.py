"""A finite set of images as a prior: exact denoiser, exact draws, exact posteriors on real data."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.priors.exact import ExactPosterior, PointPosterior
from posterior.priors.gaussian_mixture import GaussianMixturePrior


class EmpiricalPrior(GaussianMixturePrior):
    r"""The images of a data set, each blurred by a Gaussian: \(\sum_i w_i N(x_i, \text{std}^2 I)\).

    Args:
        images: The data set (N, *event_shape).
        std: Width of each image's Gaussian; 0 for the images themselves.
        weights: Probability of each image (N,), equal unless given; reweighting by group is done here.
    """

    def __init__(self, images: Tensor, std: float = 0.0, weights: Tensor | Sequence[float] | None = None) -> None:
        super().__init__(images, weights, std)

    def posterior(self, likelihood: GaussianLikelihood, y: Tensor) -> ExactPosterior:
        """The exact posterior of y (B, *measurement_shape): any likelihood if std = 0, else linear-Gaussian.

        Raises:
            IncompatibleError: std > 0 and the likelihood is not linear-Gaussian.
        """
        if float(self.variances) > 0:
            return super().posterior(likelihood, y)
        images = self.means.reshape(-1, *self.event_shape)
        return PointPosterior(images, self.log_weights, likelihood.log_prob(images[:, None], y))
