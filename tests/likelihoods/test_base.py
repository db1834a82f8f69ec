import pytest
import torch
from torch import Tensor

from posterior import GaussianLikelihood, PoissonLikelihood, Posterior
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, Magnitude, Matrix
from posterior.priors import EmpiricalPrior
from tests.problems import DOUBLE


class Logarithmic(Likelihood):
    """A density that is not finite where nothing is measured: log p = y log u − u, u > 0."""

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        return (y + 1) * u.log() - u


def test_entries_that_are_not_measured_contribute_nothing_even_if_not_finite():
    likelihood = Logarithmic(Inpainting(torch.tensor([True, False])))
    x, y = torch.tensor([[2.0, 5.0]], dtype=DOUBLE), torch.tensor([[3.0, 0.0]], dtype=DOUBLE)
    assert torch.allclose(likelihood.log_prob(x, y), 4 * x[:, 0].log() - x[:, 0])
    assert torch.equal(likelihood.grad(x, y), torch.tensor([[1.0, 0.0]], dtype=DOUBLE))
    curved = Logarithmic(Magnitude(Inpainting(torch.tensor([True, False]))))
    assert torch.equal(curved.grad(-x, y), torch.tensor([[-1.0, 0.0]], dtype=DOUBLE))


def test_linear_is_what_the_operator_is():
    matrix = Matrix(torch.eye(2, dtype=DOUBLE))
    assert GaussianLikelihood(matrix, 1.0).is_linear and not GaussianLikelihood(Magnitude(matrix), 1.0).is_linear


def test_images_and_noise_must_be_of_one_shape():
    likelihood = GaussianLikelihood(Matrix(torch.eye(2, dtype=DOUBLE)), 1.0)
    with pytest.raises(ShapeError, match=r"\(5, 3\)"):
        likelihood.simulate(torch.zeros(4, 3, 2, dtype=DOUBLE), Noise.of(0, 3, 5, dtype=DOUBLE))


def test_selection_indexes_parameters_and_calls_no_constructor(monkeypatch):
    std, masks = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([[True, True], [False, True], [True, False]])
    likelihood = GaussianLikelihood(Magnitude(Inpainting(masks, (2,))), std)
    shared = GaussianLikelihood(Inpainting(masks[0]), 0.1)

    def refuse(*args, **kwargs):
        raise AssertionError("a constructor was called")

    for cls in (GaussianLikelihood, Likelihood, Magnitude, Inpainting):
        monkeypatch.setattr(cls, "__init__", refuse)
    some = likelihood.select(torch.tensor([2, 0]))
    assert type(some) is GaussianLikelihood and torch.equal(some.noise_std, std[[2, 0]])
    assert torch.equal(some.operator.operator.mask, masks[[2, 0]])
    assert torch.equal(likelihood.noise_std, std) and torch.equal(likelihood.operator.operator.mask, masks)
    assert shared.select(torch.tensor([0, 0])) is shared


def test_a_problem_is_checked_by_its_likelihood():
    prior, matrix = EmpiricalPrior(torch.zeros(2, 2, dtype=DOUBLE)), Matrix(torch.eye(2, dtype=DOUBLE))
    with pytest.raises(ShapeError, match="gain has 3 entries for 2"):
        Posterior(prior, PoissonLikelihood(matrix, torch.ones(3), 1.0), torch.ones(2, 2, dtype=DOUBLE))
    with pytest.raises(IncompatibleError, match="takes real measurements"):
        PoissonLikelihood(matrix, 1.0, 1.0).check(torch.zeros(1, 2, dtype=torch.complex128))


def test_what_is_no_image_or_no_measurement_is_refused():
    likelihood = GaussianLikelihood(Matrix(torch.eye(2, dtype=DOUBLE)), 1.0)
    x = torch.zeros(3, 2, dtype=DOUBLE)
    for function in (likelihood.log_prob, likelihood.grad, likelihood.misfit):
        with pytest.raises(InvalidValueError, match="x, given to"):
            function([0.0, 0.0], x)
        with pytest.raises(InvalidValueError, match="two channels"):
            function(x * 1j, x)
        with pytest.raises(InvalidValueError, match="y is no tensor"):
            function(x, None)
        with pytest.raises(ShapeError, match="y has shape"):
            function(x, x[:, :1])
        with pytest.raises(ShapeError, match="x and y do not fit"):
            function(x, x[:2])
    with pytest.raises(ShapeError, match="expected \\(B"):
        likelihood.check(x[0])
    with pytest.raises(IncompatibleError, match="measures real numbers"):
        likelihood.check(x * 1j)
    with pytest.raises(InvalidValueError, match="noise to be a Noise"):
        likelihood.simulate(x, None)
    with pytest.raises(ShapeError, match="x and the noise"):
        likelihood.simulate(x, Noise.of(0, 2))
    with pytest.raises(InvalidValueError, match="noise_std"):
        GaussianLikelihood(Matrix(torch.eye(2)), [])


def test_counts_have_a_largest():
    for arguments in ((1e13, 1.0), (1.0, torch.tensor([1.0, 1e13]))):
        with pytest.raises(InvalidValueError, match="at most 1e"):
            PoissonLikelihood(Matrix(torch.eye(2)), *arguments)
