"""The denoiser of a Lévy process against the closed form, and against quadrature."""

import pytest
import torch

from benchmarks.exactness.levy_increments import LAWS
from benchmarks.exactness.levy_prior import LevyPrior
from posterior.noise import Noise
from tests.benchmarks.problems import quadrature

LEVELS = [0.05, 0.5, 1.5, 2.5, 10.0, 100.0]  # in units of the increments; rows share a window from 2 on


@pytest.mark.parametrize("level", LEVELS)
def test_gaussian_process_has_the_closed_form(level: float) -> None:
    prior, noise = LevyPrior(LAWS["Gaussian"]), Noise.of(0, ["gaussian"], dtype=torch.float64)
    x = prior.exact_sample(20, noise)[:, 0]
    sigma = level * float(prior.unit)
    z = x + sigma * noise.for_draws(20).use("noise").normal(prior.event_shape)[:, 0]
    times = torch.arange(1.0, 65, dtype=torch.float64)
    covariance = prior.unit.square() * torch.minimum(times[:, None], times)
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(64))
    stds = (sigma**2 * gain.diagonal()).sqrt()
    error = (prior.denoise(z, torch.as_tensor(sigma)) - z @ gain.T) / stds
    assert float(error.square().mean().sqrt()) < 2e-3


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("level", [0.1, 0.7, 2.5])
def test_two_points_have_the_mean_of_quadrature(name: str, level: float) -> None:
    law = LAWS[name]
    prior = LevyPrior(law, length=2)
    z = torch.tensor([[0.4, 1.3], [-0.2, -0.1], [2.5, 0.3]], dtype=torch.float64)
    found = prior.denoise(prior.unit * z[:, None], level * prior.unit) / prior.unit
    for row, mean in zip(z, found[:, 0], strict=True):
        exact, std = quadrature(law, torch.eye(2), row, level)
        assert float(((mean - exact) / std).abs().max()) < 0.01


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("level", [0.3, 4.0])
def test_spacing_does_not_matter(name: str, level: float) -> None:
    law, noise = LAWS[name], Noise.of(1, ["spacing"], dtype=torch.float64)
    prior, fine = LevyPrior(law), LevyPrior(law, fineness=3)
    x, sigma = prior.exact_sample(8, noise)[:, 0], level * prior.unit
    z = x + sigma * noise.for_draws(8).use("noise").normal(prior.event_shape)[:, 0]
    mean = prior.denoise(z, sigma)
    std = (mean - x).square().mean().sqrt()  # of the posteriors, roughly
    assert float(((mean - fine.denoise(z, sigma)) / std).square().mean().sqrt()) < 5e-3


def test_rows_have_noise_levels_of_their_own() -> None:
    prior = LevyPrior(LAWS["Laplace"], length=6)
    x = torch.linspace(-1, 1, 12, dtype=torch.float64).view(2, 1, 6)
    sigma = torch.tensor([0.1, 0.7], dtype=torch.float64)
    together = prior.denoise(x, sigma)
    alone = torch.cat([prior.denoise(x[k : k + 1], sigma[k]) for k in range(2)])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("level", [0.3, 3.0])
def test_gaussian_derivative_is_the_closed_form(level: float) -> None:
    prior = LevyPrior(LAWS["Gaussian"], length=6)
    sigma = level * float(prior.unit)
    times = torch.arange(1.0, 7, dtype=torch.float64)
    covariance = prior.unit.square() * torch.minimum(times[:, None], times)
    gain = covariance @ torch.linalg.inv(covariance + sigma**2 * torch.eye(6))
    leaf = torch.linspace(-0.3, 0.3, 12, dtype=torch.float64).view(2, 1, 6).requires_grad_()
    cotangent = torch.arange(12.0, dtype=torch.float64).view(2, 1, 6) - 4
    (gradient,) = torch.autograd.grad(prior.denoise(leaf, torch.as_tensor(sigma)), leaf, cotangent)
    torch.testing.assert_close(gradient, cotangent @ gain, rtol=0.01, atol=0.01)


def test_derivative_is_finite_far_from_the_process() -> None:
    prior = LevyPrior(LAWS["Laplace"])
    leaf = (50 * torch.randn(4, 1, 64, generator=torch.Generator().manual_seed(0))).double().requires_grad_()
    (gradient,) = torch.autograd.grad(prior.denoise(leaf, torch.tensor(0.3)).sum(), leaf)
    assert bool(gradient.isfinite().all())


def test_signals_are_as_large_as_images() -> None:
    for law in LAWS.values():
        x = LevyPrior(law).exact_sample(2000, Noise.of(0, ["size"], dtype=torch.float64))
        assert float(x.square().mean().sqrt()) == pytest.approx(0.5, rel=0.1)
