import math
import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from posterior.errors import IncompatibleError, InvalidValueError, TrustWarning
from posterior.likelihoods import (
    GaussianLikelihood,
    Likelihood,
    OneBitLikelihood,
    PoissonLikelihood,
    SaturatedLikelihood,
    StudentTLikelihood,
)
from posterior.noise import Noise
from posterior.operators import Inpainting, Magnitude, Matrix, Operator
from posterior.priors import EmpiricalPrior, GaussianMixturePrior, Prior, ScorePrior
from posterior.priors.exact import ExactPosterior
from posterior.problem import Posterior
from posterior.results import Samples
from samplers import TemperedSMC
from samplers.levels import pilot_calls
from samplers.tempering import BUDGETS
from tests.problems import (
    DOUBLE,
    check_copies,
    check_moments,
    copies,
    gaussian_problem,
    measure,
    mixture,
    mixture_problem,
)
from tests.samplers.case import Case, counts_problem
from tests.samplers.latent.generators import bent_batch


def several_levels(batch: int = 1) -> Posterior:
    """A mixture that takes several levels, and not the same number for all measurements."""
    return mixture_problem(batch, noise_std=0.3)


SHARED_CASES = {
    "TemperedSMC": Case(TemperedSMC(accuracy="fast", population=24), several_levels),
    "TemperedSMC, refused moves": Case(TemperedSMC(accuracy="fast", population=16), counts_problem),
    "TemperedSMC, latents": Case(TemperedSMC(accuracy="fast", population=16), bent_batch),
}

ROTATED = Matrix(1.3 * torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=DOUBLE))
LIKELIHOODS: dict[str, tuple[Likelihood, list[float]]] = {
    "magnitude": (GaussianLikelihood(Magnitude(ROTATED), 0.5), [0.4, 1.5]),
    "counts": (PoissonLikelihood(ROTATED, 2.0, 0.5), [2.0, 1.0]),
    "saturated": (SaturatedLikelihood(ROTATED, 0.6, -1.0, 1.0), [1.0, -0.3]),
    "outliers": (StudentTLikelihood(ROTATED, 0.4, 3.0), [0.5, 1.0]),
    "signs": (OneBitLikelihood(ROTATED, 0.5), [1.0, -1.0]),
}


def check_evidence(samples: Samples, exact: ExactPosterior) -> None:
    """The estimates of p(y) from copies of one measurement have it as their mean, and small errors."""
    check_copies((samples.info["log_evidence"] - exact.log_evidence).exp(), torch.ones(()), within=0.2)
    assert (samples.info["log_evidence_error"] < 0.2).all()


@pytest.mark.parametrize("exact", [True, False])
def test_gaussian_posterior(exact: bool) -> None:
    problem = copies(gaussian_problem(4), 25)
    truth = problem.prior.posterior(problem.likelihood, problem.y)
    samples = TemperedSMC(exact_denoise=exact).sample(problem, 1000, progress=False)
    check_moments(samples.x, truth.mean()[0], truth.covariance()[0])
    check_evidence(samples, truth)
    assert samples.warnings == () and (samples.info["effective_samples"] > 500).all()
    # with exact draws only the steps of kinetic moves take calls: a score before the first and one each
    assert not exact or torch.equal(samples.nfe, 13 * (samples.info["beta"] == 1).sum(0).double())


@pytest.mark.parametrize("exact", [True, False])
def test_weights_of_separate_modes(exact: bool) -> None:
    for y in mixture_problem(batch=3).y:
        one = mixture_problem()
        problem = copies(Posterior(one.prior, one.likelihood, y[None]), 25)
        truth = problem.prior.posterior(problem.likelihood, problem.y)
        samples = TemperedSMC(exact_denoise=exact).sample(problem, 500, progress=False)
        check_copies(problem.prior.responsibilities(samples.x).mean(0), truth.weights[0], within=0.06, bias=1e-3)
        check_evidence(samples, truth)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_other_likelihoods(name: str) -> None:
    likelihood, y = LIKELIHOODS[name]
    problem = copies(Posterior(mixture(), likelihood, torch.tensor([y], dtype=DOUBLE)), 25)
    truth = problem.prior.posterior(likelihood, problem.y)
    samples = TemperedSMC(exact_denoise=True).sample(problem, 1000, progress=False)
    check_moments(samples.x, truth.mean()[0], truth.covariance()[0], within=0.15)  # outliers have heavy tails
    check_evidence(samples, truth)
    assert (samples.info["acceptance"] < 1).any()


def test_points_under_a_nonlinear_operator() -> None:
    curved = Operator.from_callable(lambda x: x**3, event_shape=(2,), measurement_shape=(2,), dtype=DOUBLE)
    points = torch.tensor([[0.0, 1.0], [1.0, 0.2], [0.4, -0.5]], dtype=DOUBLE)
    likelihood = GaussianLikelihood(curved, 0.7)
    problem = copies(Posterior(EmpiricalPrior(points), likelihood, torch.tensor([[0.6, 0.3]], dtype=DOUBLE)), 25)
    truth = problem.prior.posterior(likelihood, problem.y)
    samples = TemperedSMC(accuracy="fast", exact_denoise=True).sample(problem, 500, progress=False)
    share = (samples.x[:, :, None] == points).all(-1).double().mean(0)
    check_copies(share, truth.weights[0], within=0.05, bias=1e-3)
    check_evidence(samples, truth)


def test_magnitudes_leave_both_signs_at_the_weights_of_the_prior() -> None:
    """An image and its negative are as likely of a magnitude: between them the prior decides, and quadrature agrees."""
    first = torch.tensor([[1.5, -1.0, 0.5, 2.0], [-0.5, 2.0, 1.5, 0.0]], dtype=DOUBLE)
    weights = [0.42, 0.28, 0.18, 0.12]  # 0.7 of either image is positive
    prior = GaussianMixturePrior(torch.cat([first, -first]), weights, 0.3)
    rows = torch.linalg.qr(Noise.of(0, 1, dtype=DOUBLE).normal((4, 3))[0, 0]).Q.mT.contiguous()
    likelihood = GaussianLikelihood(Magnitude(Matrix(rows)), 0.2)
    y = (rows @ first[0]).abs()[None]
    exact = prior.posterior(likelihood, y).weights[0]
    assert float(exact[:2].sum()) == pytest.approx(0.7, abs=1e-6)
    problem = copies(Posterior(prior, likelihood, y), 25)
    x = TemperedSMC("fast", population=400).sample(problem, 400, progress=False).x
    nearest = torch.cdist(x.flatten(0, 1), torch.cat([first, -first])).argmin(1).view(x.shape[:2])
    found = torch.stack([(nearest == i).double().mean(0) for i in range(4)], 1)
    # 25 × 400 draws of a share of 0.7 err by 0.005, and resampling doubles it: five of these are half the target
    check_copies(found, exact, 0.05, bias=0.02)


def test_the_evidence_is_unbiased_and_its_error_is_what_is_reported() -> None:
    # 300 runs of the same measurement. E[Z] is p(y); the mean of 300 estimates is off by its own standard error.
    one = mixture_problem()
    problem = Posterior(one.prior, one.likelihood, one.y.expand(300, -1))
    exact = one.prior.posterior(one.likelihood, one.y).log_evidence
    samples = TemperedSMC(accuracy="fast", population=64, exact_denoise=True).sample(problem, 8, progress=False)
    ratio = (samples.info["log_evidence"] - exact).exp()
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(300)
    # Mean squares of the reported errors (3 degrees of freedom each) and of the true ones agree to 4 √(2/300 + 2/900),
    # up to the little by which log Z and Z/E[Z] − 1 differ.
    reported = samples.info["log_evidence_error"].square().mean()
    assert abs((ratio.var() / reported).log()) < 4 * math.sqrt(2 / 300 + 2 / 900)


@pytest.mark.parametrize("size", [64, 256])
def test_the_error_of_the_evidence_accounts_for_levels_and_lost_lineages(size: int) -> None:
    # Random walks of 64 points, a quarter seen: 15 to 20 levels leave 8 or 36 lineages. Three reported errors hold 90 %
    # and more; of 40 runs, fewer than 33 would with probability 0.04 if it were just 90 %.
    time = torch.arange(1, 65, dtype=DOUBLE)
    walk = GaussianMixturePrior(torch.zeros(1, 64, dtype=DOUBLE), covariance=torch.minimum(time[:, None], time))
    problem = measure(walk, Inpainting(torch.arange(64) % 4 == 0), 0.5, batch=40)
    exact = walk.posterior(problem.likelihood, problem.y).log_evidence
    sampler = TemperedSMC(accuracy="fast", population=size, exact_denoise=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = sampler.sample(problem, size, progress=False)
    off, reported = samples.info["log_evidence"] - exact, samples.info["log_evidence_error"]
    assert (off.abs() <= 3 * reported).sum() >= 33
    # nor is it generous: the mean squares agree to a factor of two
    assert 0.5 < reported.square().mean() / off.square().mean() < 2.0


def test_reports() -> None:
    problem = mixture_problem(batch=2)
    samples = TemperedSMC(accuracy="fast", population=64).sample(problem, 10, progress=False)
    assert samples.x.shape == (10, 2, 2)
    beta, steps = samples.info["beta"], (~samples.info["beta"].isnan()).sum(0)
    final = (beta == 1).sum(0)
    assert (final >= 1).all() and (final <= BUDGETS["fast"].final_kinetic).all()
    assert (beta.diff(dim=0).nan_to_num(0) >= 0).all()
    assert (samples.info["acceptance"].nan_to_num(1) == 1).all()
    assert (samples.info["rho"].nan_to_num(1) > 0).all()
    assert ((samples.info["lineages"] >= 1) & (samples.info["lineages"] <= 64)).all()
    assert (samples.info["effective_samples"] <= 10.5).all()
    # draws of the prior for each particle, and calls a move, those at β = 1 with ten steps besides; ten of 64 particles
    # are kept, and moved twice again
    budget = BUDGETS["fast"]
    calls = budget.prior_samples * budget.prior_steps + steps * budget.steps + final * 10
    calls = 64 / 10 * calls + 2 * budget.steps
    calls = calls + pilot_calls(problem, True, budget.prior_steps) / 10  # by which the number of levels is foretold
    assert torch.allclose(samples.nfe, calls.double())
    assert (samples.nfe_grad == 0).all()


@pytest.mark.parametrize(
    ("sampler", "expected"),
    [
        (TemperedSMC(), [256, 256, 704, 704, 5000]),  # eight islands from 512 on
        (TemperedSMC(accuracy="fast"), [128, 256, 704, 704, 5000]),
        (TemperedSMC(accuracy="high"), [1024, 1024, 1024, 1024, 5000]),
        (TemperedSMC(population=10), [12, 256, 704, 704, 5000]),
    ],
    ids=["standard", "fast", "high", "own"],
)
def test_populations_are_whole_islands(sampler: TemperedSMC, expected: list[int]) -> None:
    found = [sampler.draws_at_once(n) for n in (1, 256, 700, 703, 5000)]
    assert found == expected


def test_fewer_samples_than_particles_are_a_subset_that_pays_for_all() -> None:
    problem, sampler = mixture_problem(), TemperedSMC(accuracy="fast", population=32)
    samples, whole = (sampler.sample(problem, count, progress=False) for count in (8, 32))
    assert torch.equal(samples.x, whole.x[:8])
    last = 2 * BUDGETS["fast"].steps  # of the samples alone
    assert torch.allclose(samples.nfe - last, 4 * (whole.nfe - last))


def test_no_grain_is_left_where_a_pixel_is_certain() -> None:
    width = torch.tensor([1.0, 0.005], dtype=DOUBLE)
    prior = ScorePrior.from_denoiser(
        lambda x, sigma: x * width**2 / (width**2 + sigma[:, None] ** 2), (2,), sigma_max=80.0, sigma_data=0.7
    )
    operator = Matrix(torch.eye(2, dtype=DOUBLE))
    for likelihood in (
        GaussianLikelihood(operator, 1.0),
        StudentTLikelihood(operator, 1.0, 3.0),
    ):  # all accepted, and not
        problem = Posterior(prior, likelihood, torch.zeros(1, 2, dtype=DOUBLE))
        samples = TemperedSMC().sample(problem, 1000, progress=False)
        # one move in six calls leaves .04 ρ, or .02 to .04 here; a variance of 1,000 draws is known to 4 √(2/1000)
        assert abs(samples.x[:, 0, 1].var() / 0.005**2 - 1) < 0.2


def test_more_samples_than_the_population_enlarge_it() -> None:
    problem, sampler = mixture_problem(), TemperedSMC(accuracy="fast", population=32)
    samples = sampler.sample(problem, 50, progress=False)
    assert samples.x.shape == (50, 1, 2)
    wide = TemperedSMC(accuracy="fast", population=52).sample(problem, 50, progress=False)
    assert torch.equal(samples.x, wide.x)


HARD = Posterior(  # nine tenths of 40 values seen sharply: 8 particles of a prior with 60 modes cannot
    GaussianMixturePrior(3 * Noise.of(0, 60, dtype=DOUBLE).normal((40,))[0], std=0.3),
    GaussianLikelihood(Inpainting(torch.arange(40) % 10 != 0), 0.05),
    (3 * Noise.of(0, 60, dtype=DOUBLE).normal((40,))[0, 7:8] + 0.1) * (torch.arange(40) % 10 != 0),
    ids=["hard"],
)


def test_a_hopeless_run_warns() -> None:
    # Hopeless: the evidence is off by factors of e³ and more in nearly all runs. If 3 % did not warn, one of 100
    # would not with probability 0.95; if a reason were given in 10 % of them, by one of 100 with probability 1 − 3e-5.
    problem = copies(HARD, 100)
    with pytest.warns(TrustWarning, match=r"measurement\(s\) 0"):
        samples = TemperedSMC(accuracy="fast", population=8, exact_denoise=True).sample(problem, 8, progress=False)
    exact = HARD.prior.posterior(HARD.likelihood, HARD.y).log_evidence
    assert ((samples.info["log_evidence"] - exact).abs() > 3).double().mean() > 0.9
    assert samples.info["warned"].all()
    for name in ("effective_samples", "lineages", "island_r_hat"):
        assert any(f"({name})" in text for text in samples.warnings)
    assert all("TemperedSMC" in text and "larger population" in text for text in samples.warnings)


def test_moves_at_the_end_go_on_while_they_help() -> None:
    # Particles of modes that are far apart descend from few, and nothing moves them from one mode to the other; those
    # of a random walk that is seen at every eighth point drift apart for several moves.
    apart = GaussianMixturePrior(torch.tensor([[-50.0, 0.0], [50.0, 1.5]], dtype=DOUBLE), std=1.0)
    time = torch.arange(1, 65, dtype=DOUBLE)
    walk = GaussianMixturePrior(torch.zeros(1, 64, dtype=DOUBLE), covariance=torch.minimum(time[:, None], time))
    for prior, seen, fewest, most in ((apart, torch.arange(2) == 1, 1, 1), (walk, torch.arange(64) % 8 == 0, 2, 8)):
        problem = copies(measure(prior, Inpainting(seen), 0.2), 10)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)
            samples = TemperedSMC(exact_denoise=True).sample(problem, 8, progress=False)
        final = (samples.info["beta"] == 1).sum(0)
        assert (samples.info["inflation"].nan_to_num(0).amax(0) > 1.1).all()  # they would go on if it fell
        assert (final >= fewest).all() and (final <= most).all(), final


def test_an_easy_run_does_not_warn() -> None:
    # 128 particles of a Gaussian that is half seen: if 3 % of runs warned, one of 100 would with probability 0.95
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrustWarning)
        sampler, problem = TemperedSMC(accuracy="fast", exact_denoise=True), copies(gaussian_problem(4), 100)
        assert sampler.sample(problem, 64, progress=False).warnings == ()


@pytest.mark.parametrize(
    ("name", "effective", "lineages", "r_hat"),
    [
        (None, 51.0, 5.0, 1.09),
        (None, 26.0, 20.0, 1.09),
        ("effective_samples", 24.0, 20.0, 1.0),
        ("lineages", 100.0, 4.0, 1.0),
        ("lineages", 49.0, 19.0, 1.0),  # they have not mixed, as far as some can tell
        ("island_r_hat", 100.0, 100.0, 1.11),
    ],
)
def test_each_figure_warns_beyond_its_limit_and_not_before(
    name: str | None, effective: float, lineages: float, r_hat: float
) -> None:
    values = {"effective_samples": effective, "lineages": lineages, "island_r_hat": r_hat, "log_evidence_error": 3.0}
    info = {key: torch.tensor([value]) for key, value in values.items()}
    reasons = TemperedSMC().reasons(HARD, info, num_samples=100)
    assert [text for text, holds in reasons.items() if holds] == [text for text in reasons if f"({name})" in text]


def test_one_lineage_is_worth_one_sample() -> None:
    # Whatever the particles are: nothing tells how far they have drifted apart. Half of 8 are 1/(8/8 + 1/4 − 1/8).
    sampler, problem = TemperedSMC(accuracy="fast", population=8, exact_denoise=True), mixture_problem(2)
    noise = problem.noise(0, 8)
    state = sampler.init(problem, noise.use("init"))
    state, info = sampler.step(problem, replace(state, ancestor=torch.zeros_like(state.ancestor)), noise.at(0))
    assert (info["inflation"] == 8).all()
    for count, worth in ((8, 1.0), (4, 8 / 9)):
        _, figures = sampler.finish(problem, state, noise.use("finish"), count)
        assert figures["effective_samples"].tolist() == pytest.approx([worth] * 2)
        assert (figures["lineages"] == 1).all()


def test_samples_are_worth_no_more_than_they_are() -> None:
    sampler, problem = TemperedSMC(accuracy="fast", population=8, exact_denoise=True), mixture_problem(2)
    noise = problem.noise(0, 8)
    state = sampler.init(problem, noise.use("init"))
    lucky = replace(state, inflation=torch.full_like(state.inflation, 0.5))  # an estimate may be below 1
    for count in (8, 4):
        _, figures = sampler.finish(problem, lucky, noise.use("finish"), count)
        assert figures["effective_samples"].tolist() == pytest.approx([count] * 2)


def test_a_likelihood_that_says_nothing_leaves_the_prior() -> None:
    problem = Posterior(mixture(), GaussianLikelihood(ROTATED, 1e4), torch.zeros(1, 2, dtype=DOUBLE))
    samples = TemperedSMC(accuracy="fast", exact_denoise=True).sample(problem, 1000, progress=False)
    assert (samples.info["beta"] == 1).all() and (samples.info["lineages"] > 900).all()
    share = problem.prior.responsibilities(samples.x).mean((0, 1))
    assert (share - problem.prior.log_weights.exp()).abs().max() < 4 * 0.5 / math.sqrt(1000)


@pytest.mark.slow
def test_draws_of_many_measurements_are_draws_of_the_prior() -> None:
    # x* from the prior, y from x*, x from p(x | y): x and x* have one law. Kolmogorov–Smirnov on 2,000 pairs, p = .001.
    prior, size = mixture(), 2000
    likelihood = GaussianLikelihood(Matrix(torch.tensor([[1.0, 0.6]], dtype=DOUBLE)), 0.7)
    noise = Noise.of(0, size, dtype=DOUBLE)
    truth = prior.exact_sample(1, noise.use("truth"))[0]
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, noise))
    x = TemperedSMC(accuracy="fast").sample(problem, 1, progress=False).x[0]
    for direction in torch.eye(2, dtype=DOUBLE):
        a, b = (x @ direction).sort().values, (truth @ direction).sort().values
        points = torch.cat([a, b])
        distance = (torch.searchsorted(a, points, right=True) - torch.searchsorted(b, points, right=True)).abs().max()
        assert distance / size < 1.95 * math.sqrt(2 / size)


def test_bad_settings_are_refused() -> None:
    problem = mixture_problem()
    for setting in ({"population": 0}, {"population": 7}, {"accuracy": "best"}):
        with pytest.raises(InvalidValueError, match=f"TemperedSMC needs {next(iter(setting))} to be"):
            TemperedSMC(**setting)

    class Unknown(Prior):
        event_shape = (2,)

    with pytest.raises(IncompatibleError, match="takes a ScorePrior"):
        TemperedSMC().sample(problem.with_prior(Unknown()), 4, progress=False)


def test_precision_is_that_of_the_measurements() -> None:
    samples = TemperedSMC(accuracy="fast", population=16).sample(
        mixture_problem().to(dtype=torch.float32), 4, progress=False
    )
    values: dict[str, Tensor] = {name: samples.info[name] for name in ("log_evidence", "lineages")}
    assert samples.x.dtype == torch.float32 and all(v.dtype == torch.float32 for v in values.values())
