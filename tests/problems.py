"""Small problems with known posteriors, shared by the tests of priors and samplers."""

import math

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, Matrix, Operator
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior

DOUBLE = torch.float64


def mixture(event_shape: tuple[int, ...] = (2,), std: float = 0.5) -> GaussianMixturePrior:
    """Three well separated components."""
    n = torch.Size(event_shape).numel()
    means = torch.stack([torch.linspace(a, b, n, dtype=DOUBLE) for a, b in ((-3, -1), (0, 3), (3, -2))])
    return GaussianMixturePrior(means.reshape(3, *event_shape), [0.5, 0.3, 0.2], std)


def gaussian(n: int = 3) -> GaussianMixturePrior:
    """One component with a full covariance, smooth along the event."""
    position = torch.arange(n, dtype=DOUBLE)
    covariance = torch.exp(-0.5 * (position[:, None] - position) ** 2 / 2) + 0.1 * torch.eye(n, dtype=DOUBLE)
    return GaussianMixturePrior(torch.linspace(-1, 1, n, dtype=DOUBLE)[None], covariance=covariance)


def measure(
    prior: GaussianMixturePrior, operator: Operator, noise_std: float, batch: int = 1, seed: int = 0
) -> Posterior:
    """Measurements of draws from the prior."""
    likelihood = GaussianLikelihood(operator, noise_std)
    noise = Noise.of(seed, batch, dtype=DOUBLE)
    x = prior.exact_sample(1, noise.use("truth"))[0]
    return Posterior(prior, likelihood, likelihood.simulate(x, noise))


def mixture_problem(batch: int = 1, noise_std: float = 0.7) -> Posterior:
    """One number measured of two, so that two or three components explain it."""
    likelihood = GaussianLikelihood(Matrix(torch.tensor([[1.0, 0.6]], dtype=DOUBLE)), noise_std)
    return Posterior(mixture(), likelihood, torch.tensor([[-0.9], [1.8], [-0.7]], dtype=DOUBLE)[:batch])


def gaussian_problem(n: int = 4, batch: int = 1) -> Posterior:
    """Half of a smooth Gaussian vector seen."""
    mask = torch.arange(n) % 2 == 0
    return measure(gaussian(n), Inpainting(mask), 0.3, batch)


def copies(problem: Posterior, count: int) -> Posterior:
    """The first measurement `count` times, under ids of their own, so that the samples of all can be pooled."""
    return Posterior(problem.prior, problem.likelihood, problem.y[:1].expand(count, *problem.y.shape[1:]))


def check_copies(values: Tensor, expected: Tensor, within: float, bias: float = 0.0) -> None:
    """The mean of values (B, ...), one for each of B copies of a measurement, is the one expected.

    Copies are independent, whatever the samples of one have to do with each other: the standard error is that between
    them. Five of them, which 24 degrees of freedom exceed once in 24,000 times, are to be less than `within`, so that
    the test sees what is that far off; `bias` is what the method may be off besides.
    """
    error = 5 * values.std(0) / math.sqrt(len(values))
    assert len(values) >= 25 and (error < within).all(), error
    assert ((values.mean(0) - expected).abs() < error + bias).all(), (values.mean(0) - expected) / error


def check_moments(samples: Tensor, mean: Tensor, covariance: Tensor, within: float = 0.06, bias: float = 0.0) -> None:
    """Samples (S, B, *event) of copies of one posterior have its mean and its covariance (n, n).

    Moments are taken in coordinates in which these are 0 and I. Of N independent samples of a Gaussian, all copies
    together, a mean then has a standard error of 1/√N and a second moment one of √(2/N): what `within` can be.
    """
    root = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(root, (samples - mean).flatten(2).mT, upper=False).mT
    second = torch.einsum("sbi,sbj->bij", white, white) / len(white)
    check_copies(white.mean(0), torch.zeros_like(white[0, 0]), within, bias)
    check_copies(second, torch.eye(len(root), dtype=samples.dtype), within, 2 * bias)


def relative_error(estimate: Tensor, exact: Tensor) -> float:
    """‖estimate − exact‖/‖exact‖."""
    return float((estimate - exact).norm() / exact.norm())
