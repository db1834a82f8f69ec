"""The move behind the verdict leaves exact samples as they are, and tells others that no misfit tells."""

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from posterior.diagnostics.verdict import misfit_of
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, Matrix
from posterior.problem import Posterior
from samplers import KineticLangevin
from samplers.annealing import KineticState
from samplers.invariance import Reversed, change, moving_calls, squares, verdicts_by_moving
from samplers.state import Info
from tests.problems import DOUBLE, gaussian, measure, mixture, mixture_problem

SEEN = torch.arange(40) % 4 == 0


def half_seen(batch: int, noise_std: float = 0.2) -> Posterior:
    """A quarter of a smooth Gaussian vector seen."""
    return measure(gaussian(40), Inpainting(SEEN), noise_std, batch)


def exact(problem: Posterior, size: int, noise_std: float | None = None) -> Tensor:
    """Exact samples of its posterior, or of that with another noise level."""
    likelihood = problem.likelihood if noise_std is None else GaussianLikelihood(problem.operator, noise_std)
    return problem.prior.posterior(likelihood, problem.y).sample(size, seed=1)


def levels(problem: Posterior, x: Tensor) -> list[str]:
    return [one.level for one in verdicts_by_moving(problem, x, "")]


@pytest.mark.parametrize("size", [2, 5, 64])
def test_exact_samples_are_sound(size: int) -> None:
    # Two tests of 200 measurements, each beyond four standard errors with a probability below 0.001 for any number of
    # samples: more than 5 of 400 with one of 1e-5.
    for problem in (half_seen(200), measure(mixture(), Matrix(torch.tensor([[1.0, 0.6]], dtype=DOUBLE)), 0.7, 200)):
        assert levels(problem, exact(problem, size)).count("sound") >= 195


def test_a_measurement_that_the_model_does_not_explain_is_no_fault_of_samples() -> None:
    problem = half_seen(50)
    strange = Posterior(problem.prior, problem.likelihood, problem.operator.restrict(problem.y + 8.0))
    x = exact(strange, 32)
    assert bool((misfit_of(strange, x).deviation > 4).all())
    assert levels(strange, x).count("sound") >= 49


def test_a_wrong_spread_is_told_where_nothing_is_measured() -> None:
    problem = half_seen(50)
    x = exact(problem, 64)
    wide = torch.where(SEEN, x, x.mean(0) + 2 * (x - x.mean(0)))
    assert bool((misfit_of(problem, wide).deviation.abs() < 4).all())
    found = verdicts_by_moving(problem, wide, "take more steps")
    assert sum(one.level != "sound" for one in found) >= 48
    assert "lowers the samples' mean squared distance from the prior's mean" in str(found[0])
    assert found[0].remedy == "take more steps"


@pytest.mark.parametrize(("factor", "side"), [(3.0, "lowers"), (1 / 3, "raises")])
def test_a_wrong_noise_level_is_told(factor: float, side: str) -> None:
    problem = half_seen(50)
    found = verdicts_by_moving(problem, exact(problem, 32, 0.2 * factor), "")
    assert sum(f"{side} the samples' mean squared residual" in " ".join(one.findings) for one in found) >= 48


def test_the_change_is_what_the_variance_is_off_by() -> None:
    # In a direction of autocorrelation a the square of samples of variance 1 + e changes by −e (1 − a²), and their
    # squared step is (1 − a)(2 + e (1 − a)): between −e/2, where a = 0, and −e, where a = 1 and e is small.
    noise = Noise.of(3, 1, 4000, dtype=DOUBLE)
    x = math.sqrt(1.2) * noise.use("x").normal((50,))
    steps = [source.use("step").normal((50,)) for source in (noise, Reversed.of_source(noise))]
    assert torch.equal(steps[0], -steps[1])
    for a in (0.0, 0.5, 0.95):
        expected = -0.2 * (1 - a**2) / ((1 - a) * (2 + 0.2 * (1 - a)))
        moved = [squares(x, a * x + math.sqrt(1 - a**2) * step) for step in steps]
        assert float(change(sum(moved) / 2).size) == pytest.approx(expected, abs=0.02)


def test_verdicts_do_not_depend_on_neighbours() -> None:
    problem = half_seen(3)
    x = exact(problem, 20, 0.6)
    broken = x.clone()
    broken[0, 1, 0] = torch.nan
    together, apart = verdicts_by_moving(problem, broken, ""), verdicts_by_moving(problem.select([2]), x[:, 2:], "")
    assert together[2] == apart[0] and together[2].level != "sound"
    assert together[1].level == "sound"  # what is NaN is told by others


def test_what_cannot_be_moved_is_not_judged() -> None:
    problem = mixture_problem(1)
    x = exact(problem, 8)
    assert moving_calls(problem, 64) == 192 and moving_calls(problem, 5) == 60
    counts = Posterior(problem.prior, PoissonLikelihood(problem.operator, 10.0, 1.0), problem.y.abs().round())
    assert moving_calls(counts, 64) == 0 and levels(counts, x) == ["sound"]
    assert levels(problem, x[:1] + 100) == ["sound"]  # one sample has no standard error
    precise = Posterior(problem.prior, GaussianLikelihood(problem.operator, 1e-6), problem.y)
    assert levels(precise, x) == ["sound"]  # below the prior's least noise level


def test_samplers_are_judged_by_it_and_do_not_pay_for_it() -> None:
    @dataclass(frozen=True)
    class TooWide(KineticLangevin):
        """A sampler whose samples have four times their variance where nothing is measured."""

        def finish(
            self, problem: Posterior, state: KineticState, noise: Noise, num_samples: int
        ) -> tuple[Tensor, Info]:
            x, info = super().finish(problem, state, noise, num_samples)
            return torch.where(SEEN, x, x.mean(0) + 2 * (x - x.mean(0))), info

    problem, finding = half_seen(2), "a move that leaves the posterior as it is"
    for sampler, told in ((KineticLangevin(), False), (TooWide(), True)):
        samples = sampler.sample(problem, 16, progress=False)
        assert samples.nfe.tolist() == [159.0, 159.0]
        assert [any(finding in text for text in one.findings) for one in samples.verdict] == [told, told]


def test_samples_are_moved_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = half_seen(2)
    x = exact(problem, 16, 0.5)
    whole = verdicts_by_moving(problem, x, "")
    monkeypatch.setattr("samplers.invariance._AT_ONCE", 250)  # three samples of two measurements
    assert verdicts_by_moving(problem, x, "") == whole and whole[0].level != "sound"
