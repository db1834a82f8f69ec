import pytest
import torch

from posterior import GaussianLikelihood, PoissonLikelihood, Posterior, StudentTLikelihood
from posterior.app.specification import build
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.likelihoods import CategoricalLikelihood, JointLikelihood
from posterior.noise import Noise
from posterior.operators import Fourier, Identity, Inpainting, Magnitude, Matrix
from posterior.priors import EmpiricalPrior
from samplers import TemperedSMC
from tests.problems import DOUBLE, gaussian

SHAPE = (2, 3)
MASK = torch.tensor([[True, False, True], [False, True, True]])
MASKS = torch.stack([MASK, ~MASK])


def parts() -> list:
    """A real one with a mask for each of two measurements, a complex one, counts, outliers, a modulus and a class."""
    logits = Noise.of(3, dtype=DOUBLE).normal((4, 6))[0, 0]
    return [
        GaussianLikelihood(Inpainting(MASKS, SHAPE), torch.tensor([0.3, 0.6])),
        GaussianLikelihood(Fourier(SHAPE, MASK), 0.4),
        PoissonLikelihood(Identity(SHAPE), 5.0, 1.0),
        StudentTLikelihood(Inpainting(MASK, SHAPE), 0.2, 3.0),
        GaussianLikelihood(Magnitude(Fourier(SHAPE)), 0.4),
        CategoricalLikelihood(Matrix(logits, SHAPE)),
    ]


def drawn(joint: JointLikelihood, draws: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    x = Noise.of(0, 2, draws, dtype=DOUBLE).uniform(SHAPE)
    return x, joint.simulate(x[0], Noise.of(1, 2, dtype=DOUBLE))


def test_log_probabilities_add_up():
    joint = JointLikelihood(parts())
    x, y = drawn(joint)
    joint.check(y)
    each = joint.split(y)
    assert each[1].is_complex() and torch.equal(joint.join(each), y)
    for part, own in zip(parts(), each, strict=True):
        part.check(own)
    expected = sum(part.log_prob(x, own) for part, own in zip(parts(), each, strict=True))
    assert torch.allclose(joint.log_prob(x, y), expected)
    slopes = sum(part.grad(x, own) for part, own in zip(parts(), each, strict=True))
    assert torch.allclose(joint.grad(x, y), slopes)
    values = [part.num_values(own) for part, own in zip(parts(), each, strict=True)]
    assert torch.equal(joint.num_values(y), sum(values))
    squares = sum(n * part.misfit(x, own) ** 2 for n, part, own in zip(values, parts(), each, strict=True))
    assert torch.allclose(joint.misfit(x, y), (squares / sum(values)).sqrt())


def test_means_variances_and_information_are_those_of_the_parts():
    joint = JointLikelihood(parts())
    x, _ = drawn(joint)
    u = joint.noiseless(x)
    mean, variance = joint.mean_and_variance(u)
    information = joint.fisher(u)
    assert mean.shape == variance.shape == information.shape == u.shape
    for part, own, m, v, f in zip(
        parts(), joint.split(u), *(joint.split(values) for values in (mean, variance, information)), strict=True
    ):
        assert torch.allclose(m, part.mean_and_variance(own)[0])
        for value, expected in ((v, part.mean_and_variance(own)[1]), (f, part.fisher(own))):
            both = (value.real, value.imag) if value.is_complex() else (value,)
            assert all(torch.allclose(component, expected.expand_as(component)) for component in both)


def test_selection_and_draws_apart():
    joint = JointLikelihood(parts())
    x, y = drawn(joint)
    for b in range(2):
        one = joint.select(torch.tensor([b]))
        assert torch.allclose(one.log_prob(x[:, [b]], y[[b]]), joint.log_prob(x, y)[:, [b]])
        assert torch.allclose(one.simulate(x[0, [b]], Noise.of(1, [b], dtype=DOUBLE)), y[[b]])
    first, second = JointLikelihood([GaussianLikelihood(Identity(SHAPE), 1.0)] * 2).split(
        JointLikelihood([GaussianLikelihood(Identity(SHAPE), 1.0)] * 2).simulate(x[0], Noise.of(1, 2, dtype=DOUBLE))
    )
    assert not torch.isclose(first, second).any()  # each part has noise of its own


def test_two_gaussian_measurements_have_the_posterior_of_both():
    """Against a single measurement of both, whose rows are weighed; 4 standard errors, half the draws worth one."""
    prior = gaussian(2)
    first = torch.tensor([[1.0, 0.5]], dtype=DOUBLE)
    joint = JointLikelihood([
        GaussianLikelihood(Matrix(first), 0.3), GaussianLikelihood(Matrix(torch.eye(2, dtype=DOUBLE)), 1.0)
    ])  # fmt: skip
    y = joint.simulate(torch.tensor([[0.4, -0.2]], dtype=DOUBLE), Noise.of(0, dtype=DOUBLE))
    stacked = Matrix(torch.cat([first / 0.3, torch.eye(2, dtype=DOUBLE)]))
    white = torch.cat([y[:, :1] / 0.3, y[:, 1:]], 1)
    exact = prior.posterior(GaussianLikelihood(stacked, 1.0), white)
    samples = TemperedSMC("fast", population=512, exact_denoise=True).sample(
        Posterior(prior, joint, y), 512, progress=False
    )
    assert ((samples.mean() - exact.mean()).abs() <= 4 * exact.std() / 256**0.5).all()
    assert torch.allclose(samples.std(), exact.std(), rtol=4 / (2 * 256) ** 0.5)


def test_a_finite_prior_takes_any_parts():
    points = Noise.of(5, dtype=DOUBLE).uniform((7, *SHAPE))[0, 0]
    joint = JointLikelihood(parts())
    y = joint.simulate(points[:2], Noise.of(1, 2, dtype=DOUBLE))
    exact = EmpiricalPrior(points).posterior(joint, y)
    assert torch.allclose(exact.weights, joint.log_prob(points[:, None], y).softmax(0).T)


def test_parts_are_written_with_operators_of_their_own():
    half = build("operator", "half:keep=top", event_shape=(1, 28, 28))
    text = {
        "name": "joint",
        "parts": [
            {"name": "gaussian", "noise_std": 0.5},
            {"name": "categorical", "operator": {"name": "classifier", "folder": "digits"}},
        ],
    }
    joint = build("likelihood", text, operator=half)
    assert joint.parts[0].operator is half and joint.operator.measurement_shape == (784 + 10,)
    y = joint.simulate(torch.zeros(1, 1, 28, 28), Noise.of(0))
    joint.check(y)


def test_bad_input_is_refused():
    with pytest.raises(InvalidValueError, match="one likelihood at least"):
        JointLikelihood([])
    with pytest.raises(InvalidValueError, match="parts"):
        JointLikelihood([Identity(SHAPE)])
    with pytest.raises(ShapeError, match="one event_shape"):
        JointLikelihood([GaussianLikelihood(Identity(SHAPE), 1.0), GaussianLikelihood(Identity((3,)), 1.0)])
    with pytest.raises(IncompatibleError, match="precisions"):
        JointLikelihood(
            [GaussianLikelihood(Matrix(torch.eye(2, dtype=dtype)), 1.0) for dtype in (torch.float32, DOUBLE)]
        )
    joint = JointLikelihood([PoissonLikelihood(Identity((2,)), 1.0, 1.0), GaussianLikelihood(Identity((2,)), 1.0)])
    with pytest.raises(InvalidValueError, match="y holds"):
        joint.check(torch.tensor([[-1.0, 0.0, 0.0, 0.0]]))
