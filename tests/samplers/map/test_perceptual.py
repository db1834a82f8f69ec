import pytest
import torch
from torch import Tensor

from posterior import GaussianLikelihood, PoissonLikelihood, Posterior
from posterior.errors import IncompatibleError, ShapeError
from posterior.metrics import PerceptualDistance
from posterior.noise import Noise
from posterior.operators import Blur, Downsampling, GaussianMeasurement, Grayscale, Identity, Inpainting
from posterior.operators.base import Operator
from posterior.priors import GaussianMixturePrior
from samplers.map.perceptual import perceptual_misfit, shared_distance

SHAPE = (3, 48, 48)
BOX = Inpainting.box(SHAPE, 0, 0, 20, 48)
MASKS = Inpainting(
    torch.stack([BOX.mask.expand(SHAPE), Inpainting.half_image(SHAPE, "left").mask.expand(SHAPE)]), SHAPE
)


def images(seed: int) -> Tensor:
    return torch.tanh(Noise.of(seed, 2).normal(SHAPE)[0])


def seen(operator: Operator) -> Posterior:
    """Measurements of images(0), without noise."""
    prior = GaussianMixturePrior(torch.zeros(1, *operator.event_shape))
    return Posterior(prior, GaussianLikelihood(operator, 0.1), operator(images(0)))


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    return PerceptualDistance("st-alex")


@pytest.mark.parametrize(
    "operator", [Identity(SHAPE), Downsampling(SHAPE, 2), Blur.gaussian(SHAPE, 1.0), Grayscale(SHAPE)]
)
def test_it_compares_what_is_measured(operator, distance):
    problem = seen(operator)
    assert (perceptual_misfit(distance, problem, images(0)) < 1e-6).all()
    assert torch.equal(perceptual_misfit(distance, problem, images(1)), distance(operator(images(1)), problem.y))


@pytest.mark.parametrize("operator", [BOX, MASKS], ids=["one mask", "masks"])
def test_unmeasured_pixels_need_not_agree(operator, distance):
    problem, x = seen(operator), images(1)
    agrees = torch.where(operator.mask, problem.y, x)
    assert (perceptual_misfit(distance, problem, agrees) == 0).all()
    assert (perceptual_misfit(distance, problem, x) > 0).all()
    assert torch.equal(perceptual_misfit(distance, problem, x), distance(x, agrees))
    alone = perceptual_misfit(distance, problem.select([1]), x[1:])
    assert torch.allclose(alone, distance(x, agrees)[1:], rtol=1e-4)


def test_the_gradient_flows_through_both_sides_of_a_mask():
    distance, problem = PerceptualDistance("st-alex").double(), seen(BOX)
    x, direction = images(1).double(), torch.where(BOX.mask, 0.0, images(2).double())
    leaf = x.clone().requires_grad_()
    (slope,) = torch.autograd.grad(perceptual_misfit(distance, problem, leaf).sum(), leaf)
    step = 1e-6 * direction
    difference = perceptual_misfit(distance, problem, x + step) - perceptual_misfit(distance, problem, x - step)
    assert torch.allclose((slope * direction).sum(), difference.sum() / 2e-6, rtol=1e-3)


def test_what_is_no_image_is_named(distance):
    with pytest.raises(IncompatibleError, match=r"GaussianMeasurement measures \(100,\)"):
        perceptual_misfit(distance, seen(GaussianMeasurement(SHAPE, 100)), images(0))
    likelihood = PoissonLikelihood(Identity(SHAPE), gain=10.0, background=0.1)
    counts = Posterior(GaussianMixturePrior(torch.zeros(1, *SHAPE)), likelihood, torch.ones(2, *SHAPE))
    with pytest.raises(IncompatibleError, match="PoissonLikelihood"):
        perceptual_misfit(distance, counts, images(0))
    with pytest.raises(ShapeError, match="at least 21"):
        perceptual_misfit(distance, seen(Downsampling(SHAPE, 4)), images(0))


def test_images_without_channels_are_not_taken_for_channels(distance):
    prior = GaussianMixturePrior(torch.zeros(1, 48, 48))
    problem = Posterior(prior, GaussianLikelihood(Identity((48, 48)), 0.1), torch.zeros(3, 48, 48))
    with pytest.raises(IncompatibleError, match=r"\(48, 48\)"):
        perceptual_misfit(distance, problem, torch.ones(3, 48, 48))


def test_one_distance_is_loaded_once():
    device = torch.device("cpu")
    with torch.inference_mode():
        distance = shared_distance("st-alex", device)
    assert shared_distance("st-alex", device) is distance
    assert not any(parameter.is_inference() for parameter in distance.parameters())
