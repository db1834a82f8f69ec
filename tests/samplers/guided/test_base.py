"""Noise levels, where a guided sampler begins, and DDIM's step."""

import math

import pytest
import torch

from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.problem import Posterior
from samplers.guided import DiffPIR
from samplers.guided.base import ddpm_levels, denoise_with_grad, error_variance, karras_levels, renoise
from tests.problems import DOUBLE, gaussian, gaussian_problem, mixture_problem


def test_levels_of_ddpm() -> None:
    levels = ddpm_levels(1000, 1e-6, 1e6)
    alpha = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=DOUBLE), 0)
    assert torch.allclose(torch.tensor(levels, dtype=DOUBLE).flip(0), (1 / alpha - 1).sqrt())
    inside = ddpm_levels(50, 0.02, 80.0)
    assert inside[0] == pytest.approx(80) and inside[-1] == pytest.approx(0.02) and sorted(inside)[::-1] == [*inside]
    assert min(inside) >= 0.02 and max(inside) <= 80.0  # to the last bit, or a prior would refuse them
    prior = mixture_problem().prior
    assert DiffPIR(steps=7).levels(prior, 0.01) == ddpm_levels(7, prior.sigma_min, prior.sigma_max)


def test_levels_of_karras() -> None:
    levels = karras_levels(5, 0.1, 10.0)
    roots = torch.tensor(levels, dtype=DOUBLE) ** (1 / 7)
    assert levels[0] == 10.0 and levels[-1] == pytest.approx(0.1) and min(levels) >= 0.1
    assert torch.allclose(roots.diff(), (roots[-1] - roots[0]) / 4)


def test_the_start_has_the_law_of_a_noisy_white_image() -> None:
    problem, noise = mixture_problem(2), Noise.of(1, 2, 5, dtype=DOUBLE)
    spread = math.sqrt(3.0**2 + problem.prior.sigma_data**2)
    expected = problem.prior.mean() + spread * noise.normal((2,))
    assert torch.equal(DiffPIR().start(problem, 3.0, noise), expected)
    state = DiffPIR(steps=4).init(problem, noise)
    assert torch.equal(state.x, DiffPIR().start(problem, DiffPIR(steps=4).levels(problem.prior, math.inf)[0], noise))
    assert not state.done.any() and (state.progress == 0).all() and state.done.shape == (2,)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_a_step_of_ddim(eta: float) -> None:
    noise = Noise.of(1, 2, 5, dtype=DOUBLE)
    clean, x = noise.use("clean").normal((3,)), noise.use("x").normal((3,))
    s = eta * 0.5 * math.sqrt(1 - 0.25)
    expected = clean + math.sqrt(0.25 - s**2) * (x - clean) / 1.0 + s * noise.use("renoise").normal((3,))
    assert torch.allclose(renoise(clean, x, 1.0, 0.5, noise, eta), expected)
    assert torch.equal(renoise(clean, x, 1.0, 0.0, noise, eta), clean)


def test_the_denoiser_s_jacobian() -> None:
    # of N(m, C) it is C(C + σ²)⁻¹, symmetric; a second pull needs the graph that the first one keeps
    problem = gaussian_problem(4)
    x = Noise.of(0, 1, 3, dtype=DOUBLE).normal((4,))
    clean, pull = denoise_with_grad(problem, x, 0.8)
    eye = torch.eye(4, dtype=DOUBLE)
    jacobian = problem.prior.denoise(x[:1] + eye[:, None], 0.8) - clean[:1]  # rows ∂D/∂x_i: D is affine
    v = Noise.of(1, 1, 3, dtype=DOUBLE).normal((4,))
    assert torch.equal(clean, problem.prior.denoise(x, 0.8)) and not clean.requires_grad
    for last in (False, True):
        assert torch.allclose(pull(v, last=last), v @ jacobian[:, 0].T)


def test_the_variance_of_a_white_image_given_a_noisy_one() -> None:
    prior = mixture_problem().prior
    assert error_variance(prior, 0.7) == pytest.approx(1 / (prior.sigma_data**-2 + 0.7**-2))


def test_measurements_of_unlike_noise_share_calls_where_levels_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    noise_std = torch.tensor([0.01, 0.1, 1.0], dtype=DOUBLE)
    problem = Posterior(gaussian(3), GaussianLikelihood(Identity((3,)), noise_std), torch.zeros(3, 3, dtype=DOUBLE))
    rows, denoise = [], problem.prior._denoise
    monkeypatch.setattr(problem.prior, "_denoise", lambda x, sigma: (rows.append(len(x)), denoise(x, sigma))[1])
    DiffPIR(steps=5).sample(problem, 2, progress=False)
    assert rows.count(6) >= 5 and rows.count(2) == 0
