"""The test of a model: its false alarms by its law, its power by models that are wrong in known ways."""

import math
import re
from dataclasses import dataclass, replace

import pytest
import torch

from posterior import GaussianLikelihood, Posterior, Samples
from posterior.diagnostics import SoundProblems, check_model, sound_problems
from posterior.diagnostics.misspecification import discrepancies
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.likelihoods import LogNormal
from posterior.noise import Noise
from posterior.operators import Blur, Identity, Inpainting, LinearOperator
from posterior.priors import GaussianMixturePrior
from samplers.map import TotalVariation
from tests.diagnostics.methods import KnownDraws, samples
from tests.problems import DOUBLE

SHAPE, STD, SIZE = (1, 6, 6), 0.2, 8
PLACES = torch.cartesian_prod(torch.arange(6), torch.arange(6)).to(DOUBLE)
SMOOTH = 0.25 * torch.exp(-0.5 * torch.cdist(PLACES, PLACES).square() / 2) + 1e-2 * torch.eye(36, dtype=DOUBLE)
PRIOR = GaussianMixturePrior(torch.zeros(1, *SHAPE, dtype=DOUBLE), covariance=SMOOTH)
ROUGH = GaussianMixturePrior(torch.zeros(1, *SHAPE, dtype=DOUBLE), std=2.0)
BLUR = Blur.gaussian(SHAPE, 0.8).double()
LIKELIHOOD = GaussianLikelihood(BLUR, STD)


def sound(num_problems: int = 99, **options: object) -> SoundProblems:
    return sound_problems(
        KnownDraws(), PRIOR, LIKELIHOOD, num_problems=num_problems, num_samples=SIZE, progress=False, **options
    )


def p_values(
    count: int, prior: GaussianMixturePrior = PRIOR, likelihood: GaussianLikelihood[LinearOperator] = LIKELIHOOD
) -> torch.Tensor:
    """Of measurements of another model, judged as of `PRIOR` and `LIKELIHOOD`."""
    noise = Noise.of(9, count, dtype=DOUBLE)
    y = likelihood.simulate(prior.exact_sample(1, noise.use("truth"))[0], noise)
    problem = Posterior(PRIOR, LIKELIHOOD, y)
    return check_model(KnownDraws()(problem, num_samples=SIZE, seed=3), problem, sound()).p_value


def test_false_alarms_are_as_rare_as_the_p_value_says() -> None:
    """Sets of 19 sound problems, each with 20 measurements of its own; the standard error is that over the sets."""
    rates = []
    for seed in range(40):
        noise = Noise.of(100 + seed, 20, dtype=DOUBLE)
        y = LIKELIHOOD.simulate(PRIOR.exact_sample(1, noise.use("truth"))[0], noise)
        problem = Posterior(PRIOR, LIKELIHOOD, y)
        found = check_model(KnownDraws()(problem, num_samples=SIZE, seed=seed), problem, sound(19, seed=seed))
        rates.append((found.p_value[:, None] <= torch.tensor([0.05, 0.25, 0.5])).double().mean(0))
    share = torch.stack(rates)
    error = share.std(0) / math.sqrt(len(share))
    assert ((share.mean(0) - torch.tensor([0.05, 0.25, 0.5])).abs() < 4 * error).all() and (error < 0.04).all()


@pytest.mark.parametrize("method", [KnownDraws(scale=3.0), KnownDraws(shift=1.0)])
def test_a_sampler_that_is_wrong_gives_no_false_alarms(method: KnownDraws) -> None:
    noise = Noise.of(7, 200, dtype=DOUBLE)
    y = LIKELIHOOD.simulate(PRIOR.exact_sample(1, noise.use("truth"))[0], noise)
    problem = Posterior(PRIOR, LIKELIHOOD, y)
    reference = sound_problems(method, PRIOR, LIKELIHOOD, num_samples=SIZE, progress=False)
    found = check_model(method(problem, num_samples=SIZE), problem, reference)
    # 0.05 of 200, ± the 0.022 by which the threshold of 99 problems is off and 0.015 of counting
    assert (found.p_value <= 0.05).double().mean() < 0.05 + 3 * math.hypot(0.022, 0.015)


def test_models_that_are_wrong_are_found() -> None:
    wrong = {
        "noise": p_values(40, likelihood=GaussianLikelihood(BLUR, 2.0 * STD)),
        "quiet": p_values(40, likelihood=GaussianLikelihood(BLUR, STD / 2.5)),
        "operator": p_values(40, likelihood=GaussianLikelihood(Identity(SHAPE), STD)),
        "prior": p_values(40, prior=ROUGH),
    }
    assert all((values <= 0.05).double().mean() > 0.6 for values in wrong.values()), wrong


def test_structure_is_found_where_the_misfit_is_right() -> None:
    """Residuals of the right size in one half of y, and of one frequency, are seen in that part alone."""
    flat = samples(torch.zeros(SIZE, 1, *SHAPE, dtype=DOUBLE))
    likelihood = GaussianLikelihood(Identity(SHAPE), 1.0)
    half = torch.zeros(1, *SHAPE, dtype=DOUBLE)
    half[:, :, :3] = math.sqrt(2)
    wave = (torch.pi * torch.arange(6, dtype=DOUBLE)).cos().expand(1, *SHAPE)
    for y, loud, silent in (
        (half, "residual, half 1 of axis 1", "residual, half 2 of axis 1"),
        (wave, "residual, frequency band 4", "residual, frequency band 1"),
    ):
        found = discrepancies(flat, Posterior(PRIOR, likelihood, y))
        assert float(found["residual"]) == pytest.approx(1)
        assert float(found[loud]) > 0.6 and float(found[silent]) < 1e-6
    assert float(found["mean residual, frequency band 4"]) == pytest.approx(float(found["residual, frequency band 4"]))


def test_the_score_knows_images_of_the_prior() -> None:
    own = PRIOR.exact_sample(SIZE, Noise.of(0, 1, SIZE, dtype=DOUBLE))
    other = own.flatten(2)[..., torch.randperm(36, generator=torch.Generator().manual_seed(0))].reshape(own.shape)
    problem = Posterior(PRIOR, GaussianLikelihood(Identity(SHAPE), 1.0), torch.zeros(1, *SHAPE, dtype=DOUBLE))
    here, there = discrepancies(samples(own), problem), discrepancies(samples(other), problem)
    assert all(there[name] > 1.05 * here[name] for name in here if name.startswith("score"))


@dataclass(frozen=True)
class Unknown(KnownDraws):
    """Exact draws at a σ that is drawn from its prior, whatever was measured."""

    @property
    def parameters(self) -> dict[str, LogNormal]:
        return {"noise_std": LogNormal(STD, 0.5)}

    def __call__(self, problem: Posterior, *, num_samples: int = 64, seed: int = 0, **options: object) -> Samples:
        theta = self.parameters["noise_std"].sample(problem.noise(seed, num_samples).use("theta"))
        return replace(super().__call__(problem, num_samples=num_samples, seed=seed), parameters={"noise_std": theta})


def test_samples_are_judged_at_their_own_parameters() -> None:
    y = LIKELIHOOD.simulate(torch.zeros(2, *SHAPE, dtype=DOUBLE), Noise.of(1, 2, dtype=DOUBLE))
    problem = Posterior(PRIOR, LIKELIHOOD, y)
    drawn = Unknown()(problem, num_samples=SIZE)
    found = discrepancies(drawn, problem)["residual"] ** 3
    square = LIKELIHOOD.misfit(drawn.x, y).square() * (STD / drawn.parameters["noise_std"]).square()
    assert torch.allclose(found, square.mean(0))
    reference = sound_problems(Unknown(), PRIOR, LIKELIHOOD, num_problems=19, num_samples=SIZE, progress=False)
    assert check_model(drawn, problem, reference).p_value.shape == (2,)


def test_it_says_what_was_found_in_words() -> None:
    y = 5 + LIKELIHOOD.simulate(torch.zeros(2, *SHAPE, dtype=DOUBLE), Noise.of(1, 2, dtype=DOUBLE))
    problem = Posterior(PRIOR, LIKELIHOOD, torch.cat([y[:1], y[1:] - 5]), ids=["a", "b"])
    found = check_model(KnownDraws()(replace_ids(problem), num_samples=SIZE), problem, sound())
    first, second = str(found).splitlines()
    assert re.match(
        r"measurement a: y looks unlike .*p = 0.01, by 99 sound problems\); in standard deviations: .*\+", first
    )
    assert second.startswith("measurement b: y looks like") and found.passed.tolist() == [False, True]


def replace_ids(problem: Posterior) -> Posterior:
    return Posterior(problem.prior, problem.likelihood, problem.y)


def test_what_is_wrong_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="19 sound problems"):
        sound(18)
    with pytest.raises(ShapeError, match="truth has shape"):
        sound(19, truth=torch.zeros(30, 1, 5, 5, dtype=DOUBLE))
    with pytest.raises(IncompatibleError, match="one image a measurement"):
        sound_problems(TotalVariation(), PRIOR, LIKELIHOOD, num_problems=19, progress=False)
    y = torch.zeros(2, *SHAPE, dtype=DOUBLE)
    problem, reference = Posterior(PRIOR, LIKELIHOOD, y), sound(19)
    with pytest.raises(InvalidValueError, match="8 samples each, and here are 4"):
        check_model(samples(torch.zeros(4, 2, *SHAPE, dtype=DOUBLE)), problem, reference)
    with pytest.raises(ShapeError, match="expected"):
        check_model(samples(torch.zeros(8, 1, *SHAPE, dtype=DOUBLE)), problem, reference)
    vector = GaussianMixturePrior(torch.zeros(1, 36, dtype=DOUBLE), std=1.0)
    other = Posterior(vector, GaussianLikelihood(Inpainting(torch.ones(36, dtype=torch.bool)), 1.0), y.flatten(1))
    with pytest.raises(InvalidValueError, match="of another model"):
        check_model(samples(torch.zeros(8, 2, 36, dtype=DOUBLE)), other, reference)
