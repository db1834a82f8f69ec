import math

import pytest
import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.priors import ScorePrior
from samplers.guided import PredictorCorrector
from tests.problems import DOUBLE
from tests.samplers.case import Case
from tests.samplers.guided.problems import spectral, white_problem

SHARED_CASES = {
    "PredictorCorrector": Case(PredictorCorrector(steps=8), calls=(15, 0)),
}


@pytest.mark.parametrize("snr", [0.1, 10.0])  # the step that the ratio asks for, and one that would overshoot
@pytest.mark.parametrize("following", [1.5, 0.0])
def test_one_step_of_the_predictor_and_of_the_corrector(following: float, snr: float) -> None:
    problem, s, _, x, _ = spectral()
    sigma, noise = 2.0, Noise.of(3, 1, 5, dtype=DOUBLE)

    def guided(x: Tensor, sigma: float, width: float) -> Tensor:
        pull = problem.operator.adjoint(problem.y - problem.operator(x)) / width
        return problem.prior.score(x, sigma) + pull

    widths = [float(0.3**2 + (0.7 * level * s[0]) ** 2) for level in (sigma, following)]
    gap = sigma**2 - following**2
    widths[0] = max(widths[0], float(gap * s[0] ** 2))  # which it is less than where all of σ is left in one step
    expected = x + gap * guided(x, sigma, widths[0])
    if following > 0:
        expected = expected + math.sqrt(gap) * noise.use("predictor").normal((4,))
        xi, slope = noise.use("corrector").normal((4,)), guided(expected, following, widths[1])
        size = 2 * (snr * xi.norm(dim=-1, keepdim=True) / slope.norm(dim=-1, keepdim=True)) ** 2
        largest = 1 / (following**-2 + s[0] ** 2 / widths[1])
        assert (size > largest).all() == (snr > 1)
        size = size.minimum(largest)
        expected = expected + size * slope + (2 * size).sqrt() * xi
    moved = PredictorCorrector(snr=snr, rate=0.7).move(problem, x, sigma, following, noise)
    assert torch.allclose(moved, expected)


def test_levels() -> None:
    def levels(first: float, last: float, steps: int = 4) -> object:
        ratio = (last / first) ** (1 / (steps - 1))
        return pytest.approx([first * ratio**k for k in range(steps)])

    def prior(largest: float, smallest: float = 0.002) -> ScorePrior:
        return ScorePrior.from_denoiser(lambda x, s: x, (2, 4), sigma_max=largest, sigma_min=smallest, sigma_data=0.5)

    sampler = PredictorCorrector(steps=4)
    assert [*sampler.levels(prior(80.0), math.inf)] == levels(math.sqrt(2 * 8) * 0.5, 0.01)  # two images' distance
    assert [*sampler.levels(prior(1.5), math.inf)] == levels(1.5, 0.01)
    assert [*sampler.levels(prior(80.0, 0.1), math.inf)] == levels(2.0, 0.1)
    assert [*sampler.levels(prior(80.0), 0.05)] == levels(2.0, 0.005)  # a tenth of what the measurement can tell
    assert [*PredictorCorrector(steps=4, sigma_last=3.0).levels(prior(80.0), math.inf)] == levels(2.0, 1.0)


@pytest.mark.parametrize(("steps", "rate"), [(150, 0.0), (20, 0.3)])
def test_no_step_overshoots(steps: int, rate: float) -> None:
    # Where the likelihood is not widened, gradient steps of the length of a level would multiply residuals by thousands
    problem = white_problem(0.01)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    samples = PredictorCorrector(steps=steps, rate=rate).sample(problem, 50, progress=False)
    assert ((samples.x - exact.mean()[0]).abs() < 6 * problem.prior.sigma_data).all()


def test_settings_are_checked() -> None:
    problem = white_problem()
    for wrong in ({"snr": 0.0}, {"rate": -0.1}, {"sigma_last": 0.0}):
        with pytest.raises(InvalidValueError, match="PredictorCorrector needs"):
            PredictorCorrector(**wrong)
    PredictorCorrector(steps=2, rate=0.0).sample(problem, 2, progress=False)
