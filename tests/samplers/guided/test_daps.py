import math
from dataclasses import replace

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.priors import ScorePrior
from samplers.guided import DAPS
from samplers.guided.base import karras_levels
from samplers.guided.daps import flow_to_clean
from tests.problems import DOUBLE
from tests.samplers.case import Case
from tests.samplers.guided.problems import spectral, white_problem

SHARED_CASES = {
    "DAPS": Case(DAPS(steps=5, ode_steps=2, langevin_steps=3), calls=(10, 0)),
}


@pytest.mark.parametrize("following", [1.5, 0.0])
def test_one_step(following: float) -> None:
    problem, s, _, x, _ = spectral()
    sampler = DAPS(ode_steps=3, langevin_steps=2, step_size=0.4)
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    state = replace(sampler.init(problem, noise), x=x)
    h = 0.4 / (1 / 4 + s[0] ** 2 / 0.3**2)
    anchor = clean = flow_to_clean(problem.prior, x, 2.0, 3)
    for k in range(2):
        pull = problem.operator.adjoint(problem.y - problem.operator(clean)) / 0.3**2 - (clean - anchor) / 4
        clean = clean + h * pull + (2 * h).sqrt() * noise.use("langevin", k).normal((4,))
    expected = clean + following * noise.use("renoise").normal((4,))
    assert torch.allclose(sampler.advance(problem, state, 2.0, following, noise).x, expected)


def test_the_flow_of_a_gaussian_ends_where_it_should() -> None:
    # From N(m, s² + σ²) to N(m, s² + τ²) by a scaling, with τ the last level, 0.02; there the denoiser ends it. Euler's
    # error falls as 1/steps.
    prior = white_problem().prior
    x = Noise.of(0, 1, 5, dtype=DOUBLE).normal((4,))
    exact = prior.denoise(0.2 + math.sqrt((0.25 + 0.02**2) / (0.25 + 2.0**2)) * (x - 0.2), 0.02)
    few, many = (float((flow_to_clean(prior, x, 2.0, n) - exact).norm() / exact.norm()) for n in (200, 400))
    assert many < 0.01 and few / many == pytest.approx(2, rel=0.05)


def test_the_flow_s_levels() -> None:
    seen = []
    prior = ScorePrior.from_denoiser(
        lambda x, sigma: (seen.append(float(sigma[0])), 0.0 * x)[1], (4,), sigma_max=9.0, sigma_min=0.1
    )
    x = torch.zeros(1, 1, 4, dtype=DOUBLE)
    for sigma, steps, levels in (
        (2.0, 3, karras_levels(3, 0.1, 2.0)),  # to the prior's smallest level
        (20 / 2.5, 3, karras_levels(3, 0.1, 8.0)),
        (0.1, 3, (0.1, 0.1, 0.1)),
        (2.0, 1, (2.0,)),  # one step denoises
    ):
        seen.clear()
        flow_to_clean(prior, x, sigma, steps)
        assert seen == pytest.approx(levels)
    white = white_problem().prior  # valid to far smaller ones: a hundredth
    assert torch.allclose(flow_to_clean(white, x + 1, 2.0, 2), _two_steps(white, x + 1, 2.0, 0.02))


def _two_steps(prior: ScorePrior, x: torch.Tensor, first: float, second: float) -> torch.Tensor:
    clean = prior.denoise(x, first)
    return prior.denoise(clean + second / first * (x - clean), second)


def test_levels() -> None:
    prior = white_problem().prior
    assert DAPS(steps=6).levels(prior, 0.01) == karras_levels(6, 0.1, min(100.0, prior.sigma_max))
    assert DAPS(steps=6, sigma_first=3.0, sigma_last=0.2).levels(prior, 0.01) == karras_levels(6, 0.2, 3.0)
    coarse = ScorePrior.from_denoiser(lambda x, sigma: x, (4,), sigma_max=9.0, sigma_min=0.3)
    assert DAPS(steps=6).levels(coarse, 0.01) == karras_levels(6, 0.3, 9.0)
    assert DAPS(steps=6, sigma_first=0.2).levels(coarse, 0.01) == (0.3,) * 6


def test_settings_are_checked() -> None:
    problem = white_problem()
    zero = ({name: 0} for name in ("ode_steps", "langevin_steps", "step_size"))
    for wrong in (*zero, {"step_size": 2.0}, {"sigma_first": 0.1}):
        with pytest.raises(InvalidValueError, match="DAPS needs"):
            DAPS(**wrong)
    DAPS(steps=2, ode_steps=1, langevin_steps=1, step_size=1.9).sample(problem, 2, progress=False)
