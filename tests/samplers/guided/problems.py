"""Problems of guided samplers whose posteriors, denoisers and spectra are known."""

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Matrix
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from tests.problems import DOUBLE


def white_problem(noise_std: float = 0.3) -> Posterior:
    """A white Gaussian of mean 0.2 and std 0.5 under a matrix of unequal singular values."""
    prior = GaussianMixturePrior(torch.full((1, 4), 0.2, dtype=DOUBLE), std=0.5)
    matrix = torch.tensor([[1.0, 0.5, 0.0, -0.5], [0.0, 0.3, 0.3, 0.1]], dtype=DOUBLE)
    y = torch.tensor([[0.9, -0.4]], dtype=DOUBLE)
    return Posterior(prior, GaussianLikelihood(Matrix(matrix), noise_std), y)


def orthogonal_problem() -> Posterior:
    """A white Gaussian under orthogonal rows of different lengths."""
    white = white_problem()
    operator = Matrix(torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 0.6, 0.8, 0.0]], dtype=DOUBLE))
    return Posterior(white.prior, GaussianLikelihood(operator, 0.3), white.y)


def spectral(samples: int = 5) -> tuple[Posterior, Tensor, Tensor, Tensor, Tensor]:
    """The white problem with A = U S Vᵀ: singular values s (2,), V (4, 4), images x, and ȳ = S⁻¹Uᵀy."""
    problem = white_problem()
    u, s, vt = torch.linalg.svd(problem.operator.matrix)
    x = Noise.of(0, 1, samples, dtype=DOUBLE).normal((4,))
    return problem, s, vt.mT, x, (problem.y @ u) / s
