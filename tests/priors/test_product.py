import pytest
import torch

from posterior import GaussianLikelihood, LaplaceLikelihood, Posterior
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.noise import Noise
from posterior.operators import Fourier, Matrix, Sum
from posterior.priors import EmpiricalPrior, GaussianMixturePrior, ProductPrior, SpikePrior
from samplers import TemperedSMC
from tests.problems import DOUBLE, gaussian, mixture

SECOND = GaussianMixturePrior(torch.tensor([[1.0, 0.0], [-2.0, 1.5]], dtype=DOUBLE), [0.7, 0.3], 0.3)


def pairs(covariances: bool = False) -> tuple[ProductPrior, GaussianMixturePrior]:
    """A product, and the same law as one mixture over pairs."""
    first, second = (gaussian(2), SECOND) if covariances else (mixture(), SECOND)
    (mu, log_w, one), (nu, log_v, other) = first.components(), second.components()
    means = torch.stack([torch.stack([m, n]) for m in mu for n in nu])
    weights = (log_w[:, None] + log_v).flatten().exp()
    whole = GaussianMixturePrior(means, weights, covariance=torch.block_diag(one, other))
    return ProductPrior(first, second), whole


@pytest.mark.parametrize("covariances", [False, True])
def test_each_image_is_denoised_by_its_own_prior(covariances):
    product, whole = pairs(covariances)
    x = Noise.of(0, dtype=DOUBLE).normal((5, 2, 2))[0, 0]
    for sigma in (0.1, torch.tensor([0.2, 1.0, 3.0, 9.0, 2.0], dtype=DOUBLE)):
        assert torch.allclose(product.denoise(x, sigma), whole.denoise(x, sigma))
    assert torch.allclose(product.mean(), whole.mean(), atol=1e-2)


@pytest.mark.parametrize("covariances", [False, True])
def test_its_posterior_is_that_of_the_mixture_over_pairs(covariances):
    product, whole = pairs(covariances)
    matrix = Matrix(Noise.of(1, dtype=DOUBLE).normal((3, 4))[0, 0], (2, 2))
    for operator in (Sum((2, 2)), matrix, Fourier((2, 2), torch.tensor([[0, 1], [1, 1]]))):
        likelihood = GaussianLikelihood(operator, torch.tensor([0.3, 1.0], dtype=DOUBLE))
        x = product.exact_sample(1, Noise.of(2, 2, dtype=DOUBLE))[0]
        y = likelihood.simulate(x, Noise.of(3, 2, dtype=DOUBLE))
        exact, known = product.posterior(likelihood, y), whole.posterior(likelihood, y)
        assert torch.allclose(exact.weights, known.weights) and exact.pair_weights.shape[2] == 2
        assert torch.allclose(exact.log_evidence, known.log_evidence)
        for name in ("mean", "std", "covariance"):
            assert torch.allclose(getattr(exact, name)(), getattr(known, name)(), atol=1e-9)
        draws = exact.sample(4000)
        # 4 standard errors of a mean, and of a variance of draws that are at most as heavy-tailed as these
        assert ((draws.mean(0) - known.mean()).abs() <= 4 * known.std() / 4000**0.5).all()
        squares = (draws - known.mean()).square()
        assert ((squares.mean(0) - known.std() ** 2).abs() <= 4 * squares.std(0) / 4000**0.5).all()


def test_draws_of_the_two_are_independent_and_have_their_laws():
    product, _ = pairs()
    x = product.exact_sample(4000, Noise.of(0, dtype=DOUBLE))[:, 0]
    for one, prior in zip(x.unbind(1), (product.first, product.second), strict=True):
        means, log_w, covariance = prior.components()
        mean, w = log_w.exp() @ means, log_w.exp()
        std = (w @ (means - mean).square() + covariance.diagonal()).sqrt()
        assert ((one.mean(0) - mean).abs() <= 4 * std / 4000**0.5).all()
    correlation = torch.corrcoef(x.flatten(1).T)[:2, 2:]
    assert (correlation.abs() <= 4 / 4000**0.5).all()
    z = x[None, :1] + 0.5
    same = product.exact_denoise(z.expand(3000, 1, 2, 2), 0.8, Noise.of(1, 1, 3000, dtype=DOUBLE))
    assert ((same.mean(0) - product.denoise(z[0], 0.8)).abs() <= 4 * same.std(0) / 3000**0.5).all()


def test_a_sampler_separates_two_sources():
    """Weights of the pairs against the exact ones; 4 standard errors of a share, half the draws worth one each."""
    product, _ = pairs()
    likelihood = GaussianLikelihood(Sum((2, 2)), 0.5)
    y = torch.tensor([[-1.0, 0.5], [1.2, 2.0]], dtype=DOUBLE)
    exact = product.posterior(likelihood, y)
    samples = TemperedSMC("fast", population=512, exact_denoise=True).sample(
        Posterior(product, likelihood, y), 512, progress=False
    )
    first = product.first.responsibilities(samples.x[:, :, 0]).mean(0)
    expected = exact.pair_weights.sum(2)
    assert ((first - expected).abs() <= 4 * (expected * (1 - expected) / 256).sqrt() + 1e-3).all()
    assert ((samples.mean() - exact.mean()).abs() <= 4 * exact.std() / 256**0.5).all()


def test_what_is_no_product_is_refused():
    with pytest.raises(ShapeError, match="images of one shape"):
        ProductPrior(mixture(), mixture((3,)))
    with pytest.raises(InvalidValueError, match="second to be a ScorePrior"):
        ProductPrior(mixture(), None)
    with pytest.raises(IncompatibleError, match="range of values"):
        ProductPrior(mixture(), SpikePrior((2,), 0.1, 1.0))
    product = ProductPrior(EmpiricalPrior(torch.zeros(1, 2)), EmpiricalPrior(torch.ones(1, 2)))
    with pytest.raises(IncompatibleError, match="Gaussian noise on a linear"):
        product.posterior(LaplaceLikelihood(Sum((2, 2)), 1.0), torch.zeros(1, 2))
    spikes = ProductPrior(SpikePrior((2,), 0.1, 1.0), SpikePrior((2,), 0.1, 1.0))
    with pytest.raises(IncompatibleError, match="both its priors"):
        spikes.posterior(GaussianLikelihood(Sum((2, 2)), 1.0), torch.zeros(1, 2))
