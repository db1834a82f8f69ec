"""The verdict flags samples that cannot be of the posterior, and not exact ones."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from posterior.diagnostics.verdict import Misfit, _words, judge, misfit_of
from posterior.errors import TrustWarning
from posterior.likelihoods import GaussianLikelihood, Likelihood, PoissonLikelihood, StudentTLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, Matrix
from posterior.problem import Posterior
from samplers import TemperedSMC
from tests.problems import DOUBLE, gaussian, mixture, mixture_problem

WIDE = Matrix(torch.randn(12, 12, generator=torch.Generator().manual_seed(0), dtype=DOUBLE) / math.sqrt(12))
PRIOR = gaussian(12)


def posterior_of(likelihood: Likelihood, batch: int, seed: int = 0) -> Posterior:
    """Measurements of truths drawn from the prior."""
    noise = Noise.of(seed, batch, dtype=DOUBLE)
    return Posterior(PRIOR, likelihood, likelihood.simulate(PRIOR.exact_sample(1, noise.use("truth"))[0], noise))


def levels(problem: Posterior, x: Tensor) -> list[str]:
    return [one.level for one in judge(problem, x, {}, "", [None] * len(problem))]


@pytest.mark.parametrize("operator", [WIDE, Inpainting(torch.arange(12) < 3)], ids=["all", "quarter"])
@pytest.mark.parametrize("size", [1, 4, 64])
def test_exact_samples_are_sound(operator: Matrix, size: int) -> None:
    problem = posterior_of(GaussianLikelihood(operator, 0.1), 400)
    x = PRIOR.posterior(problem.likelihood, problem.y).sample(size, seed=1)
    deviation = misfit_of(problem, x).deviation
    if size == 1:  # a Gamma law, all but exactly: mean 0 and variance 1 within four standard errors
        assert abs(float(deviation.mean())) < 4 / math.sqrt(400)
        assert abs(float(deviation.square().mean()) - 1) < 4 * math.sqrt(2 / 400)
    # Beyond 4 with a probability of at most 0.005: more than 8 of 400 with one of 2e-4.
    assert (deviation.abs() > 4).sum() <= 8
    assert levels(problem, x).count("sound") >= 392


@pytest.mark.parametrize(
    ("wrong", "worse"),
    [
        (lambda problem: GaussianLikelihood(problem.operator, 0.3), True),
        (lambda problem: GaussianLikelihood(problem.operator, 0.02), False),
        (lambda problem: GaussianLikelihood(Matrix(0.5 * WIDE.matrix), 0.1), True),
    ],
    ids=["noise level too high", "noise level too low", "another operator"],
)
def test_samples_of_another_posterior_are_told(wrong, worse: bool) -> None:
    problem = posterior_of(GaussianLikelihood(WIDE, 0.1), 50)
    x = PRIOR.posterior(wrong(problem), problem.y).sample(64, seed=1)
    found = judge(problem, x, {}, "", [None] * 50)
    said = [one for one in found if one.level != "sound"]
    assert len(said) >= 40  # twelve residuals of a fifth of the noise are as improbable as 4 to 5 standard deviations
    assert all(("worse" if worse else "better") in one.findings[0] for one in said)


def test_a_residual_one_percent_off_is_not_said_to_be_that_of_the_noise() -> None:
    zero = torch.zeros(1)
    said = _words(Misfit(zero, zero, deviation=torch.tensor([4.2]), residual=torch.tensor([1.012])), 0)
    assert "their residual is 1.01 times the noise, which is 4.2 standard deviations off" in said


def test_any_likelihood_has_its_law() -> None:
    # 400 exact samples of one prior, each with a measurement of its own: pairs (x, y) of the model.
    noise = Noise.of(3, 400, dtype=DOUBLE)
    x = mixture().exact_sample(1, noise)
    rotated = Matrix(torch.tensor([[0.6, 0.8], [-0.8, 0.6]], dtype=DOUBLE))
    for likelihood in (PoissonLikelihood(rotated, 2.0, 1.0), StudentTLikelihood(rotated, 0.3, 3.0)):
        problem = Posterior(mixture(), likelihood, likelihood.simulate(x[0], noise))
        deviation = misfit_of(problem, x).deviation
        assert (deviation.abs() > 4).sum() <= 8
        far = x + 30.0
        assert (misfit_of(problem, far).deviation > 4).double().mean() > 0.95


def test_images_far_from_the_prior_and_reports_of_the_method_are_told() -> None:
    problem = posterior_of(GaussianLikelihood(Inpainting(torch.arange(12) < 3), 0.5), 3)
    x = PRIOR.posterior(problem.likelihood, problem.y).sample(8, seed=1)
    far = x.clone()
    far[2, 0, -1] = 1e4  # where nothing is measured: the misfit does not know
    reasons = {"chains disagree": torch.tensor([0.0, 1.0, math.nan])}
    first, second, third = judge(problem, far, reasons, "take more", [None] * 3)
    assert first.level == "not the posterior" and "standard deviations of the prior" in first.findings[0]
    assert (second.level, second.findings, second.remedy) == ("doubtful", ("chains disagree",), "take more")
    assert third.level == "too few to tell"


def test_a_stopped_run_is_not_the_posterior() -> None:
    def stop(step, state, info):
        return replace(state, done=torch.ones_like(state.done)) if step == 0 else None

    sampler = TemperedSMC(accuracy="fast", population=16, exact_denoise=True)
    problem = mixture_problem(noise_std=0.1)
    with pytest.warns(TrustWarning, match="stopped at β = "):
        samples = sampler.sample(problem, 8, progress=False, callback=stop)
    assert [one.level for one in samples.verdict] == ["not the posterior"]
    assert samples.info["warned"].all()
    assert "not the posterior" in repr(samples) and len(repr(samples).splitlines()) <= 12
