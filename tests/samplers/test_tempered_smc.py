import dataclasses
import math

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Matrix
from posterior.priors import GaussianMixturePrior, GeneratorPrior
from posterior.problem import Posterior
from samplers import TemperedSMC
from samplers.tempered_smc import effective_sample_size, systematic, temperature_increment
from tests.problems import DOUBLE, gaussian_problem, mixture, mixture_problem, relative_error


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
    assert torch.equal(samples.info["levels"], (sweeps - 9).double())  # nine of the ten last sweeps change no level
    distinct = samples.info["distinct_ancestors"]
    assert ((distinct >= 1) & (distinct <= 64)).all()
    assert torch.allclose(samples.nfe, 64 / 10 * (30 + sweeps * 6).double())
    assert (samples.nfe_grad == 0).all()


def test_more_samples_than_particles_come_from_islands():
    problem = mixture_problem()
    sampler = TemperedSMC(population=32)
    two = sampler.sample(problem, 50, progress=False)
    one = sampler.sample(problem, 32, progress=False)
    assert two.x.shape[0] == 50
    assert torch.equal(two.x[:32], one.x)

    noise = problem.noise(0, 64)
    islands = [dataclasses.replace(noise, draws=noise.draws[part]) for part in (slice(0, 32), slice(32, 64))]
    first, second = (sampler.init(problem, island).x for island in islands)
    assert not (first == second).any()  # not even the first draws are shared
    uniforms = [island.use("resample").draw(1).uniform() for island in islands]
    assert uniforms[0] != uniforms[1]


def test_islands_are_independent():
    # Two modes at ±4 and nothing to tell them apart: the share of one mode among 16 draws of an island, 300 times over.
    prior = GaussianMixturePrior(torch.tensor([[-4.0, 0.0], [4.0, 0.0]], dtype=DOUBLE), std=0.5)
    likelihood = GaussianLikelihood(Matrix(torch.tensor([[0.0, 1.0]], dtype=DOUBLE)), 1.0)
    problem = Posterior(prior, likelihood, torch.zeros(300, 1, dtype=DOUBLE))
    sampler = TemperedSMC(population=16, final_sweeps=1, exact_denoise=True)
    shares = (sampler.sample(problem, 32, progress=False).x[..., 0] > 0).double().reshape(2, 16, 300).mean(1)
    assert torch.corrcoef(shares)[0, 1].abs() < 4 / math.sqrt(300)


def test_fewer_samples_than_particles_pay_for_all():
    samples = TemperedSMC(population=32).sample(mixture_problem(), 8, progress=False)
    whole = TemperedSMC(population=32).sample(mixture_problem(), 32, progress=False)
    assert torch.equal(samples.x, whole.x[:8])
    assert torch.allclose(samples.nfe, 4 * whole.nfe)


@pytest.mark.slow
def test_draws_of_many_measurements_are_draws_of_the_prior():
    # x* from the prior, y from x*, x from p(x | y): x and x* have one law. Kolmogorov–Smirnov on 4,000 pairs, p = .001.
    prior, size = mixture(), 4000
    likelihood = GaussianLikelihood(Matrix(torch.tensor([[1.0, 0.6]], dtype=DOUBLE)), 0.7)
    noise = Noise.of(0, size, dtype=DOUBLE)
    truth = prior.exact_sample(1, noise.use("truth"))[0]
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, noise))
    x = TemperedSMC(population=64).sample(problem, 1, progress=False).x[0]
    for direction in torch.eye(2, dtype=DOUBLE):
        a, b = (x @ direction).sort().values, (truth @ direction).sort().values
        points = torch.cat([a, b])
        distance = (torch.searchsorted(a, points, right=True) - torch.searchsorted(b, points, right=True)).abs().max()
        assert distance / size < 1.95 * math.sqrt(2 / size)


def test_default_population_grows_with_the_samples():
    sampler = TemperedSMC()
    assert [sampler.draws_at_once(n) for n in (1, 256, 700, 5000)] == [256, 256, 700, 1024]


def test_bad_settings_are_refused():
    problem = mixture_problem()
    wrong = [{"population": 0}, {"population": 1}, {"final_sweeps": 0}, {"ess": 1.0}, {"steps": 2}, {"prior_steps": 0}]
    for setting in wrong:
        with pytest.raises(InvalidValueError, match=r"TemperedSMC needs|at least [23] steps"):
            TemperedSMC(**setting).sample(problem, 4, progress=False)

    class Generator(GeneratorPrior):
        event_shape = (2,)

    with pytest.raises(IncompatibleError, match="takes a ScorePrior"):
        TemperedSMC().sample(problem.with_prior(Generator()), 4, progress=False)
