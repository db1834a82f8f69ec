"""Guidance by the spectrum of the operator: DDRM and DDNM, and what it asks of the operator."""

import math

import pytest
import torch

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Blur
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers.guided import DDNM, DDRM, MCGDiff, PiGDM
from tests.problems import DOUBLE
from tests.samplers.case import Case
from tests.samplers.guided.problems import spectral, white_problem

SHARED_CASES = {
    "DDNM": Case(DDNM(steps=8), calls=(8, 0)),
    "DDRM": Case(DDRM(steps=8), calls=(8, 0)),
}


def test_ddrm_starts_at_what_was_measured_well() -> None:
    # Components with σ_y/s < σ: N(ȳ, σ² − σ_y²/s²), the others where every guided sampler starts.
    problem, s, v, _, y_bar = spectral()
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    for sigma, known in ((1.0, (True, True)), (0.5, (True, False)), (0.1, (False, False))):
        begun = math.sqrt(sigma**2 + 0.5**2) * noise.normal((4,)) + problem.prior.mean()
        expected, xi = begun @ v, noise.use("measured").normal((4,)) @ v
        for i in range(2):
            assert (0.3 / s[i] < sigma) == known[i]
            if known[i]:
                expected[..., i] = y_bar[:, i] + (sigma**2 - (0.3 / s[i]) ** 2).sqrt() * xi[..., i]
        assert torch.allclose(DDRM().start(problem, sigma, noise) @ v, expected)


@pytest.mark.parametrize("following", [0.5, 0.0])
def test_one_step_of_ddrm(following: float) -> None:
    problem, s, v, x, y_bar = spectral()
    sigma, eta, eta_b = 1.0, 0.8, 0.9
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    clean, x_bar, xi = problem.prior.denoise(x, sigma) @ v, x @ v, noise.use("renoise").normal((4,)) @ v
    fresh = eta * following
    kept = math.sqrt(1 - eta**2) * following
    expected = clean + kept * (x_bar - clean) / sigma + fresh * xi
    noisy = 0.3 / s  # of ȳ: one component better than σ', one worse
    expected[..., :2] = clean[..., :2] + kept * (y_bar - clean[..., :2]) / noisy + fresh * xi[..., :2]
    if following > 0:
        assert noisy[0] < following < noisy[1]
        spread = (following**2 - eta_b**2 * noisy[0] ** 2).sqrt()
        expected[..., 0] = (1 - eta_b) * clean[..., 0] + eta_b * y_bar[:, 0] + spread * xi[..., 0]
    moved = DDRM(eta=eta, eta_b=eta_b).move(problem, x, sigma, following, noise)
    assert torch.allclose(moved @ v, expected)


@pytest.mark.parametrize("following", [0.5, 0.0])
def test_one_step_of_ddnm(following: float) -> None:
    problem, s, v, x, y_bar = spectral()
    sigma = 1.0
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    clean, x_bar, xi = problem.prior.denoise(x, sigma) @ v, x @ v, noise.use("renoise").normal((4,)) @ v
    a = 1 - (following / sigma) ** 2
    step = following * math.sqrt(a)
    share = torch.zeros(4, dtype=DOUBLE)
    share[:2] = (step * s / (a * 0.3)).clamp_max(1)
    assert following == 0 or (share[0] == 1 and 0 < share[1] < 1)
    noisy = torch.cat([0.3 / s, torch.zeros(2, dtype=DOUBLE)])
    measured = torch.cat([y_bar, torch.zeros(1, 2, dtype=DOUBLE)], 1)
    x0 = clean + share * (measured - clean)
    expected = a * x0 + (1 - a) * x_bar + (step**2 - (a * share * noisy) ** 2).clamp_min(0).sqrt() * xi
    assert torch.allclose(DDNM().move(problem, x, sigma, following, noise) @ v, expected, atol=1e-7)


@pytest.mark.parametrize("sampler", [DDRM(), DDNM()], ids=lambda s: s.name)
def test_precise_measurements_are_explained(sampler: DDRM | DDNM) -> None:
    problem = white_problem(noise_std=1e-3)
    # A last level of 0.01 is left in what the last step denoises: ‖A‖ = 1.23 times that, four deviations
    samples = sampler.sample(problem, 20, progress=False)
    residual = problem.operator(samples.x) - problem.y
    assert residual.abs().max() < 4 * 1.23 * 0.01 + 4e-3
    assert samples.x.std(0).max() > 0.1


def test_spectra_that_are_not_known_are_refused() -> None:
    shape = (1, 4, 4)
    prior = GaussianMixturePrior(torch.zeros(1, *shape, dtype=DOUBLE))
    mirrored = Blur.gaussian(shape, 0.5, boundary="reflect").double()
    problem = Posterior(prior, GaussianLikelihood(mirrored, 0.1), torch.zeros(1, *shape, dtype=DOUBLE))
    for sampler in (DDRM(), DDNM(), MCGDiff()):
        with pytest.raises(IncompatibleError, match="spectrum"):
            sampler.sample(problem, 2, progress=False)
    assert math.isfinite(float(PiGDM(steps=4).sample(problem, 2, progress=False).x.sum()))
