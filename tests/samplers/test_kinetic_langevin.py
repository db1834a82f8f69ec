"""Kinetic Langevin dynamics: its score, its steps, and the posteriors that it draws from."""

import math

import pytest
import torch
from torch import Tensor

from posterior.errors import IncompatibleError, InvalidValueError, NoiseLevelError
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, LinearOperator, Matrix
from posterior.priors import GaussianMixturePrior, ScorePrior
from posterior.problem import Posterior
from samplers import KineticLangevin, Sampler, TemperedSMC
from samplers.annealing import BUDGETS, KineticState
from samplers.noisy_posterior import score
from tests.problems import DOUBLE, check_moments, gaussian, gaussian_problem, measure, mixture_problem
from tests.samplers.case import Case

SHARED_CASES = {
    "KineticLangevin": Case(KineticLangevin("fast"), calls=(60, 0)),
    "KineticLangevin, modes": Case(KineticLangevin("fast", modes=True), calls=(101, 0)),
}

WIDE = Matrix(torch.tensor([[1.0, 0.5, 0.2, 0.0], [0.0, 0.3, 1.0, 2.0]], dtype=DOUBLE))
WHOLE = Inpainting(torch.ones(8, dtype=torch.bool))


def copies(problem: Posterior, count: int) -> Posterior:
    """The first measurement many times, with noise of its own each."""
    return Posterior(problem.prior, problem.likelihood, problem.y[:1].expand(count, *problem.y.shape[1:]))


def standard_errors(x: Tensor, problem: Posterior) -> tuple[float, float]:
    """Largest errors of means and of variances of the pooled samples x (S, B, n), in standard errors."""
    exact = problem.prior.posterior(problem.likelihood, problem.y[:1])
    pooled, size = x.flatten(0, 1).flatten(1), x.shape[0] * x.shape[1]
    std = exact.std()[0].flatten()
    mean = ((pooled.mean(0) - exact.mean()[0].flatten()).abs() / (std / math.sqrt(size))).max()
    variance = ((pooled.var(0) / std**2 - 1).abs() / math.sqrt(2 / size)).max()  # of a Gaussian
    return float(mean), float(variance)


def state_of(z: Tensor, momentum: Tensor, kick: Tensor) -> KineticState:
    """Chains of one measurement."""
    sized = dict(log_weights=z.new_zeros(len(z), 1), ancestor=torch.arange(len(z))[:, None])
    return KineticState(x=z, momentum=momentum, kick=kick, done=torch.tensor([False]), progress=z.new_zeros(1), **sized)


@pytest.mark.parametrize("operator", [WIDE, Inpainting(torch.tensor([True, False, True, False]))], ids=["wide", "half"])
def test_gaussian_posteriors_are_those_of_exact_samples(operator: LinearOperator) -> None:
    # 6,400 independent samples resolve 0.0125 std; five standard errors of eight figures, and 2 % that sweeps leave.
    problem = copies(measure(gaussian(4), operator, 0.2), 100)
    samples = KineticLangevin(exact_denoise=True).sample(problem, 64, progress=False)
    mean, variance = standard_errors(samples.x, problem)
    assert mean < 5 + 0.02 * 80
    assert variance < 5 + 0.02 * math.sqrt(6400 / 2)
    assert (samples.info["warned"] == 0).double().mean() > 0.95


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-3])
@pytest.mark.parametrize("sampler", [KineticLangevin(exact_denoise=True), TemperedSMC("fast", exact_denoise=True)])
def test_an_operator_that_measures_next_to_nothing_leaves_the_prior(sampler: Sampler, size: float) -> None:
    operator = Matrix(size * torch.tensor([[0.0, 0.5, 0.2, 1.0]], dtype=DOUBLE))
    problem = copies(measure(gaussian(4), operator, 0.2), 100)
    samples = sampler.sample(problem, 64, progress=False)
    exact = problem.prior.posterior(problem.likelihood, problem.y[:1])
    check_moments(samples.x, exact.mean()[0], exact.covariance()[0], within=0.1)


def test_without_sweeps_the_steps_alone_are_nearly_there(monkeypatch: pytest.MonkeyPatch) -> None:
    # BAOAB has no error of second order in z on Gaussians; so x given z is right to a few per cent before the sweeps.
    monkeypatch.setattr(KineticLangevin, "_sweep", lambda self, problem, x, fine, noise: x)
    problem = copies(measure(gaussian(4), WIDE, 0.2), 100)
    samples = KineticLangevin(exact_denoise=True).sample(problem, 64, progress=False)
    exact = problem.prior.posterior(problem.likelihood, problem.y[:1])
    ratio = samples.x.flatten(0, 1).var(0) / exact.std()[0] ** 2
    assert ((ratio - 1).abs() < 0.12).all()


def test_the_score_is_that_of_the_noisy_variable() -> None:
    problem = measure(gaussian(4), WIDE, 0.3, batch=2)
    rho = torch.tensor([0.2, 0.7], dtype=DOUBLE)
    z = Noise.of(1, 2, 3, dtype=DOUBLE).normal((4,)).requires_grad_()
    position, a = torch.arange(4, dtype=DOUBLE), WIDE.matrix
    covariance = torch.exp(-0.5 * (position[:, None] - position) ** 2 / 2) + 0.1 * torch.eye(4, dtype=DOUBLE)  # its own
    mean = torch.linspace(-1, 1, 4, dtype=DOUBLE)
    total = torch.zeros((), dtype=DOUBLE)
    for b in range(2):
        tau2 = rho[b] ** 2 * WIDE.norm() ** 2 / 0.75
        prior = torch.distributions.MultivariateNormal(mean, covariance + rho[b] ** 2 * torch.eye(4, dtype=DOUBLE))
        seen = tau2 * torch.eye(2, dtype=DOUBLE) - rho[b] ** 2 * a @ a.T
        total = total + prior.log_prob(z[:, b]).sum()
        total = total + torch.distributions.MultivariateNormal(z[:, b] @ a.T, seen).log_prob(problem.y[b]).sum()
    (expected,) = torch.autograd.grad(total, z)
    assert torch.allclose(score(problem, z.detach(), rho), expected, atol=1e-9)


def test_a_step_is_that_of_the_paper_and_goes_on_from_its_own_kick() -> None:
    problem = measure(gaussian(4), WIDE, 0.3)
    sampler, noise = KineticLangevin(), Noise.of(0, 1, 5, dtype=DOUBLE).use("one")
    rho = torch.tensor([0.4], dtype=DOUBLE)
    z, p, kick = (Noise.of(k, 1, 5, dtype=DOUBLE).normal((4,)) for k in (1, 2, 3))
    after = sampler._baoab(problem, state_of(z, p, kick), rho, noise)
    wide = torch.eye(4, dtype=DOUBLE) - 0.5 * WIDE.matrix.T @ WIDE.matrix / WIDE.norm() ** 2
    half = p + 0.7 * kick @ wide
    decay = math.exp(-0.12 * 1.4)
    turned = decay * half + math.sqrt(1 - decay**2) * noise.use("momentum").normal((4,))
    end = z + 0.7 * 0.4 * (half + turned) @ wide
    last = 0.4 * score(problem, end, rho)
    assert torch.allclose(after.x, end) and torch.allclose(after.kick, last)
    assert torch.allclose(after.momentum, turned + 0.7 * last @ wide)


def test_levels_fall_to_the_measurement_noise_and_no_further() -> None:
    problem = gaussian_problem(4, batch=2)
    sampler, scale = KineticLangevin("high"), torch.full((2,), problem.prior.sigma_data, dtype=DOUBLE)
    levels = torch.stack([sampler._rho(problem, k) for k in range(28)])
    assert torch.allclose(levels[0], math.sqrt(8) * scale)  # √(2n) σ_d
    assert torch.allclose(levels[23], scale)
    assert torch.allclose(levels[-1], math.sqrt(0.75) * problem.likelihood.noise_std.expand(2))
    for part in (levels[:24], levels[23:]):
        assert torch.allclose(part[1:] / part[:-1], part[1:2] / part[:1])
    steps = [sampler.budget.level(k) for k in range(sampler.budget.moves)]
    assert [steps.count(level) for level in range(28)] == [1] * 23 + [25] * 4 + [110]


def test_between_levels_variances_follow_the_noise() -> None:
    # Three directions: one that is not measured, one that is while the prior is broad, one in which both are certain.
    covariance = torch.diag(torch.tensor([1.0, 1e6, 1e-12], dtype=DOUBLE))
    prior = GaussianMixturePrior(torch.zeros(1, 3, dtype=DOUBLE), covariance=covariance)
    operator = Matrix(torch.diag(torch.tensor([0.0, 1.0, 1.0], dtype=DOUBLE)))
    problem = Posterior(prior, GaussianLikelihood(operator, 0.1), torch.zeros(1, 3, dtype=DOUBLE))
    sampler = KineticLangevin()
    for rho_before, rho_after, error in ((2.0, 1.0, 0.03), (1.0, 0.5, 0.03), (1.0, 0.3, 0.06)):
        start, end = (torch.tensor([rho], dtype=DOUBLE) for rho in (rho_before, rho_after))
        z = torch.ones(1, 1, 3, dtype=DOUBLE)
        kick = rho_before * score(problem, z, start)
        moved = sampler._flow(problem, state_of(z, 0 * z, kick), start, end)
        unseen = math.sqrt((1 + rho_after**2) / (1 + rho_before**2))
        expected = torch.tensor([unseen, rho_after / rho_before, rho_after / rho_before], dtype=DOUBLE)
        assert torch.allclose(moved.x[0, 0, :2], expected[:2], rtol=error)
        assert float(moved.x[0, 0, 2].abs()) <= 1.01 * float(expected[2])  # narrower at the most
        assert torch.allclose(moved.kick[0, 0, 1], kick[0, 0, 1], rtol=0.01)


@pytest.mark.parametrize("accuracy", BUDGETS)
def test_network_calls_are_those_of_the_budget(accuracy: str) -> None:
    samples = KineticLangevin(accuracy).sample(gaussian_problem(4), 3, progress=False)  # type: ignore[arg-type]
    assert samples.nfe.tolist() == [BUDGETS[accuracy].calls]
    assert not samples.nfe_grad.any()


def test_broad_heavy_tails_that_are_not_measured_are_those_of_the_prior() -> None:
    """Of 4,096 entries 128 are broad: a fifth of their values of std 17, all others of 1.9; nothing says which."""
    variances, log_weights = torch.tensor([1.9, 17.0]) ** 2, torch.tensor([0.8, 0.2]).log()

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        broad, s2 = x[:, :128, None], sigma[:, None, None] ** 2
        total = variances + s2
        share = (log_weights - 0.5 * total.log() - 0.5 * broad**2 / total).softmax(2)
        return torch.cat([(share * variances / total).sum(2) * x[:, :128], 0.25 / (0.25 + s2[..., 0]) * x[:, 128:]], 1)

    prior = ScorePrior.from_denoiser(denoise, event_shape=(4096,), sigma_min=1e-3, sigma_max=200.0, sigma_data=0.5)
    likelihood = GaussianLikelihood(Inpainting(torch.arange(4096) >= 128), 0.1)
    samples = KineticLangevin().sample(Posterior(prior, likelihood, torch.zeros(1, 4096)), 60, progress=False)
    ratio = float(samples.x[..., :128].square().mean() / (variances * log_weights.exp()).sum())
    assert abs(ratio - 1) < 0.16  # four errors: squares have a standard deviation of 3.5 in 60 · 128 values


def test_the_weak_class_is_too_wide() -> None:
    # Directions of std 60 σ_y/‖A‖: at ‖A‖, a fifth and a tenth of it they are right; at a thirtieth too wide by half.
    covariance, seen = (torch.diag(torch.tensor(v, dtype=DOUBLE)) for v in ([36.0] * 4, [1.0, 0.2, 0.1, 0.03]))
    prior = GaussianMixturePrior(torch.zeros(1, 4, dtype=DOUBLE), covariance=covariance)
    problem = copies(measure(prior, Matrix(seen), 0.1), 50)
    samples = KineticLangevin(exact_denoise=True).sample(problem, 64, progress=False)
    exact = problem.prior.posterior(problem.likelihood, problem.y[:1])
    ratio = samples.x.flatten(0, 1).var(0) / exact.std()[0] ** 2
    assert ((ratio[:3] - 1).abs() < 0.15).all()  # five errors √(2/3200)
    assert float(ratio[3]) > 1.3


def test_what_it_does_not_take_is_refused() -> None:
    problem = gaussian_problem(4)
    with pytest.raises(InvalidValueError, match="accuracy"):
        KineticLangevin("quick").sample(problem, 2, progress=False)  # type: ignore[arg-type]
    counts = PoissonLikelihood(Inpainting(torch.ones(4, dtype=torch.bool)), 1.0, 1.0)
    with pytest.raises(IncompatibleError, match="TemperedSMC"):
        KineticLangevin().sample(Posterior(problem.prior, counts, torch.ones(1, 4, dtype=DOUBLE)), 2, progress=False)
    sharp = measure(gaussian(4), WIDE, 0.1)
    sharp.prior.sigma_min = 0.09 / float(WIDE.norm())  # above its last level of √¾ σ_y/‖A‖
    with pytest.raises(NoiseLevelError, match="KineticLangevin denoises at 0.87"):
        KineticLangevin().sample(sharp, 2, progress=False)
    small = measure(gaussian(4), WIDE, 0.1)
    small.prior.sigma_max = 0.2 * small.prior.sigma_data
    with pytest.raises(NoiseLevelError, match="begins with noise that hides the image"):
        KineticLangevin().sample(small, 2, progress=False)


def test_modes_that_are_apart_keep_the_weights_of_the_start() -> None:
    # Not a promise but a limit, which the documentation states: all three modes are found.
    problem = mixture_problem(batch=1)
    samples = KineticLangevin(exact_denoise=True).sample(copies(problem, 20), 64, progress=False)
    share = problem.prior.responsibilities(samples.x.flatten(0, 1)).mean(0)
    exact = problem.prior.posterior(problem.likelihood, problem.y).weights[0]
    assert ((share > 0.02) == (exact > 0.02)).all()


def test_few_chains_of_one_mode_are_all_that_is_needed() -> None:
    info = {"lineages": torch.tensor([3.0, 4.0, 5.0]), "log_weight_spread": torch.zeros(3)}
    _, apart, few, _ = KineticLangevin(modes=True).reasons(gaussian_problem(), info, 6).values()
    assert few.tolist() == [False, False, False] and apart.isnan().all()  # three of them cannot tell modes' weights
    _, apart, few, _ = KineticLangevin(modes=True).reasons(gaussian_problem(), info, 64).values()
    assert few.tolist() == [True, True, False] and not apart.any()


def test_modes_are_weighed_among_a_hundred_chains_however_few_fit_in_a_network_call() -> None:
    assert KineticLangevin(modes=True).block(1000, 16) == 96 and KineticLangevin().block(1000, 16) == 16
    assert KineticLangevin(modes=True).block(1000, 256) == 256


@pytest.mark.filterwarnings("ignore::posterior.errors.TrustWarning")
@pytest.mark.parametrize(("count", "told"), [(2, False), (8, True)])
def test_two_draws_tell_nothing(count: int, told: bool) -> None:
    samples = KineticLangevin("fast").sample(measure(gaussian(8), WHOLE, 0.1), count, progress=False)
    assert (samples.verdict[0].level != "too few to tell") == told
