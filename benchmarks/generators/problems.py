"""Images, measurements and errors of the generators' benchmark."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from posterior.errors import TrustWarning
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.priors import GeneratorPrior
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples


def generator(name: str) -> GeneratorPrior:
    """A shipped generator."""
    prior = load_prior(name)
    assert isinstance(prior, GeneratorPrior)
    return prior


def photographs(first: int, count: int) -> Tensor:
    """Faces of Labeled Faces in the Wild, (count, 3, 64, 64) in [−1, 1]."""
    from skimage.data import lfw_subset

    grey = torch.as_tensor(lfw_subset()[first : first + count], dtype=torch.float32)[:, None]
    large = torch.nn.functional.interpolate(grey, size=(64, 64), mode="bicubic", align_corners=False)
    return (2 * large.clamp(0, 1) - 1).expand(-1, 3, -1, -1).contiguous()


def problem_of(prior: GeneratorPrior, operator: LinearOperator, std: float, truth: Tensor) -> Posterior:
    """Measurements of images, seed 0."""
    likelihood = GaussianLikelihood(operator, std)
    return Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, len(truth))))


def image(result: PointEstimate | Samples) -> Tensor:
    """The estimate, or the posterior mean."""
    return result.mean() if isinstance(result, Samples) else result.x


def error(x: Tensor, truth: Tensor) -> float:
    """Mean squared error in units of [0, 1]."""
    return float((x - truth).square().mean() / 4)


def answer(method: Method, problem: Posterior, num_samples: int = 64) -> PointEstimate | Samples:
    """The answer of a method; warnings are counted in the tables."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        return method(problem, num_samples=num_samples)
