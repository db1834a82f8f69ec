import math

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.noise import Noise
from posterior.priors import GeneratorPrior
from samplers import TemperedSMC
from samplers.tempered_smc import effective_sample_size, systematic, temperature_increment
from tests.problems import DOUBLE, gaussian_problem, mixture_problem, relative_error


def test_effective_sample_size():
    weights = torch.tensor([[1.0, 1.0], [1.0, 0.0], [2.0, 0.0]], dtype=DOUBLE)
    assert torch.allclose(effective_sample_size(weights.log()), torch.tensor([16 / 6, 1.0], dtype=DOUBLE))


def test_temperature_increment_meets_its_target():
    log_likelihood = -1e4 * Noise.of(0, 3, 500, dtype=DOUBLE).normal(()).square()
    beta = torch.tensor([0.0, 0.3, 1 - 1e-9], dtype=DOUBLE)
    increment = temperature_increment(log_likelihood, beta, 250.0)
    reached = effective_sample_size(increment * log_likelihood)
    assert torch.allclose(reached[:2], torch.tensor(250.0, dtype=DOUBLE), rtol=1e-6)
    assert increment[2] == 1 - beta[2]  # the rest of the way keeps more than the target: go all of it


def test_systematic_resampling_is_within_one_of_the_expected_counts():
    log_weights = Noise.of(0, 4, 100, dtype=DOUBLE).normal(())
    index = systematic(log_weights, Noise.of(1, 4, dtype=DOUBLE).uniform()[0])
    counts = torch.stack([torch.bincount(index[:, b], minlength=100) for b in range(4)], 1)
    expected = 100 * log_weights.softmax(0)
    assert (counts >= expected.floor()).all()
    assert (counts <= expected.ceil()).all()


@pytest.mark.parametrize("exact", [True, False])
def test_gaussian_posterior(exact):
    problem = gaussian_problem(4, batch=3)
    truth = problem.prior.posterior(problem.likelihood, problem.y)
    samples = TemperedSMC(population=2000, exact_denoise=exact, steps=8).sample(problem, 2000, progress=False)
    # Particles are dependent, so the bounds are twice those of independent draws, 4 standard errors each.
    assert ((samples.mean() - truth.mean()).abs() < 8 * truth.std() / math.sqrt(2000)).all()
    for b in range(3):
        assert relative_error(torch.cov(samples.x[:, b].T), truth.covariance()[b]) < 8 * math.sqrt(4 / 2000)
    assert (samples.info["log_evidence"] - truth.log_evidence).abs().max() < 0.2


@pytest.mark.parametrize("exact", [True, False])
def test_weights_of_separate_modes(exact):
    problem = mixture_problem(batch=3)
    truth = problem.prior.posterior(problem.likelihood, problem.y)
    samples = TemperedSMC(population=2000, exact_denoise=exact).sample(problem, 2000, progress=False)
    share = problem.prior.responsibilities(samples.x).mean(0)
    assert (share - truth.weights).abs().max() < 8 * 0.5 / math.sqrt(2000)
    assert (samples.nfe == 0).all() == exact


def test_reports():
    problem = mixture_problem(batch=2)
    samples = TemperedSMC(population=64).sample(problem, 10, progress=False)
    assert samples.x.shape == (10, 2, 2)
    beta, sweeps = samples.info["beta"], (~samples.info["beta"].isnan()).sum(0)
    assert ((beta == 1).sum(0) == 10).all()
    assert (beta.diff(dim=0).nan_to_num(0) >= 0).all()
    assert (samples.info["ess"][0] > 0.79).all()
    distinct = samples.info["distinct_ancestors"]
    assert ((distinct >= 1) & (distinct <= 64)).all()
    assert torch.allclose(samples.nfe, (30 + sweeps * 6).double())
    assert (samples.nfe_grad == 0).all()


def test_more_samples_than_particles_come_from_islands():
    problem = mixture_problem()
    sampler = TemperedSMC(population=32)
    two = sampler.sample(problem, 50, progress=False)
    one = sampler.sample(problem, 32, progress=False)
    assert two.x.shape[0] == 50
    assert torch.equal(two.x[:32], one.x)
    assert not torch.equal(two.x[32:], one.x[: 50 - 32])


def test_default_population_grows_with_the_samples():
    sampler = TemperedSMC()
    assert [sampler.draws_at_once(n) for n in (1, 256, 700, 5000)] == [256, 256, 700, 1024]


def test_bad_settings_are_refused():
    problem = mixture_problem()
    for sampler in (TemperedSMC(population=1), TemperedSMC(final_sweeps=0), TemperedSMC(steps=2), TemperedSMC(ess=1.0)):
        with pytest.raises(InvalidValueError, match="TemperedSMC needs"):
            sampler.sample(problem, 4, progress=False)

    class Generator(GeneratorPrior):
        event_shape = (2,)

    with pytest.raises(IncompatibleError, match="takes a ScorePrior"):
        TemperedSMC().sample(problem.with_prior(Generator()), 4, progress=False)
