import pytest
import torch

from posterior import Posterior
from posterior.errors import InvalidValueError, ShapeError
from posterior.likelihoods import CategoricalLikelihood, Likelihood
from posterior.noise import Noise
from posterior.operators import Matrix
from posterior.priors import EmpiricalPrior
from samplers import TemperedSMC
from tests.problems import DOUBLE, mixture

LOGITS = torch.tensor([[1.0, -0.5], [0.2, 2.0], [-1.5, 0.3]], dtype=DOUBLE)


def likelihood() -> CategoricalLikelihood:
    return CategoricalLikelihood(Matrix(LOGITS))


def images(*lead: int) -> torch.Tensor:
    return 2 * Noise.of(0, dtype=DOUBLE).normal((*lead, 2))[0, 0]


def test_the_law_is_the_softmax():
    one, x = likelihood(), images(4, 3)
    p = (x @ LOGITS.T).exp() / (x @ LOGITS.T).exp().sum(-1, keepdim=True)
    for c in range(3):
        y = one.labels(torch.full((3,), c))
        one.check(y)
        assert torch.allclose(one.log_prob(x, y), p[..., c].log())
        at = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(one.log_prob(at, y).sum(), at)
        assert torch.allclose(one.grad(x, y), slope)
        assert torch.allclose(Likelihood.slope(one, one.noiseless(x), y), one.slope(one.noiseless(x), y))
    mean, variance = one.mean_and_variance(one.noiseless(x))
    assert torch.allclose(mean, p) and torch.allclose(variance, p * (1 - p))


def test_labels_are_drawn_by_their_probabilities():
    one, x, count = likelihood(), 0.2 * images(3), 20_000  # small: rare labels have errors that are not Gaussian
    y = one.simulate(x.expand(count, 3, 2), Noise.of(1, 3, count, dtype=DOUBLE))
    one.check(y[0])
    p = (x @ LOGITS.T).softmax(-1)
    assert ((y.mean(0) - p).abs() <= 4 * (p * (1 - p) / count).sqrt()).all()  # 4 standard errors of a share
    misfit = one.misfit(x.expand(count, 3, 2), y).square()
    assert ((misfit.mean(0) - 1).abs() <= 4 * misfit.std(0) / count**0.5).all()


def test_far_from_a_boundary_all_is_finite():
    one = CategoricalLikelihood(Matrix(LOGITS.float()))
    x = torch.tensor([[1e4, -1e4]])
    y = one.labels(torch.tensor([1]))
    assert one.log_prob(x, y).isfinite().all() and one.grad(x, y).isfinite().all()
    assert (one.fisher(one.noiseless(x)) >= 0).all()


def test_the_posterior_of_a_class_has_the_weights_of_bayes():
    points = images(5)
    prior = EmpiricalPrior(points, weights=[1.0, 2.0, 3.0, 1.0, 1.0])
    exact = prior.posterior(likelihood(), likelihood().labels(torch.tensor([1])))
    joint = torch.tensor([1.0, 2.0, 3.0, 1.0, 1.0], dtype=DOUBLE) / 8 * (points @ LOGITS.T).softmax(-1)[:, 1]
    assert torch.allclose(exact.weights[0], joint / joint.sum())
    assert torch.allclose(exact.log_evidence[0], joint.sum().log())


def test_a_sampler_draws_the_images_of_a_class():
    """Against a sum over a grid; the bound is 4 standard errors of 512 draws, of which half are worth independent."""
    prior, one = mixture(), likelihood()
    axis = torch.linspace(-6, 6, 241, dtype=DOUBLE)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    means, weights = prior.means, prior.log_weights.exp()
    density = (weights * torch.exp(-0.5 * ((grid[:, None] - means) / 0.5).square().sum(-1))).sum(-1)
    y = one.labels(torch.tensor([0, 1, 2]))
    samples = TemperedSMC("fast", population=512, exact_denoise=True).sample(
        Posterior(prior, one, y), 512, progress=False
    )
    for b in range(3):
        p = density * (grid @ LOGITS.T).softmax(-1)[:, b]
        p = p / p.sum()
        mean = p @ grid
        std = (p @ (grid - mean).square()).sqrt()
        assert ((samples.x[:, b].mean(0) - mean).abs() <= 4 * std / 256**0.5).all()


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match="log-odds"):
        CategoricalLikelihood(Matrix(LOGITS[:1]))
    for y in (torch.zeros(1, 3), torch.ones(1, 3), torch.tensor([[0.5, 0.5, 0.0]])):
        with pytest.raises(InvalidValueError, match="one-hot"):
            likelihood().check(y.double())
    for classes in (torch.tensor([3]), torch.tensor([0.0]), torch.tensor(1)):
        with pytest.raises(InvalidValueError, match="from 0 to 2"):
            likelihood().labels(classes)
