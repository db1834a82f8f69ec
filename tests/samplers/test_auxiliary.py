import math

import pytest
import torch

from posterior.errors import IncompatibleError, NoiseLevelError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Blur, Inpainting, Matrix, Operator
from posterior.priors import GaussianMixturePrior, ScorePrior
from posterior.problem import Posterior
from samplers.auxiliary import ConditionalDraw, auxiliary_gibbs, check_linear_gaussian
from tests.problems import DOUBLE, gaussian, gaussian_problem, measure, mixture_problem

SMOOTH = torch.exp(-0.5 * (torch.arange(4.0)[:, None] - torch.arange(4.0)) ** 2).to(DOUBLE) + 0.1 * torch.eye(
    4, dtype=DOUBLE
)


def one_sweep(problem: Posterior, size: int, beta: float = 1.0, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Exact draws of the tempered posterior, before and after one sweep with exact draws of p(x0 | z)."""
    tempered = GaussianLikelihood(problem.operator, problem.likelihood.noise_std / math.sqrt(beta))
    before = problem.prior.posterior(tempered, problem.y).sample(size, seed=seed)
    noise = problem.noise(seed, size)
    betas = torch.full((len(problem),), beta, dtype=DOUBLE)
    epsilon = noise.use("epsilon").normal(problem.event_shape)
    after, _ = auxiliary_gibbs(problem, before, epsilon, betas, noise, ConditionalDraw(0, exact=True))
    return before, after


@pytest.mark.parametrize("beta", [1.0, 0.2])
@pytest.mark.parametrize(
    "operator",
    [
        Inpainting(torch.tensor([True, False, True, True])),  # a tight operator
        Matrix(torch.tensor([[1.0, 0.5, 0.2, 0.0], [0.0, 0.3, 1.0, 2.0]], dtype=DOUBLE)),  # by its spectrum
    ],
)
def test_a_sweep_leaves_the_posterior_invariant(operator, beta):
    problem = measure(gaussian(4), operator, 0.4)
    tempered = GaussianLikelihood(operator, 0.4 / math.sqrt(beta))
    exact = problem.prior.posterior(tempered, problem.y)
    size = 20_000
    _, after = one_sweep(problem, size, beta)
    variance = exact.std()[0] ** 2
    assert ((after[:, 0].mean(0) - exact.mean()[0]).abs() < 4 * (variance / size).sqrt()).all()
    # an entry of a covariance has standard error √((C_ii C_jj + C_ij²)/N) ≤ √(2 C_ii C_jj/N)
    bound = 4 * (2 * variance[:, None] * variance / size).sqrt()
    assert ((torch.cov(after[:, 0].T) - exact.covariance()[0]).abs() < bound).all()


@pytest.mark.parametrize(
    "operator",
    [
        Inpainting(torch.tensor([True, False, True, True]), (1, 1, 4)),
        Matrix(torch.tensor([[1.0, 0.5, 0.2, 0.0], [0.0, 0.3, 1.0, 2.0]], dtype=DOUBLE), (1, 1, 4)),
        Blur((1, 1, 4), torch.tensor([[0.2, 0.6, 0.2]], dtype=DOUBLE), boundary="reflect"),
    ],
    ids=["tight", "spectrum", "Chebyshev"],
)
def test_sweeps_with_carried_noise_at_temperatures_of_their_own(operator):
    prior = GaussianMixturePrior(torch.zeros(1, 1, 1, 4, dtype=DOUBLE), covariance=SMOOTH)
    std, beta, size = torch.tensor([0.4, 0.8], dtype=DOUBLE), torch.tensor([1.0, 0.2], dtype=DOUBLE), 20_000
    y = operator(torch.ones(2, 1, 1, 4, dtype=DOUBLE))
    problem = Posterior(prior, GaussianLikelihood(operator, std), y)
    exact = prior.posterior(GaussianLikelihood(operator, std / beta.sqrt()), y)
    noise = problem.noise(2, size)
    x, epsilon = exact.sample(size, seed=1), noise.use("epsilon").normal((1, 1, 4))
    for sweep in range(4):
        x, epsilon = auxiliary_gibbs(problem, x, epsilon, beta, noise.at(sweep), ConditionalDraw(0, exact=True))
    for b in range(2):
        variance = exact.std()[b].flatten() ** 2
        bound = 4.5 * (2 * variance[:, None] * variance / size).sqrt()
        assert ((torch.cov(x[:, b].flatten(1).T) - exact.covariance()[b]).abs() < bound).all()
        assert ((x[:, b].mean(0) - exact.mean()[b]).flatten().abs() < 4.5 * (variance / size).sqrt()).all()


def test_a_sweep_leaves_the_posterior_invariant_without_a_spectrum():
    prior = GaussianMixturePrior(torch.zeros(1, 1, 3, 3, dtype=DOUBLE), std=1.0)
    operator = Blur.gaussian((1, 3, 3), 0.6, boundary="reflect").double()  # Chebyshev expansion
    problem = measure(prior, operator, 0.3)
    exact = prior.posterior(problem.likelihood, problem.y)
    _, after = one_sweep(problem, 20_000)
    variance = (exact.std()[0] ** 2).flatten()
    bound = 4 * (2 * variance[:, None] * variance / 20_000).sqrt()
    assert ((torch.cov(after[:, 0].flatten(1).T) - exact.covariance()[0]).abs() < bound).all()


def test_a_sweep_keeps_the_weights_of_components():
    problem = mixture_problem(batch=2)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    assert ((exact.weights > 0.1).sum(1) >= 2).all()  # or there would be nothing to see
    _, after = one_sweep(problem, 20_000)
    share = problem.prior.responsibilities(after).mean(0)
    assert (share - exact.weights).abs().max() < 4 * 0.5 / math.sqrt(20_000)


def test_the_auxiliary_noise_stays_gaussian_and_apart_from_the_image():
    problem = gaussian_problem(4)
    size = 20_000
    before = problem.prior.posterior(problem.likelihood, problem.y).sample(size, seed=1)
    noise, beta = problem.noise(1, size), torch.ones(1, dtype=DOUBLE)
    x, epsilon = before, noise.use("epsilon").normal((4,))
    for sweep in range(3):
        x, epsilon = auxiliary_gibbs(problem, x, epsilon, beta, noise.at(sweep), ConditionalDraw(0, exact=True))
    both = torch.cat([(x - x.mean(0)) / x.std(0), epsilon], -1)[:, 0]
    covariance = both.T @ both / size
    assert (covariance[4:, 4:] - torch.eye(4, dtype=DOUBLE)).abs().max() < 4 * math.sqrt(2 / size)
    assert covariance[:4, 4:].abs().max() < 4 / math.sqrt(size)


def test_a_sweep_moves():
    before, after = one_sweep(mixture_problem(), 100)
    assert (before != after).all()


def test_what_it_does_not_take_is_refused():
    curved = Operator.from_callable(lambda x: x**2, event_shape=(2,), measurement_shape=(2,))
    prior = ScorePrior.from_denoiser(lambda x, s: x, (2,), sigma_min=0.5, sigma_max=10.0)
    y = torch.zeros(1, 2)
    with pytest.raises(IncompatibleError, match="Gaussian noise on a linear operator"):
        check_linear_gaussian("X", Posterior(prior, GaussianLikelihood(curved, 1.0), y))
    everything = Inpainting(torch.tensor([True, True]))
    with pytest.raises(NoiseLevelError, match=r"0\.38, below 0\.5"):
        check_linear_gaussian("X", Posterior(prior, GaussianLikelihood(everything, 0.4), y))


def test_precision_of_the_state_is_kept():
    problem = mixture_problem().to(dtype=torch.float32)
    x = torch.zeros(5, 1, 2)
    moved, epsilon = auxiliary_gibbs(problem, x, x, torch.ones(1), Noise.of(0, 1, 5), ConditionalDraw(4))
    assert moved.dtype == epsilon.dtype == torch.float32
