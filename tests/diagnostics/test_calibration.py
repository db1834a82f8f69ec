import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior import GaussianLikelihood, PointEstimate, Posterior, Samples
from posterior.diagnostics import DEFAULT_FUNCTIONALS, Calibration, calibrate
from posterior.diagnostics.coverage import exchange_test, interval_levels, interval_shares
from posterior.errors import (
    CheckpointMismatchError,
    FileFormatError,
    IncompatibleError,
    InvalidValueError,
    NotFiniteError,
    ShapeError,
)
from posterior.likelihoods import LogNormal
from posterior.methods import Method
from posterior.noise import Noise
from posterior.operators import Inpainting, Matrix, Operator
from posterior.priors import GaussianMixturePrior, ScorePrior
from tests.diagnostics.methods import KnownDraws, PriorDraws, SharedError, samples
from tests.problems import DOUBLE, gaussian
from tests.tables import cells

SIZE = 8
PRIOR = gaussian(SIZE)
LIKELIHOOD = GaussianLikelihood(Inpainting(torch.arange(SIZE) % 2 == 0), 0.3)
CHECKS = {*DEFAULT_FUNCTIONALS, "TARP", "joint region", "pixel intervals"}


# One study in twenty of exact draws fails at random, and that of seed 0 is one (its log-likelihood has p = 0.00025):
# tests of single studies take seed 1, and `_nominal_rates` counts the failures of all seeds from 0 on.
def study(method: Method, num_problems: int = 200, seed: int = 1, **options: Any) -> Calibration:
    return calibrate(method, PRIOR, LIKELIHOOD, num_problems=num_problems, seed=seed, progress=False, **options)


def rejected(result: Calibration) -> set[str]:
    return {check.name for check in result.checks if not check.passed}


@pytest.fixture(scope="module")
def exact() -> Calibration:
    return study(KnownDraws())


def test_exact_draws_pass(exact: Calibration) -> None:
    assert {check.name for check in exact.checks} == CHECKS
    assert exact.passed
    assert exact.judged == "sampler"
    assert all(len(ranks) == 200 for ranks in exact.ranks.values())
    # 4 standard errors
    assert abs(exact["pixel intervals"].at(0.8) - 0.8) < 4 * 0.4 / math.sqrt(200)


# What each fault must be found by, and what is blind to it. With 200 problems, adjusted at 5 %.
FAULTS = {
    # Functionals of x alone have their prior law in the truths and in the draws, and so do regions of draws.
    "the prior": (PriorDraws(), {"log-likelihood", "TARP"}, CHECKS - {"log-likelihood", "TARP"}),
    "too wide": (KnownDraws(scale=1.5), CHECKS, set()),
    "too narrow": (KnownDraws(scale=0.67), CHECKS, set()),
    # TARP's reference shifts with the draws: it sees shifts to second order only, and the total variation not at all.
    "biased": (
        KnownDraws(shift=0.5),
        {"centre pixel", "corner mean", "image mean", "joint region", "pixel intervals"},
        {"TARP"},
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_found(fault: str) -> None:
    method, seen, unseen = FAULTS[fault]
    result = study(method)
    assert seen <= rejected(result)
    # The blind checks are nominal, or nearly so: no p-value as small as what seeing ones have.
    assert all(result[name].p_value > 0.005 for name in unseen)
    assert not result.passed


def test_readings_name_the_fault() -> None:
    wide, narrow, high = study(KnownDraws(1.5)), study(KnownDraws(0.67)), study(KnownDraws(shift=0.5))
    for name in ("centre pixel", "image mean"):
        assert wide[name].reading() == "draws too wide"
        assert narrow[name].reading() == "draws too narrow"
        assert high[name].reading() == "draws too high"
    assert wide["joint region"].reading() == "regions too large"
    assert "too small" in narrow["pixel intervals"].reading()
    assert "find the sampler at fault" in narrow.summary()
    assert study(KnownDraws(shift=-0.5))["image mean"].reading() == "draws too low"


def test_draws_of_one_population_need_thinning() -> None:
    # Eight draws share an error: ranks are overdispersed though each draw is exact. One of each eight is right.
    functionals = {"mean": DEFAULT_FUNCTIONALS["image mean"]}
    together, apart = (study(SharedError(), num_samples=6, thin=t, functionals=functionals) for t in (1, 8))
    assert not together["mean"].passed
    assert together["mean"].reading() == "draws too narrow"
    assert apart.passed


def test_studies_of_exact_draws_that_fail() -> None:
    _nominal_rates(repeats=40, problems=40)


@pytest.mark.slow
def test_many_studies_of_exact_draws_that_fail() -> None:
    _nominal_rates(repeats=600, problems=100)


def _nominal_rates(repeats: int, problems: int) -> None:
    studies = [study(KnownDraws(), problems, num_samples=19, seed=seed) for seed in range(repeats)]
    for name in CHECKS:
        p = torch.tensor([result[name].p_value for result in studies])
        for level in (0.05, 0.2):
            # level plus 4 binomial errors; p-values are discrete, so that rates may be lower
            assert (p <= level).double().mean() < level + 4 * math.sqrt(level * (1 - level) / repeats), name
        # … but not useless: the mean of a uniform number has an error of √(1/12/repeats)
        assert p.mean() < 0.5 + 4 * math.sqrt(1 / 12 / repeats) + 0.05, name
    families = torch.tensor([not result.passed for result in studies]).double().mean()
    assert families < 0.05 + 4 * math.sqrt(0.05 * 0.95 / repeats)


def test_held_out_truths_judge_the_model() -> None:
    # Images brighter than the prior's are the prior's fault: exact draws of the wrong posterior fail.
    truth = PRIOR.exact_sample(120, Noise.of(5, dtype=DOUBLE))[:, 0]
    own, other = (study(KnownDraws(), truth=images) for images in (truth, truth + 1))
    assert own.judged == other.judged == "model"
    assert own.num_problems == 120
    assert own.passed
    assert "image mean" in rejected(other)
    assert "held-out truths" in other.table()
    assert "the sampler, or the prior for these images, at fault" in other.summary()


def test_batches_make_no_difference_to_truths() -> None:
    # A method that only looks at y: the same study in batches of any size.
    def of_y(problem: Posterior, *, num_samples: int = 64, seed: int = 0, **_: Any) -> object:
        return samples(problem.y + problem.noise(seed, num_samples).normal(problem.event_shape))

    of_y.name = "of y"  # type: ignore[attr-defined]
    whole, parts = (study(of_y, 20, batch=batch) for batch in (20, 7))  # type: ignore[arg-type]
    assert all(torch.equal(whole.ranks[name], parts.ranks[name]) for name in whole.ranks)
    assert torch.allclose(whole.crps, parts.crps)


def test_functionals_of_ones_own(exact: Calibration) -> None:
    def constant(x: Tensor, problem: Posterior) -> Tensor:
        return x.new_zeros(x.shape[:2])

    def closeness(x: Tensor, problem: Posterior) -> Tensor:
        return -(x - problem.y).flatten(2).norm(dim=2)

    result = study(KnownDraws(), functionals={"constant": constant, "closeness": closeness})
    # ties are broken at random, so that a constant has uniform ranks
    assert result["constant"].p_value > 0.01
    assert result["closeness"].p_value > 0.01
    assert set(result.ranks) == {"constant", "closeness", "TARP", "joint region"}
    assert torch.equal(result.ranks["TARP"], exact.ranks["TARP"])


def test_images_with_channels() -> None:
    prior = GaussianMixturePrior(torch.zeros(1, 2, 3, 4, dtype=DOUBLE), std=0.5)
    likelihood = GaussianLikelihood(Inpainting(torch.arange(24).reshape(2, 3, 4) % 3 == 0), 0.2)
    assert calibrate(KnownDraws(), prior, likelihood, num_problems=60, num_samples=9, progress=False).passed


def test_priors_without_exact_draws_are_drawn_by_reverse_diffusion() -> None:
    class Disguised(ScorePrior):
        def __init__(self) -> None:
            super().__init__()
            self.inner = PRIOR
            self.event_shape, self.sigma_data = PRIOR.event_shape, PRIOR.sigma_data
            self.sigma_min, self.sigma_max = PRIOR.sigma_min, PRIOR.sigma_max

        def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
            return self.inner.denoise(x, sigma)

        def posterior(self, *parts: object) -> object:
            return self.inner.posterior(*parts)  # type: ignore[arg-type]

    assert calibrate(KnownDraws(), Disguised(), LIKELIHOOD, num_problems=60, progress=False).passed


def test_table_and_summary(exact: Calibration) -> None:
    table = exact.table()
    assert {row[0] for row in cells(table)[1:]} == CHECKS
    assert "CRPS" in table
    summary = exact.summary()
    assert summary.startswith("Sampler calibration of KnownDraws: 200 problems")
    assert "None of 8 checks finds a fault" in summary
    assert "80 % probability, a shift of 0." in summary
    with pytest.raises(KeyError):
        exact["nothing"]


def test_interval_shares_by_hand() -> None:
    # One entry, five images: the middle one lies inside both intervals of four draws, its neighbours inside one.
    x = torch.tensor([3.0, 1, 2, 5, 4])[:, None, None]
    shares = interval_shares(x, torch.arange(5.0)[:, None])[:, 0]
    assert torch.allclose(interval_levels(4), torch.tensor([0.2, 0.6], dtype=DOUBLE))
    assert shares.tolist() == [[1, 1], [0, 0], [0, 1], [0, 0], [0, 1]]
    # Over all images the mean is the level, ties or not.
    tied = interval_shares(torch.zeros(40, 3, 7), torch.rand(40, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(tied.mean((0, 1)), interval_levels(39))


def test_exchange_test_is_nominal_for_dependent_entries() -> None:
    # Entries of an image that are nearly one number: an error that takes them for independent is 5 times too small.
    noise = Noise.of(3, dtype=DOUBLE)
    p = []
    for i in range(60):
        common, own = noise.use("common", i).normal((10, 40, 1))[0, 0], noise.use("own", i).normal((10, 40, 30))[0, 0]
        shares = interval_shares(common + 0.1 * own, noise.use("keys", i).uniform((10, 40))[0, 0]).transpose(0, 1)
        p.append(exchange_test(shares, interval_levels(9))[1])
    assert (torch.tensor(p) <= 0.2).double().mean() < 0.2 + 4 * math.sqrt(0.2 * 0.8 / 60)


def test_studies_that_make_no_sense() -> None:
    def solver(problem: Posterior, **_: Any) -> PointEstimate:
        b = len(problem)
        return PointEstimate(problem.y, torch.zeros(b), torch.ones(b), torch.ones(b), torch.ones(b))

    def broken(problem: Posterior, *, num_samples: int = 1, **_: Any) -> object:
        return samples(problem.y.expand(num_samples, *problem.y.shape) * math.nan)

    solver.name, broken.name = "Solver", "Broken"  # type: ignore[attr-defined]
    per_measurement = GaussianLikelihood(LIKELIHOOD.operator, torch.tensor([0.1, 0.2]))
    with pytest.raises(InvalidValueError, match="noise_std"):
        calibrate(KnownDraws(), PRIOR, per_measurement)
    masks = GaussianLikelihood(Inpainting(torch.ones(2, SIZE, dtype=torch.bool), (SIZE,)), 0.1)
    with pytest.raises(InvalidValueError, match="Inpainting is given for each"):
        calibrate(KnownDraws(), PRIOR, masks)
    with pytest.raises(IncompatibleError, match="Solver gives one image"):
        study(solver)  # type: ignore[arg-type]
    with pytest.raises(NotFiniteError, match="Broken"):
        study(broken)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="at least 2"):
        study(KnownDraws(), 1)
    with pytest.raises(ShapeError, match="truth"):
        study(KnownDraws(), truth=torch.zeros(10, SIZE + 1))
    with pytest.raises(InvalidValueError, match="TARP"):
        study(KnownDraws(), functionals={"TARP": DEFAULT_FUNCTIONALS["image mean"]})
    with pytest.raises(ShapeError, match="'mean'"):
        study(KnownDraws(), 20, functionals={"mean": lambda x, problem: x.mean(0)})
    with pytest.raises(NotFiniteError, match="'log'"):
        study(KnownDraws(), 20, functionals={"log": lambda x, problem: x[..., 0].log()})


@dataclass(frozen=True)
class Stops(KnownDraws):
    """Known draws, until a problem is reached."""

    at: float = field(default=math.inf, compare=False)  # a study that goes on is the same

    def __call__(self, problem: Posterior, **options: Any) -> Any:
        if int(problem.ids[0]) >= self.at:
            raise KeyboardInterrupt
        return super().__call__(problem, **options)


def test_a_stopped_study_goes_on(tmp_path: Path) -> None:
    options = {"num_problems": 30, "batch": 10, "num_samples": 9}
    expected = study(Stops(), **options)
    path = tmp_path / "new" / "study.pt"
    with pytest.raises(KeyboardInterrupt):
        study(Stops(at=20), checkpoint=path, **options)
    resumed = study(Stops(), checkpoint=path, **options)
    fewer = study(Stops(at=0), checkpoint=path, **options | {"num_problems": 20})  # all of it is there
    for name, ranks in expected.ranks.items():
        assert torch.equal(resumed.ranks[name], ranks)
        assert torch.equal(fewer.ranks[name], ranks[:20])
    assert resumed.checks[-1].p_value == expected.checks[-1].p_value
    assert torch.equal(resumed.energy_score, expected.energy_score)
    assert torch.equal(resumed.reported["nfe"], expected.reported["nfe"])
    for other in ({"seed": 2}, {"num_samples": 10}, {"thin": 2}):
        with pytest.raises(FileFormatError, match="another run"):
            study(Stops(), checkpoint=path, **options | other)


def test_the_ranks_of_another_study_are_not_given(tmp_path: Path) -> None:
    def run(power: float = 1.0, scale: float = 1.0, **options: Any) -> Calibration:
        operator = Operator.from_callable(
            lambda x: x[:, ::2].sign() * x[:, ::2].abs() ** power, event_shape=(SIZE,), measurement_shape=(SIZE // 2,),
            dtype=DOUBLE,
        )  # fmt: skip
        return calibrate(
            PriorDraws(), PRIOR, GaussianLikelihood(operator, 0.3), num_problems=4, num_samples=5, progress=False,
            functionals={"largest": lambda x, problem: scale * x.amax(-1)}, checkpoint=tmp_path / "study.pt", **options,
        )  # fmt: skip

    assert torch.equal(run().crps, run().crps)
    values = "values of the operator, values of the likelihood"
    for other, parts in (
        ({"power": 1.1}, values),
        ({"scale": 2.0}, "values of 'largest'"),
        ({"truth": torch.zeros(4, SIZE, dtype=DOUBLE)}, "truth"),
        ({"thin": 2, "seed": 1}, "thin, seed"),
    ):
        with pytest.raises(CheckpointMismatchError, match=f"different {parts};"):
            run(**other)


@dataclass(frozen=True)
class KnownParameters:
    """σ by quadrature and x given it, of a scalar seen several times; or σ too large, or with x of another."""

    fault: str = ""
    name: str = "KnownParameters"

    @property
    def parameters(self) -> dict[str, LogNormal]:
        return {"noise_std": LogNormal(0.5, 1.0)}

    def __call__(self, problem: Posterior, *, num_samples: int = 64, seed: int = 0, **options: object) -> Samples:
        y, m = problem.y, problem.y.shape[1]
        grid = 0.5 * torch.linspace(-5, 5, 400, dtype=DOUBLE).exp()
        within = (y - y.mean(1, keepdim=True)).square().sum(1)[:, None]  # x ~ N(0, 1) leaves y the mean and the spread
        mean, tall = y.mean(1)[:, None], 1 + grid**2 / m
        log = -0.5 * within / grid**2 - (m - 1) * grid.log() - 0.5 * mean**2 / tall - 0.5 * tall.log()
        log = log - 0.5 * (grid / 0.5).log() ** 2
        noise = problem.noise(1000 + seed, num_samples)
        rank = log.softmax(1).cumsum(1)
        place = torch.searchsorted(rank, noise.use("theta").uniform().T.contiguous()).clamp_max(399)
        theta = grid[place].T * (1.7 if self.fault == "shifted" else 1.0)  # (S, B)
        given = theta.flip(0) if self.fault == "others" else theta
        precision = 1 + m / given**2
        x = (y.sum(1) / given**2) / precision + noise.use("x").normal() / precision.sqrt()
        return replace(samples(x[..., None]), parameters={"noise_std": theta})


@pytest.mark.parametrize(
    ("fault", "found"), [("", ()), ("shifted", ("noise_std",)), ("others", ("at its parameters",))]
)
def test_parameters_are_drawn_and_ranked_too(fault: str, found: tuple[str, ...]) -> None:
    prior = GaussianMixturePrior(torch.zeros(1, 1, dtype=DOUBLE), std=1.0)
    likelihood = GaussianLikelihood(Matrix(torch.ones(2, 1, dtype=DOUBLE)), 1.0)
    result = calibrate(KnownParameters(fault), prior, likelihood, num_problems=400, batch=400, progress=False)
    assert {"noise_std", "log-likelihood at its parameters"} <= set(result.ranks)
    faults = [check.name for check in result.checks if not check.passed]
    assert bool(faults) == bool(found) and all(any(name in one for one in faults) for name in found)
    with pytest.raises(InvalidValueError, match="may not be called noise_std"):
        calibrate(KnownParameters(), prior, likelihood, functionals={"noise_std": lambda x, problem: x[..., 0]})
