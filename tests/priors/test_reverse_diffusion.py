import math

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError, NoiseLevelError, ShapeError
from posterior.noise import Noise
from posterior.priors import GaussianMixturePrior, ScorePrior
from posterior.priors.reverse_diffusion import flow_ode, geometric_levels
from tests.problems import DOUBLE, mixture


def test_levels_run_from_first_to_last():
    first, last = torch.tensor([80.0, 10.0]), torch.tensor([0.1, 0.2])
    levels = geometric_levels(first, last, 7)
    assert levels.shape == (7, 2)
    assert torch.allclose(levels[0], first)
    assert torch.allclose(levels[-1], last)
    assert (levels.diff(dim=0) < 0).all()
    ratios = levels[1:] / levels[:-1]
    assert torch.allclose(ratios, ratios[:1].expand_as(ratios))


def test_the_flow_is_integrated_to_fourth_order():
    # N(m, s²) has the flow u → m + s u. Levels are at even distances in τ = (v + t²)^−½, from 0 to v^−½: half the step
    # leaves a sixteenth of the error, but for terms of higher order.
    mean, std, variance = (torch.tensor(value, dtype=DOUBLE) for value in (0.7, 1.0, 0.3))
    u, errors = torch.tensor([1.3, -0.4], dtype=DOUBLE), []
    for count in (32, 64, 128):
        tau = torch.arange(1, count, dtype=DOUBLE) / count / variance.sqrt()
        x = flow_ode(
            lambda w, t: mean + std**2 / (std**2 + t**2) * (w - mean), u, (tau**-2 - variance).sqrt(), mean, variance
        )
        errors.append(float((x - mean - std * u).norm()))
    orders = [math.log2(errors[i] / errors[i + 1]) for i in range(2)]
    assert errors[-1] < 1e-6 and orders == pytest.approx([4, 4], abs=0.05)


@pytest.mark.parametrize("steps", [6, 8, 10, 16])
def test_conditional_draws_of_gaussians_keep_their_variance(steps):
    # x0 ~ N(0, s²): given z, N(z s²/(s² + ρ²), s²ρ²/(s² + ρ²)); s from far below ρ to far above it, 20,000 draws each.
    # The integrator may lose or add 0.002 ρ² (docs/measured/reverse_diffusion.md), and 1 % besides; a variance of N
    # draws has a relative error of √(2/N).
    for scale in (0.1, 0.3, 1.0, 3.0, 30.0):
        prior = GaussianMixturePrior(torch.zeros(1, 4, dtype=DOUBLE), std=scale)
        z = torch.tensor([2.0, -1.0, 0.5, 0.0], dtype=DOUBLE).expand(5000, 1, 4)
        noise = Noise.of(0, 1, 5000, dtype=DOUBLE)
        draws = prior.sample_denoised(z, 1.0, noise, steps=steps)[:, 0]
        variance = scale**2 / (scale**2 + 1)
        centred = draws - z[:, 0] * variance
        allowed = 0.01 + 0.002 / variance
        assert abs(centred.square().mean() / variance - 1) < allowed + 4 * math.sqrt(2 / 20_000)
        assert (centred.mean(0).abs() < 4 * math.sqrt(variance / 5000)).all()


def test_conditional_draws_choose_components_as_they_should():
    prior = mixture(std=0.5)
    z = torch.tensor([[0.3, 0.2], [-1.0, 0.0]], dtype=DOUBLE)
    rho = torch.tensor([2.0, 3.0], dtype=DOUBLE)
    draws = prior.sample_denoised(z.expand(4000, 2, 2), rho, Noise.of(1, 2, 4000, dtype=DOUBLE), steps=12)
    share = prior.responsibilities(draws).mean(0)
    exact = prior.responsibilities(z, rho)
    assert (share - exact).abs().max() < 0.005 + 4 * 0.5 / math.sqrt(4000)


@pytest.mark.parametrize("steps", [16, 40])
def test_prior_draws_choose_components_as_they_should(steps):
    prior = mixture(std=0.5)
    draws = prior.sample(4000, Noise.of(0, dtype=DOUBLE), steps=steps)[:, 0]
    share = prior.responsibilities(draws).mean(0)
    assert (share - prior.log_weights.exp()).abs().max() < 0.01 + 4 * 0.5 / math.sqrt(4000)
    own = prior.means[prior.responsibilities(draws).argmax(1)]
    assert abs((draws - own).var(0).mean() / 0.25 - 1) < 0.06 + 4 * math.sqrt(2 / 8000)


@pytest.mark.parametrize("steps", [20, 40])
def test_prior_draws_have_the_variance_of_a_broad_component(steps):
    # A random walk has four fifths of its variance in one component, which 40,000 draws estimate to √(2/40,000) =
    # 0.7 %: four of that, and 2 % for the solver, which lost 7 to 9 % where it began at √(2n) sigma_data.
    time = torch.arange(1, 13, dtype=DOUBLE)
    covariance = torch.minimum(time[:, None], time)
    prior = GaussianMixturePrior(torch.zeros(1, 12, dtype=DOUBLE), covariance=covariance)
    values, vectors = torch.linalg.eigh(covariance)
    draws = prior.sample(40_000, Noise.of(0, dtype=DOUBLE), steps=steps)[:, 0] @ vectors[:, -1]
    assert abs(float(draws.square().mean() / values[-1]) - 1) < 0.02 + 4 * math.sqrt(2 / 40_000)


def test_a_denoised_image_that_is_known_saves_a_call():
    problem, noise = mixture(), Noise.of(0, 2, 3, dtype=DOUBLE)
    z, rho, calls = 2 * noise.use("z").normal((2,)), torch.tensor([0.3, 0.7], dtype=DOUBLE), []
    prior = ScorePrior.from_denoiser(
        lambda x, sigma: calls.append(len(x)) or problem.denoise(x, sigma), (2,), sigma_max=40.0
    )
    prior.denoise(z, rho)  # is tried out
    calls.clear()
    whole = prior.sample_denoised(z, rho, noise, steps=6)
    assert len(calls) == 6
    known = prior.sample_denoised(z, rho, noise, steps=6, denoised=problem.denoise(z, rho))
    assert len(calls) == 11 and torch.allclose(whole, known)


def test_draws_do_not_depend_on_their_neighbours():
    prior = mixture()
    z = torch.randn(5, 3, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    rho = torch.tensor([0.5, 1.0, 2.0], dtype=DOUBLE)
    noise = Noise.of(0, ["a", "b", "c"], 5, dtype=DOUBLE)
    together = prior.sample_denoised(z, rho, noise, steps=6)
    alone = prior.sample_denoised(z[:, 1:2], rho[1:2], Noise.of(0, ["b"], 5, dtype=DOUBLE), steps=6)
    assert torch.allclose(together[:, 1:2], alone, atol=1e-12)


def test_a_function_becomes_a_prior():
    prior = ScorePrior.from_denoiser(lambda x, sigma: x / (1 + sigma[:, None] ** 2), (2,), sigma_max=50.0)
    z = torch.zeros(4000, 1, 2, dtype=DOUBLE)
    draws = prior.sample_denoised(z, 1.0, Noise.of(0, 1, 4000, dtype=DOUBLE), steps=10)
    assert abs(draws.var() / 0.5 - 1) < 0.04 + 4 * math.sqrt(2 / 8000)


def test_levels_at_the_edge_of_the_prior_s_range():
    prior = ScorePrior.from_denoiser(
        lambda x, sigma: x / (1 + sigma[:, None] ** 2), (2,), sigma_max=50.0, sigma_min=0.1
    )
    z = torch.zeros(3, 1, 2, dtype=DOUBLE)
    for rho in (0.1, 0.11, 0.15, 50.0):
        draws = prior.sample_denoised(z, rho, Noise.of(0, 1, 3, dtype=DOUBLE), steps=8)
        assert torch.isfinite(draws).all()
    for rho in (0.09, 51.0):
        with pytest.raises(NoiseLevelError, match=r"\[0\.1, 50\]"):
            prior.sample_denoised(z, rho, Noise.of(0, 1, 3, dtype=DOUBLE), steps=8)
    with pytest.raises(IncompatibleError, match="exact"):
        prior.exact_denoise(z, 1.0, Noise.of(0, 1, 3))


def test_what_is_no_noise_level_no_image_or_no_source_of_its_shape_is_refused():
    prior, z, noise = mixture(), torch.zeros(3, 1, 2, dtype=DOUBLE), Noise.of(0, 1, 3, dtype=DOUBLE)
    with pytest.raises(ShapeError, match="sigma of shape"):
        prior.denoise(z, torch.ones(2))
    with pytest.raises(InvalidValueError, match="sigma to be"):
        prior.score(z, "1.0")
    for x in (z * 1j, torch.zeros(3, 1, 2, dtype=torch.int64)):
        with pytest.raises(InvalidValueError, match="z"):
            prior.sample_denoised(x, 1.0, noise)
    with pytest.raises(ShapeError, match="z and the noise"):
        prior.sample_denoised(z[:2], 1.0, noise)
    for arguments in ((2.5, noise), (2, None)):
        with pytest.raises(InvalidValueError, match="sample needs"):
            prior.sample(*arguments)


def test_the_least_noise_must_not_hide_an_image():
    with pytest.raises(NoiseLevelError, match="sigma_min ≤ sigma_data"):
        ScorePrior.from_denoiser(lambda x, sigma: x, (2,), sigma_max=50.0, sigma_min=2.0)


def test_a_denoiser_of_the_wrong_shape_is_refused():
    with pytest.raises(ShapeError, match="same shape"):
        ScorePrior.from_denoiser(lambda x, sigma: x[:, :1], (2,), sigma_max=50.0)
    with pytest.raises(IncompatibleError, match="returned torch.complex64"):
        ScorePrior.from_denoiser(lambda x, sigma: (x * 1j).cfloat(), (2,), sigma_max=50.0)
    prior = ScorePrior.from_denoiser(lambda x, sigma: x[:, :1], (2,), sigma_max=50.0, probe=False)
    with pytest.raises(ShapeError, match="same shape"):
        prior.denoise(torch.zeros(3, 2), 1.0)
