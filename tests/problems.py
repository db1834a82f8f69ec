"""Small problems with known posteriors, shared by the tests of priors and samplers."""

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


def relative_error(estimate: Tensor, exact: Tensor) -> float:
    """‖estimate − exact‖/‖exact‖."""
    return float((estimate - exact).norm() / exact.norm())
