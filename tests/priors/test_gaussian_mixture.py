import math

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError, NoiseLevelError, ShapeError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Operator
from posterior.priors import GaussianMixturePrior
from tests.problems import DOUBLE, gaussian, gaussian_problem, mixture, mixture_problem


def log_density(prior: GaussianMixturePrior, x: torch.Tensor, sigma: float) -> torch.Tensor:
    n = x.shape[-1]
    parts = [
        w + torch.distributions.MultivariateNormal(m, (0.25 + sigma**2) * torch.eye(n, dtype=DOUBLE)).log_prob(x)
        for w, m in zip(prior.log_weights, prior.means, strict=True)
    ]
    return torch.stack(parts).logsumexp(0)


def test_score_is_the_gradient_of_the_noisy_density():
    prior = mixture()
    x = torch.randn(7, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    for sigma in (0.1, 1.0, 5.0):
        (expected,) = torch.autograd.grad(log_density(prior, x, sigma).sum(), x)
        assert torch.allclose(prior.score(x.detach(), sigma), expected, atol=1e-9)


def test_one_gaussian_is_denoised_by_its_wiener_filter():
    prior = gaussian(4)
    position = torch.arange(4, dtype=DOUBLE)
    covariance = torch.exp(-0.5 * (position[:, None] - position) ** 2 / 2) + 0.1 * torch.eye(4, dtype=DOUBLE)
    x, mean = torch.ones(1, 4, dtype=DOUBLE), torch.linspace(-1, 1, 4, dtype=DOUBLE)
    wiener = covariance @ torch.linalg.inv(covariance + 0.49 * torch.eye(4, dtype=DOUBLE))
    assert torch.allclose(prior.denoise(x, 0.7)[0], mean + wiener @ (x[0] - mean))


def test_noise_level_of_each_row():
    prior = mixture((1, 1, 2))
    x = torch.randn(3, 2, 1, 1, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    together = prior.denoise(x, torch.tensor([0.5, 2.0], dtype=DOUBLE))
    assert torch.allclose(together[:, 0], prior.denoise(x[:, 0], 0.5))
    assert torch.allclose(together[:, 1], prior.denoise(x[:, 1], 2.0))


def test_exact_draws_have_the_prior_s_moments():
    prior = mixture()
    x = prior.exact_sample(20_000, Noise.of(0, dtype=DOUBLE))[:, 0]
    share = prior.responsibilities(x).mean(0)
    weights = prior.log_weights.exp()
    assert ((share - weights).abs() < 4 * (weights * (1 - weights) / 20_000).sqrt()).all()
    assert abs(x.var(0).sum() / (prior.sigma_data**2 * 2) - 1) < 0.03


def test_exact_denoising_has_the_denoiser_as_its_mean():
    prior = mixture()
    z = torch.tensor([[-1.0, 0.5], [1.5, 1.0]], dtype=DOUBLE)
    draws = prior.exact_denoise(
        z.expand(20_000, 2, 2), torch.tensor([2.0, 1.0], dtype=DOUBLE), Noise.of(0, 2, 20_000, dtype=DOUBLE)
    )
    error = draws.mean(0) - prior.denoise(z, torch.tensor([2.0, 1.0], dtype=DOUBLE))
    assert (error.abs() < 4 * draws.std(0) / math.sqrt(20_000)).all()


def test_gaussian_posterior_is_the_conditional():
    problem = gaussian_problem(4)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    position = torch.arange(4, dtype=DOUBLE)
    prior_cov = torch.exp(-0.5 * (position[:, None] - position) ** 2 / 2) + 0.1 * torch.eye(4, dtype=DOUBLE)
    a = torch.eye(4, dtype=DOUBLE)[[0, 2]]
    precision = torch.linalg.inv(prior_cov) + a.T @ a / 0.09
    mean = torch.linalg.inv(precision) @ (
        torch.linalg.inv(prior_cov) @ torch.linspace(-1, 1, 4, dtype=DOUBLE) + problem.y[0] / 0.09
    )
    assert torch.allclose(exact.covariance()[0], torch.linalg.inv(precision))
    assert torch.allclose(exact.mean()[0], mean)
    marginal = torch.distributions.MultivariateNormal(
        a @ torch.linspace(-1, 1, 4, dtype=DOUBLE), a @ prior_cov @ a.T + 0.09 * torch.eye(2, dtype=DOUBLE)
    )
    assert torch.allclose(exact.log_evidence[0], marginal.log_prob(problem.y[0, [0, 2]]))


def test_mixture_posterior_agrees_with_quadrature():
    problem = mixture_problem(batch=2)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    axis = torch.linspace(-8, 8, 801, dtype=DOUBLE)
    grid = torch.cartesian_prod(axis, axis)
    log_joint = log_density(problem.prior, grid, 0.0)[:, None] + problem.log_likelihood(grid[:, None].expand(-1, 2, -1))
    weights = log_joint.softmax(0)
    mean = weights.T @ grid
    assert torch.allclose(exact.log_evidence, log_joint.logsumexp(0) + 2 * math.log(16 / 800), atol=1e-6)
    assert torch.allclose(exact.mean(), mean, atol=1e-6)
    second = torch.einsum("gb,gi,gj->bij", weights, grid, grid) - mean[:, :, None] * mean[:, None]
    assert torch.allclose(exact.covariance(), second, atol=1e-5)
    assert torch.allclose(exact.std() ** 2, second.diagonal(dim1=1, dim2=2), atol=1e-5)


def test_exact_posterior_draws():
    problem = mixture_problem(batch=2)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    draws = exact.sample(20_000, seed=0)
    assert ((draws.mean(0) - exact.mean()).abs() < 4 * exact.std() / math.sqrt(20_000)).all()
    share = problem.prior.responsibilities(draws).mean(0)
    assert (share - exact.weights).abs().max() < 0.015
    norm = exact.expectation(lambda x: x.norm(dim=1), num_samples=20_000)
    assert torch.allclose(norm, draws.norm(dim=2).mean(0))


def test_noise_std_of_each_measurement():
    problem = mixture_problem(batch=2)
    std = torch.tensor([0.3, 1.5], dtype=DOUBLE)
    likelihood = GaussianLikelihood(problem.operator, std)
    both = problem.prior.posterior(likelihood, problem.y)
    for b in range(2):
        one = problem.prior.posterior(GaussianLikelihood(problem.operator, float(std[b])), problem.y[b : b + 1])
        assert torch.allclose(both.mean()[b], one.mean()[0])
        assert torch.allclose(both.log_evidence[b], one.log_evidence[0])


def test_bad_input_is_refused():
    means = torch.zeros(2, 3)
    with pytest.raises(ShapeError, match="as many weights"):
        GaussianMixturePrior(means, [1.0])
    with pytest.raises(InvalidValueError, match="non-negative"):
        GaussianMixturePrior(means, [1.0, -1.0])
    for weights in ([1j, 1.0], [True, False]):
        with pytest.raises(InvalidValueError, match="weights to be"):
            GaussianMixturePrior(means, weights)
    with pytest.raises(ShapeError, match="square"):
        GaussianMixturePrior(means, covariance=torch.eye(2))
    with pytest.raises(InvalidValueError, match="positive definite"):
        GaussianMixturePrior(means, covariance=-torch.eye(3))
    with pytest.raises(ShapeError, match="shape"):
        mixture().denoise(torch.zeros(4, 3, dtype=DOUBLE), 1.0)
    with pytest.raises(NoiseLevelError, match="valid for noise levels"):
        mixture().denoise(torch.zeros(4, 2, dtype=DOUBLE), 1e6)
    curved = Operator.from_callable(lambda x: x**2, event_shape=(2,), measurement_shape=(2,))
    with pytest.raises(IncompatibleError, match="linear"):
        mixture().posterior(GaussianLikelihood(curved, 1.0), torch.zeros(1, 2, dtype=DOUBLE))
