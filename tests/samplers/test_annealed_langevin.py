import math
from dataclasses import replace

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError, NoiseLevelError
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity, Inpainting, Operator
from posterior.priors import GaussianMixturePrior, ScorePrior
from posterior.priors.reverse_diffusion import geometric_levels
from posterior.problem import Posterior
from samplers import AnnealedLangevin
from tests.problems import DOUBLE, check_moments, copies, mixture_problem
from tests.samplers.case import Case

SHARED_CASES = {
    "AnnealedLangevin": Case(AnnealedLangevin(levels=10, sigma_last=0.1), calls=(31, 0)),
    "AnnealedLangevin, code": Case(AnnealedLangevin(levels=10, sigma_last=0.1, form="code", step_size=0.2)),
    "AnnealedLangevin.jalal2021": Case(replace(AnnealedLangevin.jalal2021("code"), levels=10)),
}


def test_one_step_is_the_paper_s_formula():
    problem = mixture_problem()
    sampler = AnnealedLangevin(levels=4, steps_per_level=2, step_size=0.2, sigma_first=4.0, sigma_last=0.5)
    noise = problem.noise(0, 3)
    state = sampler.init(problem, noise)
    new, info = sampler.step(problem, state, noise.at(0))
    sigma, x, a = 4.0, state.x, problem.operator
    alpha = 0.2 * sigma**2
    gamma_squared = (0.7 * float(a.norm()) * sigma) ** 2
    guide = a.adjoint(problem.y - a(x)) / (gamma_squared + 0.7**2)
    xi = noise.at(0).normal((2,))
    expected = x + alpha * (problem.prior.score(x, sigma) + guide) + math.sqrt(2 * alpha) * xi
    assert torch.allclose(new.x, expected)
    assert torch.equal(info["sigma"], torch.tensor([4.0], dtype=DOUBLE))


def test_one_step_of_the_code_s_form():
    problem = mixture_problem()
    sampler = AnnealedLangevin(levels=4, step_size=0.2, sigma_first=4.0, sigma_last=0.5, form="code")
    noise = problem.noise(0, 3)
    state = sampler.init(problem, noise)
    new, _ = sampler.step(problem, state, noise.at(0))
    x, score = state.x, problem.prior.score(state.x, 4.0)
    grad = problem.operator.adjoint(problem.y - problem.operator(x))
    guide = 5 * score.norm(dim=-1, keepdim=True) / grad.norm(dim=-1, keepdim=True) * grad
    expected = x + 3.2 * (score + guide) + math.sqrt(6.4) * noise.at(0).normal((2,))
    assert torch.allclose(new.x, expected)


def test_it_goes_down_the_levels_and_ends_with_a_denoised_image():
    problem = mixture_problem(2)
    sampler, noise = AnnealedLangevin(levels=3, steps_per_level=2, sigma_last=0.1), problem.noise(0, 4)
    first = math.sqrt(2 * 2) * problem.prior.sigma_data
    state = sampler.init(problem, noise)
    spread = math.sqrt(first**2 + problem.prior.sigma_data**2)
    assert torch.allclose(state.x, problem.prior.mean() + spread * noise.normal((2,)))
    seen = []

    def watch(step, state, info):
        seen.append((state.x, info["sigma"][0], state.progress[0], state.done[0]))

    samples = sampler.sample(problem, 4, progress=False, callback=watch)
    levels = torch.tensor([first, math.sqrt(first * 0.1), 0.1], dtype=DOUBLE)
    assert torch.allclose(torch.stack([sigma for _, sigma, _, _ in seen]), levels[[0, 0, 1, 1, 2, 2, 2]])
    assert [float(progress) for _, _, progress, _ in seen] == pytest.approx([k / 7 for k in range(1, 8)])
    assert [bool(done) for _, _, _, done in seen] == [False] * 6 + [True]
    assert torch.equal(samples.x, problem.prior.denoise(seen[-2][0], torch.tensor(0.1, dtype=DOUBLE)))
    large = ScorePrior.from_denoiser(lambda x, s: 0 * x, (50,), sigma_max=6.0)
    y = torch.zeros(1, 50, dtype=DOUBLE)
    sampler.sample(Posterior(large, GaussianLikelihood(Identity((50,)), 0.1), y), 4, progress=False, callback=watch)
    assert float(seen[7][1]) == pytest.approx(5.0)  # √(2n)·sigma_data
    high = ScorePrior.from_denoiser(lambda x, s: 0 * x, (50,), sigma_max=4.0)
    sampler.sample(Posterior(high, GaussianLikelihood(Identity((50,)), 0.1), y), 4, progress=False, callback=watch)
    assert float(seen[14][1]) == pytest.approx(4.0)  # the prior's largest level, where two images are farther apart


def test_small_steps_draw_a_gaussian_posterior():
    # Unit Gaussian, everything seen with σ_y = 1: the posterior is N(y/2, 1/2). Steps are linear, so that the law of
    # the samples is known too, N(m, v); steps this small leave it near the posterior.
    prior = GaussianMixturePrior(torch.zeros(1, 4, dtype=DOUBLE))
    y = torch.tensor([[1.0, -2.0, 0.0, 3.0]], dtype=DOUBLE)
    problem = Posterior(prior, GaussianLikelihood(Inpainting(torch.ones(4, dtype=torch.bool)), 1.0), y)
    sampler = AnnealedLangevin(levels=60, step_size=0.2, sigma_first=5.0, sigma_last=0.05, steps_per_level=5)
    m, v = 0 * y[0], 5.0**2 + 1
    for sigma in geometric_levels(torch.tensor(5.0), torch.tensor(0.05), 60).tolist():
        h, image, seen = 0.2 * sigma**2, 1 / (1 + sigma**2), 1 / (0.7**2 * sigma**2 + 1)
        for _ in range(5):
            m, v = m + h * (seen * (y[0] - m) - image * m), (1 - h * (image + seen)) ** 2 * v + 2 * h
    m, v = m / (1 + 0.05**2), v / (1 + 0.05**2) ** 2
    assert torch.allclose(m, y[0] / 2, atol=0.05) and abs(v / 0.5 - 1) < 0.05
    samples = sampler.sample(copies(problem, 25), 2000, progress=False)
    check_moments(samples.x, m, v * torch.eye(4, dtype=DOUBLE))


def test_budgets():
    sampler = AnnealedLangevin(levels=5, steps_per_level=3, sigma_last=0.05)
    assert (sampler.sample(mixture_problem(), 2, progress=False).nfe == 16).all()
    default, jalal = AnnealedLangevin(), AnnealedLangevin.jalal2021()
    assert default.levels * default.steps_per_level + 1 <= 300
    assert jalal.levels * jalal.steps_per_level == 3468
    assert jalal.sigma_first == pytest.approx(math.sqrt(232 * 0.0066))
    assert jalal.step_size * 0.0066**2 == pytest.approx(5e-5)
    assert jalal.plan(mixture_problem(), 2).nfe == 3469


def test_bad_settings_are_refused():
    problem = mixture_problem()
    rising = {"sigma_first": 0.005, "sigma_last": 0.01}
    for wrong in ({"form": "other"}, {"step_size": 1.4}, {"levels": 1}, {"gamma": 0.0}, rising):
        with pytest.raises(InvalidValueError, match="AnnealedLangevin needs"):
            AnnealedLangevin(**wrong)
    with pytest.raises(InvalidValueError, match="goes down"):
        AnnealedLangevin(sigma_last=1e3).sample(problem, 2, progress=False)
    with pytest.raises(NoiseLevelError, match="valid for noise levels"):
        AnnealedLangevin(sigma_first=1e6).sample(problem, 2, progress=False)
    curved = Operator.from_callable(lambda x: x**2, event_shape=(2,), measurement_shape=(2,))
    other = Posterior(problem.prior, GaussianLikelihood(curved, 1.0), torch.zeros(1, 2, dtype=DOUBLE))
    with pytest.raises(IncompatibleError, match="form='code'"):
        AnnealedLangevin().sample(other, 2, progress=False)
