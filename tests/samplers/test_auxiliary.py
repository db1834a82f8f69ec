import warnings

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError, TrustWarning
from posterior.likelihoods import GaussianLikelihood, OneBitLikelihood, PoissonLikelihood, StudentTLikelihood
from posterior.operators import Identity, Magnitude, Matrix
from posterior.priors import GaussianMixturePrior
from posterior.priors.exact import ExactPosterior
from posterior.problem import Posterior
from posterior.results import Samples
from samplers import AuxiliaryGibbs, AuxiliaryMH
from samplers.auxiliary_kernel import largest_rho
from samplers.curvature import Curvature
from tests.problems import DOUBLE, check_moments, gaussian_problem, measure, mixture_problem
from tests.samplers.case import Case, counts_problem

SHARED_CASES = {
    "AuxiliaryGibbs": Case(AuxiliaryGibbs(chains=2, burn_in=3, thinning=1, steps=4, prior_steps=5)),
    "AuxiliaryMH": Case(AuxiliaryMH(chains=4, burn_in=3, thinning=1, steps=4, prior_steps=5), counts_problem),
}

ROTATED = Matrix(1.3 * torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=DOUBLE))
each_sampler = pytest.mark.parametrize("sampler", [AuxiliaryGibbs, AuxiliaryMH])


def check_chains(samples: Samples, exact: ExactPosterior, within: float) -> None:
    """The moments of each measurement, whose chains are independent copies of it."""
    chains = samples.x.unflatten(0, (samples.chains, -1)).transpose(0, 1)  # (samples of a chain, chains, B, *event)
    for b in range(chains.shape[2]):
        check_moments(chains[:, :, b], exact.mean()[b], exact.covariance()[b], within, bias=1e-3)  # of quadratures


@pytest.mark.parametrize("exact", [True, False])
@each_sampler
def test_gaussian_posterior(sampler: type[AuxiliaryMH], exact: bool) -> None:
    problem = gaussian_problem(4, batch=2)
    chains = sampler(chains=200, burn_in=40, thinning=2, steps=8, exact_denoise=exact)
    samples = chains.sample(problem, 20_000, progress=False)
    check_chains(samples, problem.prior.posterior(problem.likelihood, problem.y), within=0.08)
    assert (samples.info["acceptance"] == 1).all()


def test_long_chains_of_one_mode_do_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrustWarning)
        samples = AuxiliaryGibbs(exact_denoise=True).sample(gaussian_problem(4), 800, progress=False)
    assert samples.warnings == ()
    assert (samples.info["r_hat"] < 1.05).all() and (samples.info["effective_samples"] > 100).all()


@pytest.mark.parametrize(
    ("likelihood", "y"),
    [
        (StudentTLikelihood(ROTATED, 0.4, 3.0), [0.5, 1.0]),
        (PoissonLikelihood(ROTATED, 2.0, 0.5), [2.0, 1.0]),
        (OneBitLikelihood(ROTATED, 0.5), [1.0, -1.0]),
        (GaussianLikelihood(Magnitude(ROTATED), 0.8), [0.4, 1.5]),
    ],
    ids=["outliers", "counts", "signs", "magnitude"],
)
def test_other_likelihoods(likelihood: StudentTLikelihood, y: list[float]) -> None:
    # One component: chains do not have to find a mode.
    prior = GaussianMixturePrior(torch.tensor([[0.3, 0.5]], dtype=DOUBLE), std=0.7)
    problem = Posterior(prior, likelihood, torch.tensor([y], dtype=DOUBLE))
    chains = AuxiliaryMH(chains=1500, burn_in=60, thinning=3, exact_denoise=True)
    samples = chains.sample(problem, 15_000, progress=False)
    check_chains(samples, prior.posterior(likelihood, problem.y), within=0.15)
    accepted = samples.info["acceptance"][60:]
    assert (accepted > 0.2).all() and (accepted < 1).all()


@each_sampler
def test_draws_of_a_chain_are_consecutive_and_thinned(sampler: type[AuxiliaryMH]) -> None:
    seen = []
    chains = sampler(chains=3, burn_in=4, thinning=2, steps=4, prior_steps=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = chains.sample(
            mixture_problem(batch=2), 15, progress=False, callback=lambda step, state, info: seen.append(state.x)
        )
    assert len(seen) == 4 + 5 * 2
    expected = torch.stack(seen[5::2], 1)  # the sixth state is the second after burn-in
    assert torch.equal(samples.x.unflatten(0, (3, 5)), expected)
    assert samples.chains == chains.num_chains == 3
    # three chains for 15 draws: 5 calls to begin with and 4 a move
    assert torch.allclose(samples.nfe, torch.tensor(3 / 15 * (5 + 14 * 4), dtype=DOUBLE))
    assert samples.info["beta"].shape == (14, 2)
    # by equal factors over the first half of burn-in: 1/T, T^−½, 1
    beta = samples.info["beta"]
    assert (beta[0] < 1).all() and torch.allclose(beta[1] ** 2, beta[0]) and (beta[2:] == 1).all()


def test_settings_are_fixed_after_burn_in() -> None:
    problem = Posterior(
        mixture_problem().prior, StudentTLikelihood(ROTATED, 0.4, 3.0), torch.tensor([[0.5, 1.0]], dtype=DOUBLE)
    )
    states = []
    AuxiliaryMH(chains=4, burn_in=10, thinning=2, exact_denoise=True).sample(
        problem, 8, progress=False, callback=lambda step, state, info: states.append(state)
    )
    assert len({float(state.scale) for state in states[:10]}) > 5
    for state in states[10:]:
        assert torch.equal(state.scale, states[9].scale) and torch.equal(state.pilot, states[9].pilot)


def test_moves_are_a_fraction_of_the_largest() -> None:
    problem = Posterior(
        mixture_problem().prior, StudentTLikelihood(ROTATED, 0.4, 3.0), torch.tensor([[0.5, 1.0]], dtype=DOUBLE)
    )
    states = []
    info = AuxiliaryMH(chains=4, burn_in=6, thinning=1, exact_denoise=True).sample(
        problem, 8, progress=False, callback=lambda step, state, info: states.append(state)
    ).info  # fmt: skip
    for k in range(1, 8):
        rho = states[k - 1].scale * largest_rho(problem, Curvature(problem, states[k - 1].pilot), info["beta"][k])
        assert torch.allclose(info["rho"][k], rho)
    assert len({float(state.scale) for state in states}) > 3


@each_sampler
def test_chains_in_separate_modes_warn(sampler: type[AuxiliaryMH]) -> None:
    # Two far modes that explain y alike; a chain stays where it began, so that chains disagree.
    prior = GaussianMixturePrior(torch.tensor([[-4.0, 0.0], [4.0, 0.0]], dtype=DOUBLE), std=0.3)
    likelihood = GaussianLikelihood(Matrix(torch.tensor([[0.1, 1.0]], dtype=DOUBLE)), 0.5)
    problem = Posterior(prior, likelihood, torch.zeros(1, 1, dtype=DOUBLE), ids=["two"])
    with pytest.warns(TrustWarning, match=r"measurement\(s\) two: the chains disagree \(r_hat\)"):
        samples = sampler(burn_in=40, exact_denoise=True).sample(problem, 80, progress=False)
    assert len(samples.warnings) >= 1 and samples.info["r_hat"] > 1.05


def test_few_draws_of_a_chain_say_that_they_say_nothing() -> None:
    samples = AuxiliaryGibbs(burn_in=4, thinning=1, exact_denoise=True).sample(mixture_problem(), 8, progress=False)
    assert samples.info["r_hat"].isnan().all() and samples.info["effective_samples"].isnan().all()
    assert [one.level for one in samples.verdict] == ["too few to tell"]


def test_few_short_chains_that_are_fine_do_not_disagree() -> None:
    # 256 pixels that are hardly measured: draws of a chain, five moves apart, are nearly independent, and the largest
    # R̂ of eight chains of eight is above 1.15 by chance alone.
    problem = measure(GaussianMixturePrior(torch.zeros(1, 256, dtype=DOUBLE)), Identity((256,)), 3.0)
    samples = AuxiliaryGibbs(burn_in=10, exact_denoise=True).sample(problem, 64, progress=False)
    assert samples.info["r_hat"] > 1.15
    assert "the chains disagree (r_hat)" not in samples.verdict[0].findings
    assert samples.verdict[0].level in ("sound", "too few to tell")


@each_sampler
def test_bad_settings_are_refused(sampler: type[AuxiliaryMH]) -> None:
    problem = mixture_problem()
    for setting in ({"chains": 0}, {"burn_in": 1}, {"thinning": 0}):
        with pytest.raises(InvalidValueError, match=f"{sampler.__name__} needs {next(iter(setting))} to be"):
            sampler(**setting)
    with pytest.raises(InvalidValueError, match="num_samples must be a multiple of 8, not 12"):
        sampler().sample(problem, 12, progress=False)


def test_gibbs_takes_gaussian_noise_on_linear_operators_only() -> None:
    y = torch.ones(1, 2, dtype=DOUBLE)
    for likelihood in (StudentTLikelihood(ROTATED, 0.4, 3.0), GaussianLikelihood(Magnitude(ROTATED), 0.4)):
        with pytest.raises(IncompatibleError, match="AuxiliaryMH takes any likelihood"):
            AuxiliaryGibbs().sample(Posterior(mixture_problem().prior, likelihood, y), 8, progress=False)
