import pytest
import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.likelihoods import GaussianLikelihood
from posterior.networks.perceptron import Perceptron
from posterior.noise import Noise
from posterior.operators import GaussianMeasurement, Magnitude, Operator
from posterior.priors.generators import NetworkGenerator
from posterior.problem import LatentPosterior, Posterior
from samplers.map import CSGM, HandVoroninski
from tests.samplers.case import Case, generated

SHARED_CASES = {"HandVoroninski": Case(HandVoroninski(restarts=2, steps=5), generated, (34, 10))}

DOUBLE = torch.float64
PRIOR = NetworkGenerator(Perceptron([5, 60, 250], seed=1).double().requires_grad_(False))


def planted(operator: Operator, count: int = 12) -> tuple[Posterior, Tensor]:
    """Noiseless measurements of images of known latents."""
    z = Noise.of(2, count, dtype=DOUBLE).normal((5,))[0]
    return Posterior(PRIOR, GaussianLikelihood(operator, 0.01), operator(PRIOR(z))), z


def shares(problem: Posterior, z: Tensor) -> list[float]:
    """How many latents are found from one start, without the change of signs and with it."""
    solvers = (CSGM(restarts=1, steps=300, weight=0.0), HandVoroninski(restarts=1, steps=300))
    latents = [solver.solve(problem, progress=False).latent for solver in solvers]
    return [float(((found - z).norm(dim=1) < 0.01 * z.norm(dim=1)).double().mean()) for found in latents]


def test_descent_on_random_networks_finds_the_truth_from_any_start() -> None:
    _, with_signs = shares(*planted(GaussianMeasurement((250,), 60).double()))
    assert with_signs == 1.0


def test_phase_retrieval_on_random_networks() -> None:
    without, with_signs = shares(*planted(Magnitude(GaussianMeasurement((250,), 100).double())))
    assert with_signs >= 0.9
    assert without < with_signs  # some starts end at the negative multiple


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_a_step_begins_on_the_better_side_and_forgets_its_direction(optimiser) -> None:
    problem, z = planted(GaussianMeasurement((250,), 60).double(), 2)
    latent = LatentPosterior(problem)
    solver = HandVoroninski(restarts=1, steps=10, optimiser=optimiser)
    plain = CSGM(restarts=1, steps=10, weight=0.0, optimiser=optimiser)
    state = solver.init(latent, latent.noise(0, 1))
    state.h = torch.stack([-1.1 * z[0], 1.1 * z[1]])[None]
    state.memory = torch.ones_like(state.memory)
    state.step = 3
    moved, info = solver.step(latent, state, latent.noise(0, 1))
    # as a step of CSGM from the better signs, whose memory has no direction where the sign changed
    state.h = 1.1 * z[None]
    state.memory[0, 0, 0] = 0.0
    expected, losses = plain.step(latent, state, latent.noise(0, 1))
    assert torch.allclose(moved.h, expected.h) and torch.allclose(moved.memory, expected.memory)
    assert torch.equal(info["loss"], losses["loss"])


def test_line_searches_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="optimiser"):
        HandVoroninski(optimiser="lbfgs")  # type: ignore[arg-type]
