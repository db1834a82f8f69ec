from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from posterior.diagnostics import Recovery, recovery
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.networks.perceptron import Perceptron
from posterior.operators import GaussianMeasurement
from posterior.operators.base import LinearOperator
from posterior.priors.generators import NetworkGenerator
from posterior.problem import Posterior
from posterior.results import PointEstimate
from samplers import TemperedSMC
from tests.problems import DOUBLE, mixture

PRIOR = NetworkGenerator(Perceptron([3, 40], slope=1.0).double().requires_grad_(False))
WEIGHT = PRIOR.get_submodule("network.layers.0.0").weight
A = GaussianMeasurement((40,), 20).double()


def estimate(x: Tensor) -> PointEstimate:
    zero = x.new_zeros(len(x))
    return PointEstimate(x, zero, zero == 0, zero, zero)


@dataclass
class LeastSquares:
    """The exact solution of a linear generator, and one that is away from it by a latent of length `off`."""

    off: float = 0.0
    name: str = "LeastSquares"

    def __call__(self, problem: Posterior, **options: object) -> PointEstimate:
        assert isinstance(problem.operator, LinearOperator)
        seen = problem.operator(WEIGHT.T).T  # A W
        z = torch.linalg.lstsq(seen, problem.y.T).solution.T
        return estimate(PRIOR(z + torch.tensor([self.off, 0, 0], dtype=DOUBLE)))


def test_without_noise_in_the_range_nothing_is_left() -> None:
    found = recovery(LeastSquares(), PRIOR, A, noise_std=1e-9)
    for value in found:
        assert value.shape == (8,) and (value < 1e-7).all()


def test_each_term_is_its_own() -> None:
    found = recovery(LeastSquares(), PRIOR, A, num_problems=400, outside=0.3, noise_std=0.05)
    # what a random unit vector of 40 numbers has outside 3 directions: 1 − 3/40 of its square, on average
    clean = recovery(LeastSquares(), PRIOR, A, num_problems=400)
    # relative to ‖Wz‖, whose square is 3 on average, as the two draw z from one seed
    squares = found.representation.square() / (1 - 3 / 40) / 0.3**2
    gram = WEIGHT.T @ WEIGHT
    assert float(squares.mean()) == pytest.approx(float(gram.trace()), rel=0.25)  # ±√(2/(3·400)) = 4 %, and tails
    assert float(clean.representation.max()) < 1e-9
    assert float(found.noise.square().mean()) == pytest.approx(20 * 0.05**2, rel=0.1)  # 8000 squares: 1.6 %
    assert (found.optimisation.abs() < 1e-9).all()  # least squares misses nothing, and less than the planted image
    away = recovery(LeastSquares(off=0.5), PRIOR, A, num_problems=400, noise_std=1e-9)
    expected = 0.5 * A(WEIGHT[:, 0]).norm()  # of noiseless measurements, all of the misfit
    assert torch.allclose(away.optimisation, expected.expand(400), atol=1e-6)
    assert torch.allclose(away.error, (0.5 * WEIGHT[:, 0].norm()).expand(400), atol=1e-6)


def test_the_bound_is_that_of_the_theorem() -> None:
    parts = [torch.tensor([value]) for value in (1.0, 0.1, 0.02, 0.003)]
    assert float(Recovery(*parts).bound) == pytest.approx(0.6 + 0.06 + 0.006)
    found = recovery(LeastSquares(), PRIOR, A, num_problems=50, outside=0.2, noise_std=0.05)
    assert (found.error <= found.bound).all() and (found.error >= found.representation - 1e-9).all()


def test_what_it_refuses() -> None:
    with pytest.raises(IncompatibleError, match="gives samples"):
        recovery(TemperedSMC("fast", population=8), PRIOR, A, num_problems=1, noise_std=10.0)
    with pytest.raises(InvalidValueError, match="prior"):
        recovery(LeastSquares(), mixture(), A)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="noise_std"):
        recovery(LeastSquares(), PRIOR, A, noise_std=0.0)
