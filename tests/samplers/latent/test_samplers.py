"""Every sampler of latents on posteriors that are known."""

import warnings

import pytest
import torch
from torch import Tensor

from posterior.errors import IncompatibleError, InvalidValueError, TrustWarning
from posterior.problem import Posterior
from posterior.results import Samples
from samplers import TemperedSMC
from samplers.base import Sampler
from samplers.latent import HMC, LatentLangevin
from tests.problems import check_copies, check_moments, copies, mixture_problem
from tests.samplers.case import Case
from tests.samplers.latent.generators import (
    bent_batch,
    bent_problem,
    by_quadrature,
    inverted_problem,
    linear_posterior,
    linear_problem,
)

SHARED_CASES = {
    "HMC": Case(HMC(chains=2, burn_in=10, thinning=1, leapfrogs=2), bent_batch),
    "LatentLangevin": Case(LatentLangevin(levels=5, steps=2), bent_batch),
}

QUIET = pytest.mark.filterwarnings("ignore::posterior.errors.TrustWarning")


def features(z: Tensor) -> Tensor:
    """First and second moments, and one that tells a banana from an ellipse: (..., 2) → (..., 5)."""
    a, b = z.unbind(-1)
    return torch.stack([a, b, a**2, b**2, a**2 * b], -1)


def check_quadrature(samples: Samples, problem: Posterior) -> None:
    """Moments within 4.5 standard errors: those of effective_samples independent draws."""
    nodes, joint = by_quadrature(problem)
    weights = joint.softmax(0)
    assert samples.latent is not None
    found, every = features(samples.latent), features(nodes)
    mean = weights.T @ every
    std = (weights.T @ every**2 - mean**2).sqrt()
    error = std / samples.info["effective_samples"].clamp_max(len(samples))[:, None].sqrt()
    assert ((found.mean(0) - mean).abs() < 4.5 * error).all()


def test_tempered_smc_of_a_linear_generator() -> None:
    problem = linear_problem(count=3)
    _, _, log_evidence = linear_posterior(problem)
    samples = TemperedSMC(population=1024).sample(problem, 1024, progress=False)
    info = samples.info
    assert samples.latent is not None and samples.warnings == ()
    assert ((info["log_evidence"] - log_evidence).abs() < 4 * info["log_evidence_error"] + 0.02).all()
    assert torch.allclose(samples.x, samples.latent @ problem.prior.weight.T)


@pytest.mark.parametrize("sampler", [TemperedSMC(population=1024), HMC()], ids=lambda sampler: sampler.name)
def test_the_moments_of_a_linear_generator(sampler: Sampler) -> None:
    problem = copies(linear_problem(), 25)
    mean, covariance, _ = linear_posterior(problem)
    samples = sampler.sample(problem, 400 if isinstance(sampler, HMC) else 1024, progress=False)
    assert samples.latent is not None
    check_moments(samples.latent, mean[0], covariance, within=0.1)


@pytest.mark.parametrize("problem", [bent_problem(), inverted_problem()], ids=["two arms", "inverted"])
def test_tempered_smc_of_a_bent_generator(problem: Posterior) -> None:
    samples = TemperedSMC(population=1024).sample(problem, 1024, progress=False)
    check_quadrature(samples, problem)
    _, joint = by_quadrature(problem)
    error = (samples.info["log_evidence"] - joint.logsumexp(0)).abs()
    assert (error < 4 * samples.info["log_evidence_error"] + 0.02).all()


def test_what_hmc_reports_of_a_linear_generator() -> None:
    problem = linear_problem(count=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrustWarning)
        samples = HMC().sample(problem, 200, progress=False)
    info = samples.info
    assert samples.latent is not None and samples.chains == 4
    assert (info["acceptance"][300:].mean(0) > 0.6).all()
    assert torch.equal(info["step_size"][300], info["step_size"][-1])  # nothing is tuned once draws are kept


@QUIET
def test_hmc_is_tempered_in_the_first_half_of_its_burn_in() -> None:
    info = HMC(chains=4, burn_in=8, leapfrogs=2).sample(bent_problem(), 4, seed=1, progress=False).info
    beta = info["beta"][:, 0].log() / info["beta"][0, 0].log()  # log β falls evenly to 0, from the first
    expected = torch.tensor([1, 0.75, 0.5, 0.25, 0, 0], dtype=beta.dtype)
    assert info["beta"][0, 0] < 0.9 and torch.allclose(beta[:6], expected)


@QUIET
@pytest.mark.parametrize("problem", [bent_problem(), inverted_problem()], ids=["two arms", "inverted"])
def test_hmc_of_a_bent_generator(problem: Posterior) -> None:
    samples = HMC(chains=64, thinning=10).sample(problem, 1600, progress=False)
    check_quadrature(samples, problem)


def test_chains_in_separate_modes_warn() -> None:
    problem = bent_problem().select([0])
    problem.likelihood.noise_std.fill_(0.03)  # the arms are apart: no chain goes over
    with pytest.warns(TrustWarning, match="chains disagree"):
        HMC(burn_in=100).sample(problem, 64, progress=False)


@pytest.mark.parametrize("step_size", [0.1, 0.5])
def test_langevin_is_as_biased_as_it_says(step_size: float) -> None:
    # A step α leaves a direction of variance v with v/(1 − α/2v): α is step_size × the smallest of the variances but
    # for what the power iteration lacks, so that the sharpest has v/(1 − step_size/2). The others have memory.
    problem = copies(linear_problem(), 25)
    mean, covariance, _ = linear_posterior(problem)
    values, vectors = torch.linalg.eigh(covariance)
    samples = LatentLangevin(levels=200, step_size=step_size).sample(problem, 400, progress=False)
    assert samples.latent is not None
    sharp = ((samples.latent - mean) @ vectors[:, 0]) / values[0].sqrt()
    check_copies(sharp.square().mean(0) * (1 - step_size / 2), torch.tensor(1.0), within=0.09)
    check_copies(sharp.mean(0), torch.tensor(0.0), within=0.06)
    assert (samples.nfe_grad == 200 * 4 + 9).all() and (samples.nfe == samples.nfe_grad + 1).all()


@pytest.mark.parametrize("sampler", [HMC(), LatentLangevin()], ids=lambda sampler: sampler.name)
def test_score_priors_are_refused(sampler: Sampler) -> None:
    with pytest.raises(IncompatibleError, match="GeneratorPrior"):
        sampler.sample(mixture_problem(), 8, progress=False)


def test_settings_are_checked() -> None:
    langevin = ((LatentLangevin, "step_size", 1.5), (LatentLangevin, "levels", 1))
    for sampler, name, value in ((HMC, "leapfrogs", 0), (HMC, "chains", 0), *langevin):
        with pytest.raises(InvalidValueError, match=f"{sampler.__name__} needs {name} to be"):
            sampler(**{name: value})
    with pytest.raises(InvalidValueError, match="multiple"):
        HMC().sample(linear_problem(), 7, progress=False)


@QUIET
def test_network_calls_are_counted() -> None:
    problem = linear_problem()
    samples = HMC(chains=2, burn_in=10, thinning=1, leapfrogs=3).sample(problem, 8, progress=False)
    moves = 10 + 4  # three gradients and the likelihood where each ends; the start, and the images
    assert (samples.nfe_grad == 2 * moves * 3 / 8).all()
    assert (samples.nfe == 2 * (moves * 4 + 1) / 8 + 1).all()
