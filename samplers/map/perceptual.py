"""How different an image looks from what was measured: a term of a loss."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from posterior.errors import IncompatibleError
from posterior.likelihoods.additive import AdditiveLikelihood
from posterior.metrics.perceptual import Network, PerceptualDistance
from posterior.operators import Blur, Downsampling, Grayscale, Identity, Inpainting
from posterior.problem import Posterior

_IMAGING = (Identity, Inpainting, Downsampling, Blur, Grayscale)


def perceptual_misfit(distance: PerceptualDistance, problem: Posterior, x: Tensor) -> Tensor:
    r"""The perceptual distance of images from their measurements, where these are images themselves.

    $$ d(A(x),\, y), \quad\text{of Inpainting}\quad d(x,\, m \odot y + (1 - m) \odot x) $$

    With a mask the unmeasured pixels are the image's own on both sides: they count as surroundings of measured ones,
    and through both the gradient flows. Noise in y counts as if it were part of the image.

    Args:
        distance: A perceptual distance, on the device of the problem.
        problem: Additive noise, and the operator `Identity`, `Inpainting`, `Downsampling`, `Blur` or `Grayscale` of
            images (C, H, W).
        x: Images (B, C, H, W), one for each measurement.

    Returns:
        One number for each image, (B,).

    Raises:
        IncompatibleError: Measurements are no images in the units of x.
        ShapeError: They are too small for the distance, or have another number of channels than 1 or 3.

    References:
        Daras, Dean, Jalal & Dimakis 2021, Intermediate Layer Optimization for Inverse Problems using Deep Generative
        Models, ICML, arXiv:2102.07364.
    """
    operator, likelihood = problem.operator, problem.likelihood
    if not isinstance(operator, _IMAGING) or len(operator.measurement_shape) != 3:
        raise IncompatibleError(
            "a perceptual term compares images (C, H, W), which the operators "
            f"{', '.join(kind.__name__ for kind in _IMAGING)} measure; {type(operator).__name__} measures "
            f"{operator.measurement_shape}"
        )
    if not isinstance(likelihood, AdditiveLikelihood):
        raise IncompatibleError(
            f"a perceptual term takes measurements in the units of the image, with additive noise, not those of a "
            f"{type(likelihood).__name__}"
        )
    if isinstance(operator, Inpainting):
        return distance(x, torch.where(operator.mask, problem.y, x))
    return distance(operator(x), problem.y)


@lru_cache(maxsize=1)
def shared_distance(network: Network, device: torch.device) -> PerceptualDistance:
    """A perceptual distance, loaded once for as long as the same one is asked for."""
    with torch.inference_mode(False):  # it may outlive the caller's
        return PerceptualDistance(network).to(device)
