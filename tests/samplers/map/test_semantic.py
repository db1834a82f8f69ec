import pytest
import torch

from posterior import GaussianLikelihood, Posterior
from posterior.errors import IncompatibleError
from posterior.likelihoods import CategoricalLikelihood, JointLikelihood
from posterior.noise import Noise
from posterior.operators import Identity, Matrix
from samplers.map import CSGM, SemanticGuidance
from tests.samplers.case import Case
from tests.samplers.map.generators import DOUBLE, SHAPE, Same, Small


def guided(batch: int = 1, std: float = 0.3) -> Posterior:
    """Images of a small generator, each to be taken for a class of its own."""
    noise, prior = Noise.of(5, 3, dtype=DOUBLE), Small()
    logits = Noise.of(6, dtype=DOUBLE).normal((3, 16))[0, 0]
    joint = JointLikelihood([GaussianLikelihood(Identity(SHAPE), std), CategoricalLikelihood(Matrix(logits, SHAPE))])
    image = joint.parts[0].simulate(prior.sample(1, noise.use("truth"))[0], noise)
    y = joint.join([image, joint.parts[1].labels(torch.arange(3)).to(image)])
    return Posterior(prior, joint, y).select(range(batch))


SHARED_CASES = {"SemanticGuidance": Case(SemanticGuidance(restarts=2, steps=5), guided, calls=(14, 10))}


def test_a_linear_classifier_of_two_numbers_has_the_optimum_of_a_convex_problem():
    """x = z, so that the slope of the loss is z + (z − x₁)/σ² − w Lᵀ(c − softmax(Lz)), 0 at the optimum."""
    logits = torch.tensor([[1.0, -0.5], [-1.0, 2.0]], dtype=DOUBLE)
    joint = JointLikelihood([GaussianLikelihood(Identity((2,)), 0.8), CategoricalLikelihood(Matrix(logits))])
    y = joint.join([torch.tensor([[1.0, -0.4]], dtype=DOUBLE), torch.tensor([[0.0, 1.0]], dtype=DOUBLE)])
    for weight in (0.0, 1.0, 20.0):
        estimate = SemanticGuidance(restarts=2, steps=800, weight=weight).solve(
            Posterior(Same(), joint, y), progress=False
        )
        z = estimate.x[0]
        slope = z + (z - y[0, :2]) / 0.64 - weight * (y[0, 2:] - (logits @ z).softmax(0)) @ logits
        assert slope.abs().max() < 1e-3 * (1 + weight)
        assert bool(estimate.converged)


def test_at_weight_one_it_is_the_map_of_the_joint_posterior():
    problem = guided(2)
    ours = SemanticGuidance(restarts=3, steps=600).solve(problem, progress=False)
    theirs = CSGM(restarts=3, steps=600, learning_rate=0.1).solve(problem, progress=False)
    assert torch.allclose(ours.x, theirs.x, atol=1e-6) and torch.allclose(ours.loss, theirs.loss)


def test_the_class_becomes_likelier_and_the_image_another_as_the_weight_grows():
    problem = guided(3)
    image, digit = problem.likelihood.parts
    seen, label = problem.likelihood.split(problem.y)
    probability, distance = [], []
    for weight in (0.0, 1.0, 10.0, 100.0):
        x = SemanticGuidance(restarts=4, steps=400, weight=weight).solve(problem, progress=False).x
        probability.append(digit.log_prob(x, label))
        distance.append(image.squared_residual(x, seen))
    # Of minima of D − wP for growing w neither P nor D can fall, but for the latent's own term
    assert (torch.stack(probability).diff(dim=0) > -1e-3).all() and (torch.stack(distance).diff(dim=0) > -0.05).all()


def test_it_needs_a_classifier():
    plain = Posterior(Small(), GaussianLikelihood(Identity(SHAPE), 0.3), torch.zeros(1, *SHAPE, dtype=DOUBLE))
    with pytest.raises(IncompatibleError, match="CategoricalLikelihood, the classifier"):
        SemanticGuidance().solve(plain, progress=False)
