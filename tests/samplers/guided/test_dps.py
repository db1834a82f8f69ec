import math

import pytest
import torch

from posterior.noise import Noise
from samplers.guided import DPS
from samplers.guided.base import renoise
from tests.problems import DOUBLE
from tests.samplers.case import Case
from tests.samplers.guided.problems import white_problem

SHARED_CASES = {
    "DPS": Case(DPS(steps=8, step_size=0.1), calls=(8, 8)),
}


@pytest.mark.parametrize("following", [1.0, 0.0])
def test_one_step(following: float) -> None:
    # White Gaussian: D = (0.25 x + 0.2 σ²)/(0.25 + σ²), so that J = 0.25/(0.25 + σ²)
    problem = white_problem()
    x = Noise.of(0, 1, 5, dtype=DOUBLE).normal((4,))
    sigma = 2.0
    a, j = problem.operator, 0.25 / (0.25 + sigma**2)
    clean = j * x + (1 - j) * 0.2
    residual = problem.y - a(clean)
    slope = -j * a.adjoint(residual) / residual.norm(dim=-1, keepdim=True)
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    size = 0.7 * math.sqrt((1 + sigma**2) * (1 + following**2))
    expected = renoise(clean, x, sigma, following, noise) - size * slope
    assert torch.allclose(DPS(step_size=0.7).move(problem, x, sigma, following, noise), expected)
