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


@pytest.mark.parametrize("snr", [0.1, 10.0])  # the step that the ratio asks for, and σ'² where it is larger
@pytest.mark.parametrize("following", [1.5, 0.0])
def test_one_step_of_the_predictor_and_of_the_corrector(following: float, snr: float) -> None:
    problem, s, _, x, _ = spectral()
    sigma, noise = 2.0, Noise.of(3, 1, 5, dtype=DOUBLE)

    def guided(x: Tensor, sigma: float) -> Tensor:
        pull = problem.operator.adjoint(problem.y - problem.operator(x)) / (0.3**2 + (0.7 * sigma * s[0]) ** 2)
        return problem.prior.score(x, sigma) + pull

    gap = sigma**2 - following**2
    expected = x + gap * guided(x, sigma)
    if following > 0:
        expected = expected + math.sqrt(gap) * noise.use("predictor").normal((4,))
        xi, slope = noise.use("corrector").normal((4,)), guided(expected, following)
        size = 2 * (snr * xi.norm(dim=-1, keepdim=True) / slope.norm(dim=-1, keepdim=True)) ** 2
        assert (size > following**2).all() == (snr > 1)
        size = size.clamp_max(following**2)
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
    assert [*sampler.levels(prior(80.0))] == levels(math.sqrt(2 * 8) * 0.5, 0.01)  # two images' distance
    assert [*sampler.levels(prior(1.5))] == levels(1.5, 0.01)
    assert [*sampler.levels(prior(80.0, 0.1))] == levels(2.0, 0.1)
    assert [*PredictorCorrector(steps=4, sigma_last=3.0).levels(prior(80.0))] == levels(2.0, 1.0)


def test_settings_are_checked() -> None:
    problem = white_problem()
    for wrong in ({"snr": 0.0}, {"rate": -0.1}, {"sigma_last": 0.0}):
        with pytest.raises(InvalidValueError, match="PredictorCorrector needs"):
            PredictorCorrector(**wrong)
    PredictorCorrector(steps=2, rate=0.0).sample(problem, 2, progress=False)
