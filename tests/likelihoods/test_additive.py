import functools
import math

import pytest
import torch

from posterior import GaussianLikelihood, LaplaceLikelihood, StudentTLikelihood
from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.operators import Inpainting, Operator
from tests.likelihoods.checks import check_draws, check_law, check_problem, check_slope, check_tails, one_pixel
from tests.problems import DOUBLE

KINDS = {
    "gaussian": (functools.partial(GaussianLikelihood, noise_std=0.3), "noise_std", torch.distributions.Normal(0, 0.3)),
    "laplace": (functools.partial(LaplaceLikelihood, scale=0.3), "scale", torch.distributions.Laplace(0, 0.3)),
    "student": (
        functools.partial(StudentTLikelihood, scale=0.3, degrees=9.0),
        "scale",
        torch.distributions.StudentT(torch.tensor(9.0, dtype=DOUBLE), 0, 0.3),
    ),
}


def fourier(n: int = 4) -> Operator:
    return Operator.from_callable(
        lambda x: torch.fft.fft(x.to(torch.complex128), norm="ortho"),
        event_shape=(n,), measurement_shape=(n,), linear=True, dtype=DOUBLE,
    )  # fmt: skip


def test_log_prob_counts_what_is_measured():
    likelihood = GaussianLikelihood(Inpainting(torch.tensor([True, True, False])), 0.5)
    x, y = torch.zeros(1, 3, dtype=DOUBLE), torch.tensor([[1.0, -1.0, 0.0]], dtype=DOUBLE)
    expected = torch.distributions.Normal(0.0, 0.5).log_prob(torch.tensor([1.0, -1.0], dtype=DOUBLE)).sum()
    assert torch.allclose(likelihood.log_prob(x, y), expected)
    assert torch.allclose(likelihood.misfit(x, y), torch.tensor([2.0], dtype=DOUBLE))


def test_complex_measurements_have_two_components_each():
    likelihood = GaussianLikelihood(fourier(), 2.0)
    x = torch.randn(1, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(1, 4, dtype=torch.complex128)
    expected = -x.square().sum() / 8 - 4 * math.log(2 * math.pi * 4)  # the transform is unitary
    assert torch.allclose(likelihood.log_prob(x, y), expected)
    assert torch.allclose(likelihood.grad(x, y), -x / 4)


def test_simulated_noise_has_its_standard_deviation_and_respects_the_mask():
    mask = torch.arange(1000) % 2 == 0
    noise = Noise.of(0, 20, dtype=DOUBLE)
    y = GaussianLikelihood(Inpainting(mask), 0.3).simulate(torch.zeros(20, 1000, dtype=DOUBLE), noise)
    assert not y[:, ~mask].any()
    measured = y[:, mask]  # 10,000 values: the standard error of a variance is √2/100 of it
    assert abs(measured.var() / 0.09 - 1) < 4 * math.sqrt(2) / 100
    y = GaussianLikelihood(fourier(500), 0.3).simulate(torch.zeros(20, 500, dtype=DOUBLE), noise)
    for part in (y.real, y.imag):
        assert abs(part.var() / 0.09 - 1) < 4 * math.sqrt(2) / 100


@pytest.mark.parametrize("noise_std", [0.0, -1.0, float("nan"), float("inf"), torch.ones(2, 2)])
def test_noise_std_must_be_positive(noise_std):
    with pytest.raises(InvalidValueError, match="noise_std"):
        GaussianLikelihood(Inpainting(torch.ones(3, dtype=torch.bool)), noise_std)


@pytest.mark.parametrize("kind", KINDS)
def test_law(kind):
    make, name, law = KINDS[kind]
    likelihood = make(one_pixel())
    grid = torch.linspace(-40, 40, 320_001, dtype=DOUBLE)
    check_law(likelihood, grid, torch.full_like(grid, 80 / 320_000))
    y = torch.tensor([[-3.0], [0.2], [40.0]], dtype=DOUBLE)
    assert torch.allclose(likelihood.log_density(torch.zeros_like(y), y), law.log_prob(y))
    check_slope(likelihood, y)
    check_tails(likelihood, y)
    check_problem(make, name, [0.1, 0.5, 2.0])


@pytest.mark.parametrize("kind", KINDS)
def test_draws_have_the_law(kind):
    make, _, law = KINDS[kind]
    likelihood = make(one_pixel())
    check_draws(likelihood)
    count = 40_000
    y = likelihood.simulate(torch.zeros(count, 1, 1, dtype=DOUBLE), Noise.of(0, 1, count, dtype=DOUBLE)).flatten()
    if kind == "student":  # torch has no cdf of it: a sum of its density
        grid = torch.linspace(-30, 30, 60_001, dtype=DOUBLE)
        uniform = law.log_prob(grid).exp().cumsum(0)[((y + 30) * 1000).round().long().clamp(0, 60_000)] / 1000
    else:
        uniform = law.cdf(y)
    # Kolmogorov's distance is below 1.95/√N with probability .999, and the grid's cells hold 1e-3 at most
    ranks = torch.arange(1, count + 1, dtype=DOUBLE) / count
    assert (uniform.sort().values - ranks).abs().max() < 1.95 / math.sqrt(count) + 1.5e-3


@pytest.mark.parametrize("kind", KINDS)
def test_complex_entries_have_two_independent_components(kind):
    make, _, law = KINDS[kind]
    likelihood = make(fourier())
    x = torch.randn(2, 3, 4, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    y = likelihood.simulate(x[0], Noise.of(0, 3, dtype=DOUBLE))
    assert y.is_complex()
    difference = y - likelihood.operator(x)
    expected = (law.log_prob(difference.real) + law.log_prob(difference.imag)).sum(-1)
    assert torch.allclose(likelihood.log_prob(x, y), expected)
    leaf = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(likelihood.log_prob(leaf, y).sum(), leaf)
    assert torch.allclose(likelihood.grad(x, y), gradient)
    information = likelihood.fisher(likelihood.noiseless(x))
    assert information.shape == x.shape and not information.is_complex()
    many = make(fourier(500))
    misfit = many.misfit(
        torch.zeros(20, 500, dtype=DOUBLE),
        many.simulate(torch.zeros(20, 500, dtype=DOUBLE), Noise.of(0, 20, dtype=DOUBLE)),
    )
    # 20,000 squares whose standard deviation is √5 of their mean for Laplace, the largest
    assert abs(misfit.square().mean() - 1) < 4 * math.sqrt(5 / 20_000)


def test_noise_without_a_variance_is_measured_by_its_scale():
    likelihood = StudentTLikelihood(one_pixel(), 0.5, torch.tensor([1.0, 6.0], dtype=DOUBLE))
    u, y = torch.zeros(2, 1, dtype=DOUBLE), torch.ones(2, 1, dtype=DOUBLE)
    assert likelihood.mean_and_variance(u)[1].flatten().tolist() == [math.inf, 0.375]
    assert torch.allclose(likelihood.misfit(u, y), torch.tensor([2.0, 1 / math.sqrt(0.375)], dtype=DOUBLE))


def test_the_gaussian_s_random_stream_stays():
    noise = Noise.of(3, 2, dtype=DOUBLE)
    x = torch.ones(2, 4, dtype=DOUBLE)
    y = GaussianLikelihood(Inpainting(torch.tensor([True, True, False, True])), 0.3).simulate(x, noise)
    expected = x + 0.3 * noise.use("measurement").normal((4,))[0]
    assert torch.equal(y, expected * torch.tensor([1, 1, 0, 1]))


@pytest.mark.parametrize("value", [0.0, float("nan"), torch.ones(2, 2), torch.ones(2, dtype=torch.bool)])
def test_scales_and_degrees_must_be_positive(value):
    for make in (lambda v: LaplaceLikelihood(one_pixel(), v), lambda v: StudentTLikelihood(one_pixel(), v, 3.0)):
        with pytest.raises(InvalidValueError, match="scale must be positive"):
            make(value)
    with pytest.raises(InvalidValueError, match="degrees must be positive"):
        StudentTLikelihood(one_pixel(), 1.0, value)
