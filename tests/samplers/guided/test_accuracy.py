"""Where a guided sampler is right, it is; and what it does in one step."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from posterior.diagnostics import mode_weight_error
from posterior.errors import IncompatibleError, InvalidValueError, TrustWarning
from posterior.likelihoods import GaussianLikelihood, LaplaceLikelihood
from posterior.noise import Noise
from posterior.operators import Matrix
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers.guided import (
    DAPS,
    DDNM,
    DDRM,
    DPS,
    MMPS,
    TDS,
    TMPD,
    DiffPIR,
    MCGDiff,
    PiGDM,
    PnPDM,
    PnPLangevin,
    PredictorCorrector,
    REDDiff,
)  # fmt: skip
from samplers.guided.base import Guided, ddpm_levels, karras_levels
from samplers.guided.conditional import Conditional
from samplers.state import State
from tests.problems import DOUBLE, gaussian_problem, mixture_problem


def white_problem(noise_std: float = 0.3) -> Posterior:
    """A white Gaussian of mean 0.2 and std 0.5 under a matrix of unequal singular values."""
    prior = GaussianMixturePrior(torch.full((1, 4), 0.2, dtype=DOUBLE), std=0.5)
    matrix = torch.tensor([[1.0, 0.5, 0.0, -0.5], [0.0, 0.3, 0.3, 0.1]], dtype=DOUBLE)
    y = torch.tensor([[0.9, -0.4]], dtype=DOUBLE)
    return Posterior(prior, GaussianLikelihood(Matrix(matrix), noise_std), y)


def orthogonal_problem() -> Posterior:
    """A white Gaussian under orthogonal rows of different lengths."""
    white = white_problem()
    operator = Matrix(torch.tensor([[2.0, 0.0, 0.0, 0.0], [0.0, 0.6, 0.8, 0.0]], dtype=DOUBLE))
    return Posterior(white.prior, GaussianLikelihood(operator, 0.3), white.y)


GAUSSIAN = [
    (PiGDM(), white_problem()),
    (TMPD(), orthogonal_problem()),
    (MMPS(), white_problem()),
    (MMPS(), gaussian_problem(4)),
]
each_gaussian = pytest.mark.parametrize(("sampler", "problem"), GAUSSIAN, ids=lambda v: getattr(v, "name", ""))


@each_gaussian
def test_the_conditional_mean_is_exact(sampler: Conditional, problem: Posterior) -> None:
    # x0 ~ N(m, C) seen as x = x0 + σε and as y: precisions add up, C⁻¹ + 1/σ² + AᵀA/σ_y²
    sigma, eye = 0.8, torch.eye(4, dtype=DOUBLE)
    x = Noise.of(5, 1, 3, dtype=DOUBLE).normal((4,))
    flat = GaussianLikelihood(problem.operator, 1e6)
    prior = problem.prior.posterior(flat, problem.y)  # of a measurement that says nothing
    weight, mean = torch.linalg.inv(prior.covariance()[0]), prior.mean()[0]
    matrix, variance = problem.operator(eye).T, float(problem.likelihood.noise_std) ** 2
    right = weight @ mean + x / sigma**2 + problem.y[0] @ matrix / variance
    expected = right @ torch.linalg.inv(weight + eye / sigma**2 + matrix.T @ matrix / variance)
    assert torch.allclose(sampler.mean(problem, x, sigma), expected, atol=1e-5)


@each_gaussian
def test_guidance_is_exact_for_a_gaussian(sampler: Guided, problem: Posterior) -> None:
    # 4,000 draws: a mean is right to 1.6 % of a std, a covariance's norm to 2.2 % or so; four errors
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    draws = sampler.sample(problem, 4000, progress=False).x[:, 0]
    assert ((draws.mean(0) - exact.mean()[0]).abs() / exact.std()[0] < 0.064).all()
    cov = exact.covariance()[0]
    assert (draws.T.cov() - cov).norm() / cov.norm() < 0.088


def test_steps_are_of_second_order() -> None:
    # η = 0 moves a Gaussian by a map alone: half the step, a quarter of the error of its spread
    problem = white_problem()
    few, more, most = (
        MMPS(steps=n, eta=0).sample(problem, 4, progress=False).x for n in (20, 40, 640)
    )  # fmt: skip
    ratio = (few - most).norm() / (more - most).norm()
    assert 3.2 < ratio < 6


def test_plug_and_play_is_exact_for_a_noisier_measurement() -> None:
    # The moves at ρ leave the posterior for noise of variance σ_y² + ρ²AAᵀ, a mask's σ_y² + ρ², as it is.
    problem, rho = gaussian_problem(4), 0.4
    wider = GaussianLikelihood(problem.operator, math.sqrt(0.3**2 + rho**2))
    exact = problem.prior.posterior(wider, problem.y)
    draws = PnPDM(rho_last=rho, burn_out=60).sample(problem, 2000, progress=False).x[:, 0]
    assert ((draws.mean(0) - exact.mean()[0]).abs() / exact.std()[0] < 0.1).all()
    assert ((draws.std(0) / exact.std()[0] - 1).abs() < 0.08).all()


def test_plug_and_play_langevin_is_exact_for_a_noisier_prior() -> None:
    # p_σ of a white Gaussian of std 0.5 has std √(0.5² + σ²). Steps of 0.1 leave variances 1/(1 − 0.05) too large.
    problem, sigma = white_problem(), 0.3
    wider = GaussianMixturePrior(torch.full((1, 4), 0.2, dtype=DOUBLE), std=math.sqrt(0.25 + sigma**2))
    exact = wider.posterior(problem.likelihood, problem.y)
    sampler = PnPLangevin(sigma=sigma, step_size=0.1, langevin_steps=300)
    draws = sampler.sample(problem, 2000, progress=False).x[:, 0]
    assert ((draws.mean(0) - exact.mean()[0]).abs() / exact.std()[0] < 0.1).all()
    assert ((draws.std(0) / exact.std()[0] - 1).abs() < 0.06 + 0.025).all()  # four errors of a std, and the steps


def test_plug_and_play_langevin_comes_down_as_diffpir() -> None:
    problem = white_problem()
    sampler = PnPLangevin(steps=10, langevin_steps=3)
    assert sampler.levels(problem.prior) == (*ddpm_levels(10, 0.04, problem.prior.sigma_max), 0.04, 0.04, 0.04)
    x, noise = Noise.of(0, 1, 5, dtype=DOUBLE).normal((4,)), Noise.of(3, 1, 5, dtype=DOUBLE)
    expected = DiffPIR(weight=1.0, zeta=1.0).move(problem, x, 2.0, 1.0, noise)
    for step, descends in ((0, True), (9, True), (10, False)):
        state = State(x=x, done=torch.zeros(1, dtype=torch.bool), progress=torch.zeros(1), step=step)
        assert torch.equal(sampler.advance(problem, state, 2.0, 1.0, noise).x, expected) == descends
    for wrong in ({"sigma": 0.0}, {"sigma": 1e4}, {"step_size": 2.0}, {"langevin_steps": 0}):
        with pytest.raises(InvalidValueError, match="PnPLangevin needs"):
            replace(sampler, **wrong).sample(problem, 2, progress=False)


@pytest.mark.parametrize("sampler", [TDS(population=4000, steps=200), MCGDiff(population=4000, steps=200)])
def test_many_particles_find_the_modes(sampler: Guided) -> None:
    # A share comes from a hundred families or so: 0.05 off at one standard deviation; what differs is half of three
    problem = mixture_problem(3)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    samples = sampler.sample(problem, 4000, progress=False)
    for b in range(3):
        found = problem.prior.responsibilities(samples.x[:, b]).mean(0)
        assert mode_weight_error(found, exact.weights[b]) < 0.06


def test_the_evidence_of_tds() -> None:
    # Noise of 3 leaves weights of relative variance below 1: log p(y) is right to √(1/4000) = 0.016; three of that
    problem = mixture_problem(3, noise_std=3.0)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    samples = TDS(population=4000).sample(problem, 4000, progress=False)
    assert ((samples.info["log_evidence"] - exact.log_evidence).abs() < 0.05).all()


def test_few_families_are_told() -> None:
    with pytest.warns(TrustWarning, match="few of the first"):
        samples = TDS(population=12).sample(mixture_problem(), 12, progress=False)
    assert bool(samples.info["warned"]) and samples.warnings  # type: ignore[arg-type]


@pytest.mark.parametrize("sampler", [DDRM(), DDNM(), DiffPIR()], ids=lambda s: s.name)
def test_precise_measurements_are_explained(sampler: Guided) -> None:
    problem = white_problem(noise_std=1e-3)
    # A last level of 0.01 is left in what the last step denoises: ‖A‖ = 1.23 times that, four deviations
    draws = sampler.sample(problem, 20, progress=False)
    residual = problem.operator(draws.x) - problem.y
    assert residual.abs().max() < 4 * 1.23 * 0.01 + 4e-3
    assert draws.x.std(0).max() > 0.1


def test_one_step_of_dps() -> None:
    # White Gaussian: D = (0.25 x + 0.2 σ²)/(0.25 + σ²), so that J = 0.25/(0.25 + σ²)
    problem = white_problem()
    x = Noise.of(0, 1, 5, dtype=DOUBLE).normal((4,))
    sigma, following = 2.0, 1.0
    a, j = problem.operator, 0.25 / (0.25 + sigma**2)
    clean = j * x + (1 - j) * 0.2
    residual = problem.y - a(clean)
    slope = -j * a.adjoint(residual) / residual.norm(dim=-1, keepdim=True)
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    spread = following * math.sqrt(1 - 0.25)
    ancestral = clean + 0.25 * (x - clean) + spread * noise.use("renoise").normal((4,))
    expected = ancestral - 0.7 * math.sqrt(5 * 2) * slope
    assert torch.allclose(DPS(step_size=0.7).move(problem, x, sigma, following, noise), expected)


def spectral() -> tuple[Posterior, Tensor, Tensor, Tensor, Tensor]:
    """The white problem with A = U S Vᵀ: singular values s (2,), V (4, 4), images x, and ȳ = S⁻¹Uᵀy."""
    problem = white_problem()
    u, s, vt = torch.linalg.svd(problem.operator.matrix)
    x = Noise.of(0, 1, 5, dtype=DOUBLE).normal((4,))
    return problem, s, vt.mT, x, (problem.y @ u) / s


def test_one_step_of_ddrm() -> None:
    problem, s, v, x, y_bar = spectral()
    sigma, following, eta, eta_b = 1.0, 0.5, 0.8, 0.9
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    clean, x_bar, xi = problem.prior.denoise(x, sigma) @ v, x @ v, noise.use("renoise").normal((4,)) @ v
    fresh = eta * following
    kept = math.sqrt(1 - eta**2) * following
    expected = clean + kept * (x_bar - clean) / sigma + fresh * xi
    noisy = 0.3 / s  # of ȳ: one component better than σ', one worse
    assert noisy[0] < following < noisy[1]
    spread = (following**2 - eta_b**2 * noisy[0] ** 2).sqrt()
    expected[..., 0] = (1 - eta_b) * clean[..., 0] + eta_b * y_bar[:, 0] + spread * xi[..., 0]
    expected[..., 1] = clean[..., 1] + kept * (y_bar[:, 1] - clean[..., 1]) / noisy[1] + fresh * xi[..., 1]
    moved = DDRM(eta=eta, eta_b=eta_b).move(problem, x, sigma, following, noise)
    assert torch.allclose(moved @ v, expected)


def test_one_step_of_ddnm() -> None:
    problem, s, v, x, y_bar = spectral()
    sigma, following = 1.0, 0.5
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    clean, x_bar, xi = problem.prior.denoise(x, sigma) @ v, x @ v, noise.use("renoise").normal((4,)) @ v
    a = 1 - (following / sigma) ** 2
    step = following * math.sqrt(a)
    share = torch.zeros(4, dtype=DOUBLE)
    share[:2] = (step * s / (a * 0.3)).clamp_max(1)
    assert share[0] == 1 and 0 < share[1] < 1
    noisy = torch.cat([0.3 / s, torch.zeros(2, dtype=DOUBLE)])
    measured = torch.cat([y_bar, torch.zeros(1, 2, dtype=DOUBLE)], 1)
    x0 = clean + share * (measured - clean)
    expected = a * x0 + (1 - a) * x_bar + (step**2 - (a * share * noisy) ** 2).clamp_min(0).sqrt() * xi
    assert torch.allclose(DDNM().move(problem, x, sigma, following, noise) @ v, expected, atol=1e-7)


def test_one_step_of_diffpir() -> None:
    problem, _, _, x, _ = spectral()
    sigma, following, matrix = 1.0, 0.5, problem.operator.matrix
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    precision = matrix.T @ matrix / 0.3**2 + 3.0 / sigma**2 * torch.eye(4, dtype=DOUBLE)
    right = problem.y @ matrix / 0.3**2 + 3.0 / sigma**2 * problem.prior.denoise(x, sigma)
    best = torch.linalg.solve(precision, right[..., None])[..., 0]
    renoised = math.sqrt(0.6) * (x - best) / sigma + math.sqrt(0.4) * noise.use("renoise").normal((4,))
    moved = DiffPIR(weight=3.0, zeta=0.4).move(problem, x, sigma, following, noise)
    assert torch.allclose(moved, best + following * renoised)


def test_one_step_of_daps() -> None:
    problem, s, _, x, _ = spectral()
    sampler = DAPS(ode_steps=1, langevin_steps=2, step_size=0.4)
    noise = Noise.of(3, 1, 5, dtype=DOUBLE)
    state = replace(sampler.init(problem, noise), x=x)
    h = 0.4 / (1 / 4 + s[0] ** 2 / 0.3**2)
    anchor = clean = problem.prior.denoise(x, 2.0)
    for k in range(2):
        pull = problem.operator.adjoint(problem.y - problem.operator(clean)) / 0.3**2 - (clean - anchor) / 4
        clean = clean + h * pull + (2 * h).sqrt() * noise.use("langevin", k).normal((4,))
    expected = clean + 1.5 * noise.use("renoise").normal((4,))
    assert torch.allclose(sampler.advance(problem, state, 2.0, 1.5, noise).x, expected)


def test_one_step_of_the_predictor_and_of_the_corrector() -> None:
    problem, s, _, x, _ = spectral()
    sigma, following, noise = 2.0, 1.5, Noise.of(3, 1, 5, dtype=DOUBLE)

    def guided(x: Tensor, sigma: float) -> Tensor:
        pull = problem.operator.adjoint(problem.y - problem.operator(x)) / (0.3**2 + (0.7 * sigma * s[0]) ** 2)
        return problem.prior.score(x, sigma) + pull

    gap = sigma**2 - following**2
    x1 = x + gap * guided(x, sigma) + math.sqrt(gap) * noise.use("predictor").normal((4,))
    xi, slope = noise.use("corrector").normal((4,)), guided(x1, following)
    size = 2 * (0.1 * xi.norm(dim=-1, keepdim=True) / slope.norm(dim=-1, keepdim=True)) ** 2
    size = size.clamp_max(following**2)
    moved = PredictorCorrector(snr=0.1, rate=0.7).move(problem, x, sigma, following, noise)
    assert torch.allclose(moved, x1 + size * slope + (2 * size).sqrt() * xi)


def test_levels() -> None:
    levels = ddpm_levels(1000, 1e-6, 1e6)
    alpha = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=DOUBLE), 0)
    assert torch.allclose(torch.tensor(levels, dtype=DOUBLE).flip(0), (1 / alpha - 1).sqrt())
    inside = ddpm_levels(50, 0.02, 80.0)
    assert inside[0] == pytest.approx(80) and inside[-1] == pytest.approx(0.02) and sorted(inside)[::-1] == [*inside]
    assert karras_levels(3, 0.1, 10.0)[::2] == pytest.approx((10.0, 0.1))


def test_red_diff_finds_one_image() -> None:
    problem = white_problem()
    estimate = REDDiff(steps=300).solve(problem, progress=False)
    again = REDDiff(steps=300).solve(problem, batch_size=1, progress=False)
    assert torch.equal(estimate.x, again.x) and float(estimate.nfe) == 300
    # The stationary point of Aᵀ(Aμ − y) + λ(μ − E D(μ + σε)) lies between what fits and the prior's mean
    assert problem.likelihood.misfit(estimate.x, problem.y) < problem.likelihood.misfit(problem.prior.mean(), problem.y)
    trace = estimate.info["loss"]
    assert isinstance(trace, Tensor) and trace.shape == (300, 1)
    with pytest.raises(InvalidValueError, match="positive"):
        REDDiff(weight=0.0).solve(problem)
    with pytest.raises(IncompatibleError, match="linear operator"):
        REDDiff().solve(Posterior(problem.prior, LaplaceLikelihood(problem.operator, 0.1), problem.y))
