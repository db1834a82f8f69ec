"""The number of levels that tempering takes, foretold."""

import math
import warnings
from dataclasses import replace

import pytest
import torch

from posterior.errors import TooLargeWarning
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.operators import Blur, Identity, Inpainting, Operator
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers import TemperedSMC
from samplers.levels import first_temperature, levels_from, too_large
from samplers.state import Info, State
from tests.problems import DOUBLE, measure
from tests.samplers.case import generated

SHAPE = (1, 8, 8)
GRID = torch.logspace(-12, 0, 97, dtype=DOUBLE)


def field() -> GaussianMixturePrior:
    """A Gaussian field whose power falls with the square of the frequency, of variance 0.25 a pixel."""
    frequency = 8 * torch.fft.fftfreq(8, dtype=DOUBLE)
    power = (frequency[:, None] ** 2 + frequency**2).clamp_min(1.0).reciprocal()
    power = 0.25 * power / power.mean()
    rows = torch.eye(64, dtype=DOUBLE).unflatten(1, (8, 8))
    covariance = torch.fft.ifft2(power * torch.fft.fft2(rows)).real.flatten(1)
    return GaussianMixturePrior(torch.zeros(1, *SHAPE, dtype=DOUBLE), covariance=0.5 * (covariance + covariance.T))


OPERATORS = [Identity(SHAPE), Inpainting.random(SHAPE, fraction=0.25), Blur.gaussian(SHAPE, 1.5).to(dtype=DOUBLE)]


def watched(sampler: TemperedSMC, problem: Posterior) -> tuple[list[float], list[float]]:
    """Inverse temperature and progress after each move."""
    steps: list[tuple[float, float]] = []

    def watch(step: int, state: State, info: Info) -> None:
        steps.append((float(info["beta"]), float(state.progress)))

    sampler.sample(problem, 8, progress=False, callback=watch)
    beta, progress = zip(*steps, strict=True)
    return list(beta), list(progress)


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: type(operator).__name__)
@pytest.mark.parametrize("exact", [True, False])
def test_levels_come_as_foretold(operator: Operator, exact: bool) -> None:
    problem, sampler = measure(field(), operator, 0.1), TemperedSMC(exact_denoise=exact)
    _, ahead = sampler._foretold(problem, problem.noise(0, 1).use("init"))
    beta, progress = watched(sampler, problem)
    levels = sum(b < 1 for b in beta)
    assert abs(float(ahead) / levels - 1) < 0.3
    # Half of the way through, the moves left are off by no more than the levels in all may be, and by one, for levels
    # are whole; but for those at β = 1 that are saved.
    half = levels // 2
    left = (1 / progress[half - 1] - 1) * half
    assert -0.3 * levels - 1 < left - (levels - half) < 0.3 * levels + 1 + sampler.budget.final_kinetic


def test_a_gaussian_s_levels_are_those_of_its_spectrum() -> None:
    r"""Of a white image \(\operatorname{Var}_\beta\log L\) is known: n(½V² + (1 + λ)V/(1 + βλ)²), V = λ/(1 + βλ)."""
    prior = GaussianMixturePrior(torch.zeros(1, 2, dtype=DOUBLE), [1.0], 0.5)
    problem = measure(prior, Identity((2,)), 0.05)
    sampler = TemperedSMC(exact_denoise=True)
    spread, ahead = sampler._foretold(problem, problem.noise(0, 1).use("init"))
    ratio = torch.tensor(100.0, dtype=DOUBLE)
    left = ratio / (1 + GRID * ratio)
    exact = GRID * (2 * (0.5 * left**2 + (1 + ratio) / (1 + GRID * ratio) ** 2 * left)).sqrt()
    # The logarithms of two variances, of 256 samples each, are known to √(2/255) each: a shift along log β.
    torch.testing.assert_close(spread[0, -20:], exact[-20:], rtol=0.25, atol=0)
    assert abs(float(ahead) - float(levels_from(exact[None], first_temperature(exact[None], 4), 0.91))) < 1.5


def test_levels_of_a_constant_spread() -> None:
    spread = torch.full((2, 97), 3.0, dtype=DOUBLE)
    beta = torch.tensor([1e-3, 0.02], dtype=DOUBLE)
    expected = 3.0 * -beta.log() / math.sqrt(-math.log(0.9))
    assert torch.allclose(levels_from(spread, beta, 0.9), expected)
    assert float(levels_from(spread, beta * 0 + 1, 0.9).sum()) == 0


def test_the_first_temperature_leaves_one_of_so_many_samples() -> None:
    spread = torch.stack([GRID * 100, GRID * 0])  # of a likelihood whose logarithm varies by 100, and by nothing
    found = first_temperature(spread, 4)
    assert 1 < float(found[0]) * 100 / math.log(4) ** 0.5 < 10 ** (1 / 8)  # to a point of the grid
    assert float(found[1]) == 1


def test_descendants_get_fewer_by_a_share_of_them_all() -> None:
    problem = measure(field(), Identity(SHAPE), 0.5, 2)
    assert too_large(problem, torch.tensor([100.0, 200.0]), 256, 0.91) == ()  # 256/(1 + 200 (1/0.91 − 1)) = 12.3
    (text,) = too_large(problem, torch.tensor([100.0, 300.0]), 256, 0.91)  # 8.3
    assert "in measurement(s) 1: about 300 levels leave descendants of about 8;" in text


@pytest.mark.parametrize("problem", [generated(2), measure(field(), Identity(SHAPE), 0.5, 2)])
def test_plans_of_other_problems_are_estimates(problem: Posterior) -> None:
    plan = TemperedSMC("fast", population=16).plan(problem, 4)
    assert not plan.exact and plan.nfe > 0


def test_a_likelihood_of_counts_is_foretold_by_its_curvature() -> None:
    prior = GaussianMixturePrior(torch.zeros(1, 32, dtype=DOUBLE), [1.0], 0.3)
    likelihood = PoissonLikelihood(Identity((32,)), 500.0, 1.0)
    problem = Posterior(prior, likelihood, torch.full((1, 32), 251.0, dtype=DOUBLE))
    sampler = TemperedSMC()
    _, ahead = sampler._foretold(problem, problem.noise(0, 1).use("init"))
    beta, _ = watched(sampler, problem)
    levels = len({b for b in beta if b < 1})  # some take two moves
    assert levels / 1.5 < float(ahead) < 1.5 * levels


def test_a_problem_that_is_too_large_is_named_before_the_work() -> None:
    shape = (1, 24, 24)
    prior = GaussianMixturePrior(torch.zeros(1, *shape, dtype=DOUBLE), [1.0], 0.5)
    problem, sampler = measure(prior, Identity(shape), 0.01), TemperedSMC("fast")
    (text,) = sampler.plan(problem, 4).warnings
    assert "too large for 128 particles" in text and "take KineticLangevin" in text
    steps: list[int] = []

    def stop(step: int, state: State, info: Info) -> State:
        steps.append(step)
        return replace(state, done=torch.ones_like(state.done))

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        sampler.sample(problem, 4, progress=False, callback=stop)
    assert [w.filename for w in said if w.category is TooLargeWarning] == [__file__] and steps == [0]
    likelihood = GaussianLikelihood(Identity(shape), torch.tensor([0.01, 5.0, 0.02], dtype=DOUBLE))
    (text,) = sampler.plan(Posterior(prior, likelihood, torch.zeros(3, *shape, dtype=DOUBLE)), 4).warnings
    assert "in measurement(s) 0, 2:" in text
    assert sampler.plan(measure(prior, Inpainting.random(shape, fraction=0.01), 0.5), 4).warnings == ()
    counts = Posterior(prior, PoissonLikelihood(Identity(shape), 1e6, 1.0), torch.full((1, *shape), 5e5, dtype=DOUBLE))
    (text,) = sampler.plan(counts, 4).warnings
    assert "KineticLangevin" not in text and "accuracy='high'" in text
