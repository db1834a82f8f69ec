import math

import pytest
import torch

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, Identity, Inpainting, Operator
from posterior.priors import EmpiricalPrior
from tests.problems import DOUBLE

IMAGES = Noise.of(0, 30, dtype=DOUBLE).normal((1, 4, 4))[0]


def test_points_have_an_exact_posterior_under_any_likelihood():
    prior = EmpiricalPrior(IMAGES, weights=torch.arange(1.0, 31))
    curved = Operator.from_callable(
        lambda x: x.abs().sum((1, 2, 3))[:, None], event_shape=(1, 4, 4), measurement_shape=(1,)
    )
    likelihood = GaussianLikelihood(curved, 0.8)
    y = torch.tensor([[12.0], [14.0]], dtype=DOUBLE)
    exact = prior.posterior(likelihood, y)
    joint = (
        torch.arange(1, 31, dtype=DOUBLE)
        / 465
        * torch.exp(-0.5 * ((IMAGES.abs().sum((1, 2, 3)) - y) / 0.8) ** 2 - math.log(0.8 * math.sqrt(2 * math.pi)))
    )
    assert torch.allclose(exact.log_evidence, joint.sum(1).log())
    assert torch.allclose(exact.weights, joint / joint.sum(1, keepdim=True))
    assert torch.allclose(exact.mean(), torch.tensordot(exact.weights, IMAGES, 1))
    assert torch.allclose(exact.expectation(lambda x: x.square()) - exact.mean() ** 2, exact.std() ** 2)
    draws = exact.sample(50)
    assert all(any(torch.equal(x, image) for image in IMAGES) for x in draws[:5, 0])


def test_its_denoiser_is_the_posterior_mean():
    prior = EmpiricalPrior(IMAGES)
    noisy = IMAGES[:2] + 0.9
    identity = Inpainting(torch.ones(1, 4, 4, dtype=torch.bool))
    assert torch.allclose(prior.denoise(noisy, 1.3), prior.posterior(GaussianLikelihood(identity, 1.3), noisy).mean())


def test_blurred_points_are_a_mixture():
    prior = EmpiricalPrior(IMAGES, std=0.2)
    likelihood = GaussianLikelihood(Downsampling((1, 4, 4), 2), 0.3)
    y = likelihood.simulate(IMAGES[:2], Noise.of(0, 2, dtype=DOUBLE))
    exact = prior.posterior(likelihood, y)
    points = EmpiricalPrior(IMAGES).posterior(GaussianLikelihood(Downsampling((1, 4, 4), 2), math.hypot(0.3, 0.1)), y)
    # block means of a white Gaussian of std .2 over 4 pixels have std .1: the weights are those of more noise
    assert torch.allclose(exact.weights, points.weights)
    assert torch.allclose(exact.log_evidence, points.log_evidence)


def test_what_has_no_exact_posterior_is_refused():
    curved = Operator.from_callable(lambda x: x**2, event_shape=(1, 4, 4), measurement_shape=(1, 4, 4))
    with pytest.raises(IncompatibleError, match="linear operator"):
        EmpiricalPrior(IMAGES, std=0.1).posterior(GaussianLikelihood(curved, 1.0), IMAGES[:1])


def test_draws_of_the_posterior_know_nothing_of_a_truth_of_the_same_seed():
    images = torch.randn(50, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    prior = EmpiricalPrior(images, 0.5)
    truth = prior.exact_sample(1, Noise.of(0, 400, dtype=torch.float64))[0]
    likelihood = GaussianLikelihood(Identity((1, 4, 4)), 1e3)  # y says nothing: draws and truth are independent
    y = likelihood.simulate(truth, Noise.of(1, 400, dtype=torch.float64))
    draw = prior.posterior(likelihood, y).sample(1, seed=0)[0]
    centre = images.mean(0)
    correlation = torch.corrcoef(torch.stack([(draw - centre).flatten(), (truth - centre).flatten()]))[0, 1]
    assert abs(correlation) < 5 / (400 * 16) ** 0.5  # of as many pairs of uncorrelated entries
