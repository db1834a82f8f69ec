import math

import pytest
import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood, Likelihood, PoissonLikelihood, StudentTLikelihood
from posterior.noise import Noise
from posterior.operators import Blur, Inpainting, Magnitude, Matrix, Operator
from posterior.problem import Posterior
from samplers.curvature import Curvature, _Linearisation, is_linear_gaussian
from tests.operators.checks import check_adjoint, random_images
from tests.problems import DOUBLE, gaussian, mixture

SHAPE = (1, 3, 3)
BLUR = Blur.gaussian(SHAPE, 0.6, boundary="reflect").double()  # no spectrum: Chebyshev expansions
DENSE = Matrix(torch.linspace(-1, 1, 45, dtype=DOUBLE).sin().reshape(5, 9), SHAPE)
PHASES = Operator.from_callable(
    lambda x: torch.fft.fft2(x).flatten(1), event_shape=SHAPE, measurement_shape=(9,), linear=True, dtype=DOUBLE
)
CURVED = Operator.from_callable(
    lambda x: (x.tanh() * x.roll(1, -1)).flatten(1)[:, :7], event_shape=SHAPE, measurement_shape=(7,), dtype=DOUBLE
)
LIKELIHOODS: dict[str, Likelihood] = {
    "linear": StudentTLikelihood(BLUR, 0.5, 3.0),
    "dense": StudentTLikelihood(DENSE, torch.tensor([0.5, 0.2], dtype=DOUBLE), 3.0),
    "part": StudentTLikelihood(Inpainting(torch.tensor([True, False, True]), SHAPE), 0.5, 3.0),
    "counts": PoissonLikelihood(BLUR, 20.0, 0.5),
    "magnitude": StudentTLikelihood(Magnitude(DENSE), 0.5, 3.0),
    "phase retrieval": GaussianLikelihood(Magnitude(PHASES), 0.3),
    "nonlinear": GaussianLikelihood(CURVED, torch.tensor([0.5, 0.2], dtype=DOUBLE)),
}
each_likelihood = pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=list(LIKELIHOODS))


def pilots(likelihood: Likelihood) -> Tensor:
    return random_images(likelihood.operator, 2, seed=3)


def weights(likelihood: Likelihood) -> Tensor:
    return likelihood.measured(likelihood.fisher(likelihood.noiseless(pilots(likelihood))))


def dense(likelihood: Likelihood, b: int) -> Tensor:
    """W^½ J by automatic differentiation, as a matrix."""
    jacobian = torch.autograd.functional.jacobian(likelihood.noiseless, pilots(likelihood)[b])
    return weights(likelihood)[b].flatten().sqrt()[:, None] * jacobian.reshape(-1, 9)


@each_likelihood
def test_the_linearisation_is_the_jacobian_and_its_transpose(likelihood: Likelihood) -> None:
    operator = _Linearisation(likelihood, pilots(likelihood), weights(likelihood).sqrt())
    noise = Noise.of(0, 2, 4, dtype=DOUBLE)
    x, y = noise.use("x").normal(SHAPE), noise.use("y").normal(operator.measurement_shape)
    for b in range(2):
        matrix = dense(likelihood, b)
        assert torch.allclose(operator(x)[:, b].flatten(1), x[:, b].flatten(1) @ matrix.T)
        assert torch.allclose(operator.adjoint(y)[:, b].flatten(1), y[:, b].flatten(1) @ matrix)
    # ⟨Ax, y⟩ = ⟨x, Aᵀy⟩ up to rounding
    left, right = (operator(x) * y).flatten(2).sum(-1), (x * operator.adjoint(y)).flatten(2).sum(-1)
    assert torch.allclose(left, right, rtol=1e-10, atol=1e-12)


def test_adjointness_of_one_image_is_checked_as_for_operators() -> None:
    likelihood = LIKELIHOODS["nonlinear"]
    check_adjoint(_Linearisation(likelihood, pilots(likelihood), weights(likelihood).sqrt()))


def problem_of(likelihood: Likelihood) -> Posterior:
    y = likelihood.simulate(pilots(likelihood), Noise.of(0, 2, dtype=DOUBLE))
    return Posterior(mixture(SHAPE), likelihood, y)


@each_likelihood
def test_functions_and_norm_of_the_curvature(likelihood: Likelihood) -> None:
    problem = problem_of(likelihood)
    curvature = Curvature(problem, pilots(likelihood))
    x = Noise.of(1, 2, 4, dtype=DOUBLE).normal(SHAPE)
    kappa = 0.95**2 / curvature.norm
    for power in (0.5, -0.5):
        found = curvature.function(lambda v, power=power: (1 - kappa.reshape(-1, *[1] * (v.ndim - 1)) * v) ** power, x)
        for b in range(2):
            matrix = dense(likelihood, b)
            values, vectors = torch.linalg.eigh(matrix.T @ matrix)
            expected = (x[:, b].flatten(1) @ vectors * (1 - kappa[b] * values) ** power) @ vectors.T
            # Chebyshev expansions of 128 terms are exact to rounding where the singularity is at 1/0.95² of the range.
            assert torch.allclose(found[:, b].flatten(1), expected, atol=1e-8)
            # Lanczos finds the norm of a 9 × 9 matrix itself; the bound adds 2 % to it, so 4 % to its square.
            assert values[-1] * (1 - 1e-8) <= curvature.norm[b] <= 1.05 * values[-1]


@pytest.mark.parametrize("operator", [BLUR, DENSE, Inpainting(torch.tensor([True, False, True]), SHAPE)])
def test_gaussian_noise_on_a_linear_operator(operator: Operator) -> None:
    std = torch.tensor([0.5, 0.2], dtype=DOUBLE)
    problem = problem_of(GaussianLikelihood(operator, std))
    assert is_linear_gaussian(problem)
    curvature = Curvature(problem, torch.zeros(2, *SHAPE, dtype=DOUBLE))
    x = Noise.of(1, 2, 4, dtype=DOUBLE).normal(SHAPE)
    gram = operator.adjoint(operator(x)) / std[:, None, None, None] ** 2
    assert torch.allclose(curvature.function(lambda v: v, x), gram, atol=1e-8)
    assert torch.allclose(curvature.norm, operator.norm().to(DOUBLE) ** 2 / std**2)
    # the same as by linearisation, whose weights are 1/σ²
    linear = _Linearisation(problem.likelihood, x[0], weights(problem.likelihood).sqrt())
    assert torch.allclose(linear.gram(x), gram)


def test_magnitudes_of_real_numbers_have_the_curvature_of_the_operator_within() -> None:
    inner, outer = (problem_of(GaussianLikelihood(operator, 0.3)) for operator in (DENSE, Magnitude(DENSE)))
    x = Noise.of(1, 2, 4, dtype=DOUBLE).normal(SHAPE)
    one, two = (Curvature(problem, x[0]) for problem in (inner, outer))
    assert torch.equal(one.norm, two.norm)
    assert torch.equal(one.function(torch.exp, x), two.function(torch.exp, x))
    assert not is_linear_gaussian(outer)


def test_no_information_is_no_curvature() -> None:
    likelihood = PoissonLikelihood(Matrix(torch.eye(3, dtype=DOUBLE)), 5.0, 1.0)
    dark = torch.full((1, 3), -3.0, dtype=DOUBLE)  # the intensity is below 0 and clamped
    problem = Posterior(gaussian(3), likelihood, torch.ones(1, 3, dtype=DOUBLE))
    curvature = Curvature(problem, dark)
    x = Noise.of(1, 1, 4, dtype=DOUBLE).normal((3,))
    assert curvature.norm == 0 or math.isclose(curvature.norm, 0, abs_tol=1e-12)
    assert torch.allclose(curvature.function(lambda v: (1 - v).sqrt(), x), x)
