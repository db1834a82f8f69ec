"""Denoisers that know the measurement (ΠGDM, MMPS, TMPD), and the steps of second order that they take."""

import math
from dataclasses import replace

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from samplers.guided import MMPS, TMPD, PiGDM
from samplers.guided.base import karras_levels, renoise, resolutions
from samplers.guided.conditional import Conditional
from tests.problems import DOUBLE, check_moments, copies, gaussian_problem, mixture_problem
from tests.samplers.case import Case
from tests.samplers.guided.problems import orthogonal_problem, white_problem

SHARED_CASES = {
    "MMPS": Case(MMPS(steps=8), calls=(8, 8)),  # one number is measured: one iteration solves
    "PiGDM": Case(PiGDM(steps=8), calls=(8, 8)),
    "TMPD": Case(TMPD(steps=8), calls=(8, 2 * 8)),
}

each_gaussian = pytest.mark.parametrize(
    ("sampler", "problem"),
    [
        (PiGDM(), white_problem()),
        (TMPD(), orthogonal_problem()),
        (MMPS(), white_problem()),
        (MMPS(), gaussian_problem(4)),
    ],
    ids=["PiGDM", "TMPD", "MMPS of a white image", "MMPS of a smooth image"],
)


@each_gaussian
def test_the_conditional_mean_is_exact(sampler: Conditional, problem: Posterior) -> None:
    # x0 ~ N(m, C) seen as x = x0 + σε and as y: precisions add up, C⁻¹ + 1/σ² + AᵀA/σ_y²
    sigma, eye = 0.8, torch.eye(4, dtype=DOUBLE)
    x = Noise.of(5, 1, 3, dtype=DOUBLE).normal((4,))
    flat = GaussianLikelihood(problem.operator, 1e6)
    prior = problem.prior.posterior(flat, problem.y)  # of a measurement that says nothing
    weight, mean = torch.linalg.inv(prior.covariance()[0]), prior.mean()[0]
    matrix, variance = problem.operator(eye).T, float(problem.likelihood.noise_std) ** 2
    right = weight @ mean + x / sigma**2 + problem.y[0] @ matrix / variance
    expected = right @ torch.linalg.inv(weight + eye / sigma**2 + matrix.T @ matrix / variance)
    assert torch.allclose(sampler.mean(problem, x, sigma), expected, atol=1e-5)


@each_gaussian
def test_guidance_is_exact_for_a_gaussian(sampler: Conditional, problem: Posterior) -> None:
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    samples = sampler.sample(copies(problem, 25), 2000, progress=False)
    check_moments(samples.x, exact.mean()[0], exact.covariance()[0])


def test_steps_are_of_second_order() -> None:
    # η = 0 moves a Gaussian by a map alone: half the step, a quarter of the error of its spread
    problem = white_problem()
    few, more, most = (
        MMPS(steps=n, eta=0).sample(problem, 4, progress=False).x for n in (20, 40, 640)
    )  # fmt: skip
    ratio = (few - most).norm() / (more - most).norm()
    assert 3.2 < ratio < 6


def test_steps_look_half_a_step_ahead() -> None:
    problem, sampler = white_problem(), PiGDM(steps=5, eta=0.6)
    noise = problem.noise(0, 3)
    state = sampler.init(problem, noise)
    levels = (*sampler.levels(problem.prior, *resolutions(problem)), 0.0)
    means = []
    for k in range(5):
        x, mean = state.x, sampler.mean(problem, state.x, levels[k])
        means.append(mean)
        if 0 < k < 4:  # the first step has no mean before it, and the last ends at the mean
            h, before = (math.log(levels[i] / levels[i + 1]) for i in (k, k - 1))
            mean = mean + h / (2 * before) * (mean - means[k - 1])
        state, _ = sampler.step(problem, replace(state, step=k), noise.at(k))
        assert torch.allclose(state.x, renoise(mean, x, levels[k], levels[k + 1], noise.at(k), 0.6))
        assert torch.equal(state.before, means[k])
        assert float(state.progress) == pytest.approx((k + 1) / 5) and bool(state.done) == (k == 4)


def test_levels_end_where_a_pixel_is_known() -> None:
    prior = white_problem().prior
    assert PiGDM(steps=9).levels(prior, math.inf) == karras_levels(9, 0.02 * prior.sigma_data, prior.sigma_max)
    assert PiGDM(steps=9).levels(prior, 0.03) == karras_levels(9, 0.003, prior.sigma_max)
    coarse = ScorePrior.from_denoiser(lambda x, sigma: x, (4,), sigma_max=9.0, sigma_min=0.3, sigma_data=0.5)
    assert TMPD(steps=9).levels(coarse, 0.03) == karras_levels(9, 0.3, 9.0)


def test_sums_of_rows_below_zero_count_as_none() -> None:
    # J = −1 makes every sum negative: what is left of the system is σ_y², of the shift σ²JᵀAᵀ(y − AD)/σ_y²
    problem = orthogonal_problem()
    odd = ScorePrior.from_denoiser(lambda x, sigma: -x, (4,), sigma_max=9.0)
    x = Noise.of(0, 1, 3, dtype=DOUBLE).normal((4,))
    found = TMPD().mean(problem.with_prior(odd), x, 0.7)
    residual = problem.y + problem.operator(x)
    assert torch.allclose(found, -x - 0.7**2 * problem.operator.adjoint(residual) / 0.3**2)


def test_conjugate_gradients_stop_when_told() -> None:
    # One iteration is a step of least residual: w = r ⟨r, Mr⟩/⟨Mr, Mr⟩
    problem = white_problem()
    x, j = Noise.of(0, 1, 3, dtype=DOUBLE).normal((4,)), 0.25 / (0.25 + 0.64)
    matrix, clean = problem.operator.matrix, problem.prior.denoise(x, 0.8)
    system = 0.09 * torch.eye(2, dtype=DOUBLE) + 0.64 * j * matrix @ matrix.T
    r = problem.y - clean @ matrix.T
    image = r @ system
    w = r * (r * image).sum(-1, keepdim=True) / image.square().sum(-1, keepdim=True)
    assert torch.allclose(MMPS(iterations=1).mean(problem, x, 0.8), clean + 0.64 * j * w @ matrix)


def test_settings_are_checked() -> None:
    for sampler, wrong in ((MMPS, {"iterations": 0}), (PiGDM, {"eta": 1.1}), (TMPD, {"eta": -0.1})):
        with pytest.raises(InvalidValueError, match=f"{sampler.__name__} needs"):
            sampler(**wrong)
    for right in (replace(MMPS(steps=2), iterations=1), PiGDM(steps=2, eta=0.0), TMPD(steps=2, eta=1.0)):
        right.sample(mixture_problem(), 2, progress=False)
