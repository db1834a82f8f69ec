import math
from dataclasses import replace

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.priors import GaussianMixturePrior, ScorePrior
from samplers.guided import DiffPIR, PnPLangevin
from samplers.guided.base import ddpm_levels
from samplers.state import State
from tests.problems import DOUBLE, check_moments, copies
from tests.samplers.case import Case
from tests.samplers.guided.problems import spectral, white_problem

SHARED_CASES = {
    "PnPLangevin": Case(PnPLangevin(steps=4, langevin_steps=4), calls=(8, 0)),
}


def test_it_is_exact_for_a_noisier_prior() -> None:
    # p_σ of a white Gaussian of std 0.5 has std √(0.5² + σ²). Steps of h leave the precision matrix P's inverse as the
    # covariance C = P⁻¹(1 − hP/2)⁻¹, of long chains; the slowest direction forgets a factor e⁻⁸ in 150 steps of 0.5.
    problem, sigma = white_problem(), 0.3
    wider = GaussianMixturePrior(torch.full((1, 4), 0.2, dtype=DOUBLE), std=math.sqrt(0.25 + sigma**2))
    exact = wider.posterior(problem.likelihood, problem.y)
    h = 0.5 / (1 / sigma**2 + float(problem.operator.norm()) ** 2 / 0.3**2)
    eye = torch.eye(4, dtype=DOUBLE)
    covariance = exact.covariance()[0] @ torch.linalg.inv(eye - 0.5 * h * torch.linalg.inv(exact.covariance()[0]))
    sampler = PnPLangevin(sigma=sigma, step_size=0.5, langevin_steps=150)
    samples = sampler.sample(copies(problem, 25), 1000, progress=False)
    check_moments(samples.x, exact.mean()[0], covariance)


def test_one_step_at_the_last_level() -> None:
    problem, s, _, x, _ = spectral()
    noise, sigma = Noise.of(3, 1, 5, dtype=DOUBLE), 0.3
    h = 0.4 / (1 / sigma**2 + s[0] ** 2 / 0.3**2)
    slope = problem.operator.adjoint(problem.y - problem.operator(x)) / 0.3**2 + problem.prior.score(x, sigma)
    expected = x + h * slope + (2 * h).sqrt() * noise.use("langevin").normal((4,))
    moved = PnPLangevin(steps=10, step_size=0.4).move(problem, x, sigma, sigma, noise)
    assert torch.allclose(moved, expected)


def test_it_comes_down_as_diffpir() -> None:
    problem = white_problem()
    sampler = PnPLangevin(steps=10, langevin_steps=3)
    assert sampler.levels(problem.prior, 0.01) == (*ddpm_levels(10, 0.04, problem.prior.sigma_max), 0.04, 0.04, 0.04)
    coarse = ScorePrior.from_denoiser(lambda x, sigma: x, (4,), sigma_max=9.0, sigma_min=0.3)
    assert sampler.levels(coarse, 0.01) == (*ddpm_levels(10, 0.3, 9.0), 0.3, 0.3, 0.3)
    x, noise = Noise.of(0, 1, 5, dtype=DOUBLE).normal((4,)), Noise.of(3, 1, 5, dtype=DOUBLE)
    expected = DiffPIR(weight=1.0, zeta=1.0).move(problem, x, 2.0, 1.0, noise)
    for step, descends in ((0, True), (9, True), (10, False)):
        state = State(x=x, done=torch.zeros(1, dtype=torch.bool), progress=torch.zeros(1), step=step)
        assert torch.equal(sampler.advance(problem, state, 2.0, 1.0, noise).x, expected) == descends


def test_settings_are_checked() -> None:
    problem, sampler = white_problem(), PnPLangevin(steps=10, langevin_steps=3)
    for wrong in ({"sigma": 0.0}, {"sigma": 1e4}, {"step_size": 2.0}, {"step_size": 0.0}, {"langevin_steps": 0}):
        with pytest.raises(InvalidValueError, match="PnPLangevin needs"):
            replace(sampler, **wrong).sample(problem, 2, progress=False)
    replace(sampler, langevin_steps=1, step_size=1.9).sample(problem, 2, progress=False)
