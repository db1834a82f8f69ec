"""`BlockGibbs` against the joint posterior of image and parameters, by quadrature over the parameters."""

import math
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior import GaussianLikelihood, PoissonLikelihood, Posterior, Samples
from posterior.errors import IncompatibleError, InvalidValueError, NoiseLevelError, TrustWarning
from posterior.likelihoods import InverseGamma, LaplaceLikelihood, LogNormal, ParameterPrior
from posterior.noise import Noise
from posterior.operators import Blur, Inpainting, Matrix, Scaled
from posterior.priors import GaussianMixturePrior
from samplers import AuxiliaryGibbs, AuxiliaryMH, BlockGibbs, KineticLangevin, ReplicaExchange, TemperedSMC
from samplers.chains import ChainSampler
from samplers.flows import FlowHMC
from samplers.latent import HMC
from tests.problems import DOUBLE, check_copies, copies, gaussian, mixture_problem
from tests.samplers.case import Case
from tests.samplers.latent.generators import linear_problem

SHARED_CASES = {
    "BlockGibbs": Case(
        BlockGibbs(
            AuxiliaryGibbs(chains=4, burn_in=4, thinning=1, steps=4, prior_steps=5),
            {"noise_std": InverseGamma(0.7, 4.0)},
        )
    ),
}

COPIES = 30
GIBBS = AuxiliaryGibbs(chains=4, burn_in=40, thinning=2, exact_denoise=True)
REPLICAS = ReplicaExchange(chains=4, replicas=3, burn_in=40, thinning=2, exact_denoise=True)
METROPOLIS = AuxiliaryMH(chains=4, burn_in=60, thinning=3, exact_denoise=True)


def rows(count: int, n: int) -> Tensor:
    return Noise.of(3, dtype=DOUBLE).normal((count, n))[0, 0]


def measured(prior: GaussianMixturePrior, likelihood: GaussianLikelihood[Any]) -> Posterior:
    noise = Noise.of(0, dtype=DOUBLE)
    return Posterior(prior, likelihood, likelihood.simulate(prior.exact_sample(1, noise.use("truth"))[0], noise))


def by_quadrature(problem: Posterior, name: str, prior: ParameterPrior) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and variance of log θ, and the mean of x, given the first measurement, from p(y | θ) and E[x | y, θ]."""
    log = torch.linspace(-4, 3, 200, dtype=DOUBLE) + math.log(prior.centre)
    values, means = [], []
    for theta in log.exp().tolist():
        here = problem.select([0]).with_parameters(**{name: theta})
        exact = here.prior.posterior(here.likelihood, here.y)
        values.append(exact.log_evidence[0])
        means.append(exact.mean()[0].flatten())
    weights = torch.softmax(torch.stack(values) + prior.log_prob(log.exp()) + log, 0)
    assert weights[0] < 1e-4 and weights[-1] < 1e-4
    mean = weights @ log
    return mean, weights @ (log - mean).square(), weights @ torch.stack(means)


def check_joint(problem: Posterior, sampler: BlockGibbs, name: str, draws: int = 160, within: float = 0.25) -> Samples:
    """The moments of a parameter's logarithm, in units of its spread, and the mean of x, in units of 0.5."""
    mean, variance, image = by_quadrature(problem, name, sampler.parameters[name])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = sampler.sample(copies(problem, COPIES), draws, progress=False)
    standard = (samples.parameters[name].log() - mean) / variance.sqrt()
    check_copies(standard.mean(0), torch.zeros((), dtype=DOUBLE), within)
    check_copies(standard.square().mean(0), torch.ones((), dtype=DOUBLE), 2 * within)
    check_copies(samples.x.mean(0).flatten(1) / 0.5, image / 0.5, 1.5 * within)
    return samples


@pytest.mark.parametrize("prior", [InverseGamma(0.3, 4.0), LogNormal(0.3, 0.6)], ids=lambda prior: type(prior).__name__)
@pytest.mark.parametrize("inner", [GIBBS, REPLICAS], ids=lambda inner: inner.name)
def test_an_unknown_noise_level(inner: ChainSampler[Any], prior: ParameterPrior) -> None:
    """Both ways of drawing σ, and three temperatures: each sees the number of values, the Jacobian and the prior."""
    problem = measured(gaussian(3), GaussianLikelihood(Matrix(rows(7, 3)), 0.4))
    samples = check_joint(problem, BlockGibbs(inner, {"noise_std": prior}), "noise_std")
    assert samples.parameters["noise_std"].shape == (160, COPIES) and samples.chains == 4


def test_an_unknown_blur() -> None:
    prior = GaussianMixturePrior(torch.zeros(1, 1, 5, 5, dtype=DOUBLE), std=1.0)
    problem = measured(prior, GaussianLikelihood(Blur.gaussian((1, 5, 5), 0.8).double(), 0.2))
    check_joint(problem, BlockGibbs(GIBBS, {"std": LogNormal(0.7, 0.3)}), "std", draws=100, within=0.4)


def test_an_unknown_gain_behind_an_unknown_noise_level() -> None:
    """Two parameters: a gain that multiplies known images, so that both have a posterior by quadrature."""
    prior = GaussianMixturePrior(torch.linspace(1.0, 2.0, 12, dtype=DOUBLE)[None], std=0.02)
    likelihood = GaussianLikelihood(Scaled(Inpainting(torch.ones(12, dtype=torch.bool)), 1.4).double(), 0.3)
    problem = measured(prior, likelihood)
    parameters = {"factor": LogNormal(1.0, 0.4), "noise_std": InverseGamma(0.3, 4.0)}
    grids = [prior.centre * torch.linspace(-2.5, 2.5, 81, dtype=DOUBLE).exp() for prior in parameters.values()]
    density = torch.empty(81, 81, dtype=DOUBLE)
    for j, std in enumerate(grids[1]):  # y ~ N(c·mean, (0.02 c)² + σ²)
        spread = ((0.02 * grids[0]) ** 2 + std**2).sqrt()[:, None]
        standard = (problem.y - grids[0][:, None] * prior.means.reshape(1, 12)) / spread
        density[:, j] = (-0.5 * standard.square() - spread.log()).sum(1)
    for axis, one in enumerate(parameters.values()):
        density = density + (one.log_prob(grids[axis]) + grids[axis].log()).unsqueeze(1 - axis)
    weights = density.flatten().softmax(0).reshape(81, 81)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = BlockGibbs(GIBBS, parameters).sample(copies(problem, COPIES), 160, progress=False)
    for axis, name in enumerate(parameters):
        log, share = grids[axis].log(), weights.sum(1 - axis)
        mean = share @ log
        variance = share @ (log - mean).square()
        standard = (samples.parameters[name].log() - mean) / variance.sqrt()
        check_copies(standard.mean(0), torch.zeros((), dtype=DOUBLE), 0.25)
        check_copies(standard.square().mean(0), torch.ones((), dtype=DOUBLE), 0.5)


@pytest.mark.slow
def test_an_unknown_gain_of_counts() -> None:
    """One unknown brightness seen by six sensors, whose joint posterior with their gain is a sum over a plane."""
    prior = GaussianMixturePrior(torch.tensor([[0.2]], dtype=DOUBLE), std=0.3)
    likelihood = PoissonLikelihood(Matrix(torch.linspace(0.5, 1.5, 6, dtype=DOUBLE)[:, None]), 6.0, 0.5)
    problem = Posterior(prior, likelihood, torch.tensor([[3.0, 2.0, 5.0, 4.0, 6.0, 9.0]], dtype=DOUBLE))
    unknown = LogNormal(6.0, 0.4)
    log = math.log(6.0) + torch.linspace(-2.4, 2.4, 121, dtype=DOUBLE)
    x = torch.linspace(-1.3, 1.7, 121, dtype=DOUBLE)
    density = torch.stack([problem.with_parameters(gain=g).log_likelihood(x[:, None, None])[:, 0] for g in log.exp()])
    density = density + (unknown.log_prob(log.exp()) + log)[:, None] - 0.5 * ((x - 0.2) / 0.3) ** 2
    weights = density.flatten().softmax(0).reshape(121, 121)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = BlockGibbs(METROPOLIS, {"gain": unknown}).sample(copies(problem, COPIES), 200, progress=False)
    for values, grid, axis in ((samples.parameters["gain"].log(), log, 0), (samples.x[..., 0], x, 1)):
        share = weights.sum(1 - axis)
        mean = share @ grid
        standard = (values - mean) / (share @ (grid - mean).square()).sqrt()
        check_copies(standard.mean(0), torch.zeros((), dtype=DOUBLE), 0.4)
        check_copies(standard.square().mean(0), torch.ones((), dtype=DOUBLE), 0.6)


def test_an_unknown_noise_level_behind_a_generator() -> None:
    """A linear generator is a Gaussian prior of x, so that log p(y | σ) is known."""
    problem = linear_problem(std=0.3, count=1)
    unknown = InverseGamma(0.3, 6.0)
    units = torch.eye(problem.prior.latent_shape[0], dtype=DOUBLE)
    offset = problem.likelihood.noiseless(problem.prior(0 * units[:1]))
    root = (problem.likelihood.noiseless(problem.prior(units)) - offset).flatten(1)  # (latent, measured)
    log = math.log(0.3) + torch.linspace(-3, 3, 121, dtype=DOUBLE)
    density = []
    for std in log.exp():
        covariance = root.mT @ root + std**2 * torch.eye(root.shape[1], dtype=DOUBLE)
        law = torch.distributions.MultivariateNormal(offset.flatten(), covariance)
        density.append(law.log_prob(problem.y[0].flatten()))
    share = (torch.stack(density) + unknown.log_prob(log.exp()) + log).softmax(0)
    mean = share @ log
    inner = HMC(chains=4, burn_in=60, thinning=2, leapfrogs=5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = BlockGibbs(inner, {"noise_std": unknown}).sample(copies(problem, COPIES), 160, progress=False)
    standard = (samples.parameters["noise_std"].log() - mean) / (share @ (log - mean).square()).sqrt()
    check_copies(standard.mean(0), torch.zeros((), dtype=DOUBLE), 0.3)
    check_copies(standard.square().mean(0), torch.ones((), dtype=DOUBLE), 0.6)
    calls = 4 * (1 + (60 + 80) * 6) + 160 + 4 * (1 + 140)  # HMC's own, and an image for each θ
    assert torch.allclose(samples.nfe, torch.tensor(calls / 160, dtype=DOUBLE))


def test_a_sweep_leaves_the_joint_law_as_it_is() -> None:
    """Truths, σ and measurements of the model are exact draws given y, and stay so (Geweke 2004)."""
    prior, batch, unknown = gaussian(4), 3000, LogNormal(0.4, 0.5)
    noise = Noise.of(5, batch, 4, dtype=DOUBLE)
    theta, x = unknown.sample(noise.use("theta"))[0], prior.exact_sample(1, noise.use("x"))[0]
    operator = Matrix(rows(6, 4))
    y = GaussianLikelihood(operator, theta).simulate(x, noise.use("y"))
    problem = Posterior(prior, GaussianLikelihood(operator, 0.4), y)
    sampler = BlockGibbs(replace(GIBBS, thinning=1), {"noise_std": unknown})
    state = sampler.init(problem, noise)
    state.theta[:] = theta[:, None, None, None]
    state.x[:] = x[None, :, None]
    many, inner = sampler._many(problem), sampler._rows(state)
    state = sampler._with_likelihoods(many, state, inner, sampler._images(many, inner), state.theta)
    for step in range(3):
        state.step = GIBBS.burn_in  # what is tuned in burn-in stays as it is
        state, _ = sampler.step(problem, state, noise.at(step))
    log = state.theta[:, :, 0, 0].log()
    misfit = ((y[:, None] - state.x[0] @ operator.matrix.mT) / state.theta[:, :, 0]).square().sum(2)
    changes = (log - theta.log()[:, None], log.square() - theta.log().square()[:, None], misfit - 6.0)
    for change in changes:  # means over chains are independent between measurements: four standard errors
        each = change.mean(1)
        assert each.mean().abs() < 4 * each.std() / batch**0.5
    assert (log - theta.log()[:, None]).std() > 0.2  # and σ does move


def test_what_samples_say_of_parameters(tmp_path: Any) -> None:
    problem = measured(gaussian(3), GaussianLikelihood(Matrix(rows(30, 3)), 0.4))
    with warnings.catch_warnings():
        warnings.simplefilter("error", TrustWarning)  # a model whose σ is right is not doubted, wherever it is posed
        posed = problem.with_parameters(noise_std=0.05)
        samples = BlockGibbs(GIBBS, {"noise_std": InverseGamma(0.1, 1.0)}).sample(posed, 400, progress=False)
    assert "noise_std" in str(samples)
    drawn = samples.parameters["noise_std"]
    assert torch.allclose(samples.info["mean_noise_std"], drawn.mean(0)) and samples.info["r_hat_noise_std"] < 1.05
    back = Samples.load(samples.save(tmp_path / "samples"))
    assert torch.equal(back.parameters["noise_std"], drawn)
    tree = samples.to_xarray()
    assert tree["posterior/noise_std"].dims == ("chain", "draw", "measurement")
    assert torch.equal(torch.from_numpy(tree["posterior/noise_std"].values)[1], drawn[100:200])


def test_a_sampler_that_is_wrong_inside_is_seen_by_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sample is moved at its own σ; with those of others it would change."""
    problem = measured(gaussian(3), GaussianLikelihood(Matrix(rows(30, 3)), 0.4))
    sampler = BlockGibbs(GIBBS, {"noise_std": InverseGamma(0.4, 1.0)})
    monkeypatch.setattr(BlockGibbs, "_at", lambda self, many, theta: many.with_parameters(noise_std=3.0))
    with pytest.warns(TrustWarning, match="a move that leaves the posterior"):
        sampler.sample(problem, 80, progress=False)


def test_chains_have_parameters_of_their_own() -> None:
    states: list[Any] = []
    problem = mixture_problem(2)
    SHARED_CASES["BlockGibbs"].method.sample(
        problem, 8, progress=False, callback=lambda step, state, info: states.append(state)
    )
    assert states[0].theta.shape == (2, 4, 1, 1) and states[0].x.shape == (1, 2, 4, 2)
    assert len(states[0].theta.unique()) == 8  # each began as a draw of its own


def test_replicas_take_their_parameters_along(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where θ stays what it is, it goes wherever its replica goes, and the likelihood is that of both."""
    states: list[Any] = []
    monkeypatch.setattr(
        "samplers.block_gibbs.moved_parameters", lambda many, priors, images, theta, walk, *rest: (theta, walk)
    )
    problem = mixture_problem(2)
    BlockGibbs(REPLICAS, {"noise_std": LogNormal(0.7, 0.5)}).sample(
        problem, 8, progress=False, callback=lambda step, state, info: states.append(state)
    )
    before, after = states[-2:]
    place = after.origin[0]
    assert (place != torch.arange(3)).any()
    assert torch.equal(after.theta[..., 0], before.theta[..., 0].gather(2, place))
    for b in range(2):
        here = problem.select([b] * 12).with_parameters(noise_std=after.theta[b].flatten())
        expected = here.log_likelihood(after.x[:, b].reshape(1, 12, 2))
        assert torch.allclose(after.log_likelihood[:, b].flatten(), expected.flatten())


def test_other_samplers_are_refused_by_name() -> None:
    parameters = {"noise_std": LogNormal(0.1, 1.0)}
    for inner in (TemperedSMC(), KineticLangevin(), FlowHMC()):
        with pytest.raises(InvalidValueError, match=rf"not {inner.name}: take AuxiliaryMH"):
            BlockGibbs(inner, parameters)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="at least 4 chains"):
        BlockGibbs(replace(GIBBS, chains=3), parameters)
    with pytest.raises(InvalidValueError, match="the prior of noise_std must be a ParameterPrior"):
        BlockGibbs(GIBBS, {"noise_std": 0.1})  # type: ignore[dict-item]
    with pytest.raises(InvalidValueError, match="take AuxiliaryGibbs alone"):
        BlockGibbs(GIBBS, {})


def test_what_does_not_fit_the_problem_is_refused() -> None:
    problem = mixture_problem()
    with pytest.raises(InvalidValueError, match=r"no one parameter 'std' .*did you mean 'noise_std'"):
        BlockGibbs(GIBBS, {"std": LogNormal(1.0, 1.0)}).sample(problem, 8, progress=False)
    laplace = Posterior(problem.prior, LaplaceLikelihood(problem.operator, 0.3), problem.y)
    with pytest.raises(IncompatibleError, match="takes Gaussian noise on a linear operator"):
        BlockGibbs(GIBBS, {"scale": LogNormal(1.0, 1.0)}).sample(laplace, 8, progress=False)
    with pytest.raises(NoiseLevelError):
        BlockGibbs(GIBBS, {"noise_std": LogNormal(1e-6, 0.1)}).sample(problem, 8, progress=False)


def test_noise_levels_that_the_prior_cannot_do_are_never_drawn() -> None:
    problem = mixture_problem(3)
    level = 1.2 * problem.prior.sigma_min * float(problem.operator.norm())
    sampler = BlockGibbs(replace(GIBBS, burn_in=4), {"noise_std": LogNormal(1.5 * level, 0.2)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = sampler.sample(Posterior(problem.prior, problem.likelihood, problem.y), 40, progress=False)
    least = problem.prior.sigma_min * problem.operator.norm() / 0.95
    assert samples.parameters["noise_std"].min() >= least
