"""Gibbs sampling of Lévy processes against the closed form, quadrature, and the denoiser."""

import pytest
import torch

from benchmarks.exactness.levy_gibbs import GibbsPosterior
from benchmarks.exactness.levy_increments import LAWS
from benchmarks.exactness.levy_prior import LevyPrior
from benchmarks.exactness.levy_problems import OPERATORS, for_samplers, make_problem
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Inpainting, Matrix
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from tests.benchmarks.problems import quadrature

CHAINS, KEPT = 40, 50
# Means of 2,000 draws, of which neighbours in a chain are nearly independent, are off by 0.022 stds; so are stds, of
# tails that are a little heavier than normal, by 0.02. Bounds are four times that.
MEAN, STD = 0.09, 0.08


@pytest.mark.parametrize("operator", OPERATORS)
def test_gaussian_process_has_the_closed_form(operator: str) -> None:
    problem, _ = make_problem("Gaussian", operator, 1)
    closed = for_samplers(problem)
    assert isinstance(closed.prior, GaussianMixturePrior)
    exact = closed.prior.posterior(closed.likelihood, closed.y)
    x = GibbsPosterior(problem, CHAINS).sample(0, KEPT, 1).flatten(0, 1)
    error = (x.mean(0) - exact.mean()) / exact.std()
    assert float(error.abs().max()) < 4.5 / 2000**0.5  # the most of 64 normal numbers, 4.5 of their stds
    assert float((x.std(0) / exact.std() - 1).abs().max()) < 4.5 / 4000**0.5


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("rows", [[[1.0, 0.0], [0.0, 1.0]], [[0.3, 1.0]]])
def test_two_points_have_the_moments_of_quadrature(name: str, rows: list[list[float]]) -> None:
    law, level = LAWS[name], 0.6
    prior = LevyPrior(law, length=2)
    matrix = torch.tensor(rows, dtype=torch.float64)
    y = torch.tensor([1.1, 0.4], dtype=torch.float64)[: len(rows)]
    likelihood = GaussianLikelihood(Matrix(matrix, event_shape=(1, 2)), level * float(prior.unit))
    problem = Posterior(prior, likelihood, prior.unit * y[None])
    x = GibbsPosterior(problem, CHAINS).sample(50, KEPT, 4).flatten(0, 1)[:, 0, 0] / prior.unit
    mean, std = quadrature(law, matrix, y, level)
    assert float(((x.mean(0) - mean) / std).abs().max()) < MEAN
    assert float((x.std(0) / std - 1).abs().max()) < 2 * STD  # the second point has Student's tails where it is unseen


@pytest.mark.parametrize("name", ["Laplace", "Bernoulli–Laplace", "Student t"])
def test_mean_of_a_noisy_signal_is_the_denoiser(name: str) -> None:
    prior = LevyPrior(LAWS[name], length=16)
    sigma = 0.4 * float(prior.unit)
    shape = prior.event_shape
    likelihood = GaussianLikelihood(Inpainting(torch.ones(shape, dtype=torch.bool), shape), sigma)
    y = prior.unit * torch.tensor([0, 0.3, -0.2, 2, 2.2, 1.8, 2.1, 1.7, 2.6, 2.9, 3, 3.2, 2.8, -1, -0.8, -1.2]).double()
    problem = Posterior(prior, likelihood, y.view(1, *shape))
    x = GibbsPosterior(problem, CHAINS).sample(50, KEPT, 4).flatten(0, 1)[:, 0]
    error = (x.mean(0) - prior.denoise(y.view(1, *shape), torch.as_tensor(sigma))[0]) / x.std(0)
    assert float(error.square().mean().sqrt()) < 2 / 2000**0.5
