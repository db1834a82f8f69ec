"""Small problems with known posteriors, shared by the tests of priors and samplers."""

import math

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, Matrix, Operator
from posterior.priors import GaussianMixturePrior
from posterior.priors.exact import ExactPosterior
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


def check_normal(samples: Tensor, mean: Tensor, covariance: Tensor, bias: float = 0.0) -> None:
    """Samples (N, n) have the mean (n,) and the covariance (n, n) of the Gaussian that they are to be of.

    In coordinates in which that is N(0, I) a mean of N independent samples has a standard error of 1/√N, a variance
    one of √(2/N), a covariance one of 1/√N: 4.5 of these, and `bias` besides.
    """
    size = len(samples)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), (samples - mean).T, upper=False).T
    second = white.T @ white / size - torch.eye(len(mean), dtype=samples.dtype)
    assert white.mean(0).abs().max() < 4.5 / math.sqrt(size) + bias, white.mean(0)
    assert second.diag().abs().max() < 4.5 * math.sqrt(2 / size) + 2 * bias, second
    assert (second - second.diag().diag()).abs().max() < 4.5 / math.sqrt(size) + 2 * bias, second


def check_gaussian(samples: Tensor, exact: ExactPosterior, bias: float = 0.0) -> None:
    """`check_normal` of the samples (S, B, *event) of copies of one measurement, pooled."""
    check_normal(samples.flatten(2).flatten(0, 1), exact.mean()[0].flatten(), exact.covariance()[0], bias)


def relative_error(estimate: Tensor, exact: Tensor) -> float:
    """‖estimate − exact‖/‖exact‖."""
    return float((estimate - exact).norm() / exact.norm())
