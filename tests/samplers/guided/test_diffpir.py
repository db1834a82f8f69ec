import math

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from samplers.guided import DiffPIR
from tests.problems import DOUBLE
from tests.samplers.case import Case
from tests.samplers.guided.problems import spectral, white_problem

SHARED_CASES = {
    "DiffPIR": Case(DiffPIR(steps=8), calls=(8, 0)),
}


@pytest.mark.parametrize("following", [0.5, 0.0])
def test_one_step(following: float) -> None:
    problem, _, _, x, _ = spectral()
    sigma, matrix = 1.0, problem.operator.matrix
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    precision = matrix.T @ matrix / 0.3**2 + 3.0 / sigma**2 * torch.eye(4, dtype=DOUBLE)
    right = problem.y @ matrix / 0.3**2 + 3.0 / sigma**2 * problem.prior.denoise(x, sigma)
    best = torch.linalg.solve(precision, right[..., None])[..., 0]
    renoised = math.sqrt(0.6) * (x - best) / sigma + math.sqrt(0.4) * noise.use("renoise").normal((4,))
    moved = DiffPIR(weight=3.0, zeta=0.4).move(problem, x, sigma, following, noise)
    assert torch.allclose(moved, best + following * renoised)


def test_precise_measurements_are_explained() -> None:
    problem = white_problem(noise_std=1e-3)
    # A last level of 0.01 is left in what the last step denoises: ‖A‖ = 1.23 times that, four deviations
    samples = DiffPIR().sample(problem, 20, progress=False)
    residual = problem.operator(samples.x) - problem.y
    assert residual.abs().max() < 4 * 1.23 * 0.01 + 4e-3
    assert samples.x.std(0).max() > 0.1


def test_settings_are_checked() -> None:
    problem = white_problem()
    for wrong in ({"weight": 0.0}, {"zeta": -0.1}, {"zeta": 1.1}):
        with pytest.raises(InvalidValueError, match="DiffPIR needs"):
            DiffPIR(**wrong)
    for zeta in (0.0, 1.0):
        DiffPIR(steps=2, zeta=zeta).sample(problem, 2, progress=False)
