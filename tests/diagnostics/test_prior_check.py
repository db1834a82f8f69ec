import math
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior.diagnostics import PriorCheck, check_prior
from posterior.diagnostics.agreement import agreement
from posterior.diagnostics.prior_check import FUNCTIONALS
from posterior.errors import IncompatibleError, InvalidValueError, NoiseLevelError, NotFiniteError, ShapeError
from posterior.networks.vae import VAEDecoder
from posterior.noise import Noise
from posterior.priors import GaussianMixturePrior, ScorePrior
from posterior.priors.generators import NetworkGenerator
from tests.problems import DOUBLE, mixture
from tests.tables import cells

SHAPE = (1, 4, 4)
PRIOR = mixture(SHAPE)
IMAGES = PRIOR.exact_sample(1, Noise.of(7, 100, dtype=DOUBLE))[0]
WIDE = GaussianMixturePrior(1.5 * PRIOR.means.reshape(-1, *SHAPE), PRIOR.log_weights.exp(), 0.75)  # of 1.5 x


def check(prior: Any, **options: Any) -> PriorCheck:
    return check_prior(prior, **{"progress": False, **options})


def function(denoise: Any) -> ScorePrior:
    return ScorePrior.from_denoiser(denoise, SHAPE, sigma_max=PRIOR.sigma_max, sigma_data=PRIOR.sigma_data)


@pytest.fixture(scope="module")
def exact() -> PriorCheck:
    return check(PRIOR)


def test_a_right_prior_passes(exact: PriorCheck) -> None:
    assert exact.passed
    assert exact.judged == "model"
    assert exact.faulty == () and exact.disagreements == ()
    torch.testing.assert_close(torch.tensor(exact.levels), torch.tensor([0.1, 0.3, 1, 3]) * PRIOR.sigma_data)
    assert exact.drift.shape == exact.drift_p.shape == (4, len(FUNCTIONALS))
    # Inside a component x given z is Gaussian; there are no others near at the least level.
    within = 1 / math.sqrt(1 / 0.25 + 1 / exact.levels[0] ** 2)
    assert float(exact.spread[0]) == pytest.approx(within, rel=0.05)  # of 30,400 entries: 0.4 %, and other components
    assert float(exact.doubling.max()) < 0.05


@pytest.fixture(scope="module")
def wrong() -> PriorCheck:
    return check(WIDE, images=IMAGES)


def test_given_images_of_the_prior_pass() -> None:
    result = check(PRIOR, images=IMAGES, seed=1)
    assert result.passed
    assert result.judged == "images"
    assert result.num_images == 100


def test_a_denoiser_of_other_images_is_rejected(wrong: PriorCheck) -> None:
    assert not wrong.passed
    # x given z is nearly N(z, ρ²I) at small ρ, whatever the prior: there is less to see.
    assert set(wrong.levels[2:]) <= set(wrong.faulty)
    assert check(WIDE).passed  # its own images are of its denoiser


def test_a_denoiser_of_two_priors_is_rejected() -> None:
    """The wide prior below a level, the right one above, from images of the right one."""

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        low = (sigma < 0.5 * PRIOR.sigma_data)[:, None, None, None]
        return torch.where(low, WIDE._denoise(x, sigma), PRIOR._denoise(x, sigma))

    result = check(function(denoise), images=IMAGES, levels=[0.5, 1.0, 20.0])
    assert result.disagreements
    assert {one.name for one in result.disagreements} <= set(list(FUNCTIONALS)[:-1])
    assert all(one.low < one.high and one.p_value <= 0.05 for one in result.disagreements)
    assert "Levels disagree about the prior" in result.summary()


def test_too_few_steps_show_in_doubling(exact: PriorCheck) -> None:
    few, many = check(PRIOR, steps=3), check(PRIOR, steps=12)
    assert float(few.doubling.max()) > 0.1
    assert float(many.doubling.max()) < float(exact.doubling.max()) < float(few.doubling.max())
    assert not few.passed
    assert "take more steps" in few.summary()


def test_images_by_reverse_diffusion() -> None:
    prior = function(PRIOR._denoise)
    result = check(prior, num_images=4, num_draws=2, levels=[1.0])
    assert result.judged == "model"
    assert result.num_images == 4
    assert result.disagreements == ()


def test_results_do_not_depend_on_the_batch_size_or_on_other_levels(exact: PriorCheck) -> None:
    result = check(PRIOR, levels=[exact.levels[1]], batch_size=30)
    torch.testing.assert_close(result.drift[0], exact.drift[1])
    torch.testing.assert_close(result.doubling[0], exact.doubling[1])


def test_words(exact: PriorCheck, wrong: PriorCheck) -> None:
    header, *rows = cells(exact.table())
    assert exact.table().startswith(f"{exact.title}\n\n")
    assert header[:5] == ["ρ", "spread", "change by 12 calls", "centre pixel", "image mean"]
    assert len(rows) == 4
    assert "Draws with 6 calls are calibrated at ρ = " in exact.summary()
    assert "Draws are off at ρ = " in wrong.summary()
    assert "the denoiser seems not to be that of these images" in wrong.summary()


def test_levels_are_clipped_to_those_of_the_prior() -> None:
    prior = ScorePrior.from_denoiser(PRIOR._denoise, SHAPE, sigma_min=0.5, sigma_max=2.0, sigma_data=1.0)
    result = check(prior, images=IMAGES[:3], num_draws=2, steps=3)
    assert result.levels == (0.5, 1.0, 2.0)


def test_agreement() -> None:
    """Means of N(0, 1) at two levels, of N(1, 1) at a third; z of a mean of 100 is 10 ± 1 there."""
    change = Noise.of(0, 1, 6, dtype=DOUBLE).normal((100,))[:, 0].reshape(3, 2, 100)
    change[2, 0] += 1
    drift, p, found = agreement(change, [1.0, 2.0, 3.0], ["f", "g"])
    assert abs(float(drift[2, 0]) - 10) < 4
    assert int((p <= 0.05).sum()) == 1
    assert [one[:3] for one in found] == [(1.0, 3.0, "f"), (2.0, 3.0, "f")]
    drift, p, found = agreement(torch.zeros(2, 1, 5, dtype=DOUBLE), [1.0, 2.0], ["f"])
    assert float(drift.abs().max()) == 0 and float(p.min()) == 1 and found == ()


@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ShapeError, r"expected \(N, 1, 4, 4\)", {"images": IMAGES.reshape(-1, 4, 4)}),
        (ShapeError, "N ≥ 2", {"images": IMAGES[:1]}),
        (InvalidValueError, "floating-point", {"images": IMAGES.byte()}),
        (NotFiniteError, "images: NaN or infinity in .* values", {"images": IMAGES / 0.0}),
        (NoiseLevelError, "valid for noise levels", {"levels": [2 * PRIOR.sigma_max]}),
        (NoiseLevelError, "valid for noise levels", {"levels": [-1.0, 1.0]}),
        (NoiseLevelError, "valid for noise levels", {"levels": [math.nan]}),
        (InvalidValueError, "noise levels", {"levels": []}),
        (InvalidValueError, "from 1 to 20", {"levels": [0.1 * i for i in range(1, 30)]}),
        (InvalidValueError, "steps is at least 3", {"steps": 2}),
        (InvalidValueError, "at least 2", {"num_images": 1}),
        (InvalidValueError, "at least 2", {"num_draws": 1}),
        (InvalidValueError, "batch_size at least 1", {"batch_size": 0}),
    ],
)
def test_mistakes(error: type[Exception], message: str, options: dict[str, Any]) -> None:
    with pytest.raises(error, match=message):
        check(PRIOR, **options)


def test_other_priors_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="give a ScorePrior"):
        check(NetworkGenerator(VAEDecoder(2, (8,), SHAPE)))
