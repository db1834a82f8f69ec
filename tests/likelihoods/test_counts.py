import functools

import pytest
import torch

from posterior import PoissonLikelihood
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods.counts import poisson_quantile
from posterior.noise import Noise
from posterior.operators import Matrix
from tests.likelihoods.checks import check_draws, check_law, check_problem, check_slope, check_tails, one_pixel
from tests.problems import DOUBLE

MAKE = functools.partial(PoissonLikelihood, gain=5.0, background=0.5)
COUNTS = torch.arange(80, dtype=DOUBLE)


def test_law():
    likelihood = MAKE(one_pixel())
    check_law(likelihood, COUNTS, torch.ones_like(COUNTS))
    check_slope(likelihood, COUNTS[:4, None])
    check_tails(likelihood, COUNTS[:40:13, None])
    check_problem(functools.partial(PoissonLikelihood, background=0.5), "gain", [1.0, 10.0, 200.0])


def test_images_enter_as_intensities():
    likelihood = PoissonLikelihood(Matrix(torch.tensor([[1.0, 1.0]], dtype=DOUBLE)), 10.0, 0.1)
    x, y = torch.tensor([[-1.0, 0.5]], dtype=DOUBLE), torch.tensor([[7.0]], dtype=DOUBLE)
    expected = torch.distributions.Poisson(torch.tensor(7.6, dtype=DOUBLE)).log_prob(y[0])  # 10 · (0 + .75) + .1
    assert torch.allclose(likelihood.log_prob(x, y), expected)
    assert torch.allclose(likelihood.grad(x, y), (5 * (y / 7.6 - 1)).expand(1, 2))


def test_draws_have_the_law():
    check_draws(MAKE(one_pixel()))
    # bright light, and each measurement its own gain
    bright = PoissonLikelihood(one_pixel(), torch.tensor([1.0, 1e3, 1e6] * 3, dtype=DOUBLE), 0.01)
    check_draws(bright, 10_000)


def test_quantiles_invert_the_cumulative_distribution():
    for rate in (0.01, 3.0, 200.0, 1e7):
        law = torch.distributions.Poisson(torch.tensor(rate, dtype=DOUBLE))
        k = (rate + torch.arange(-4, 5, dtype=DOUBLE) * rate**0.5).round().clamp_min(0).unique()
        mass, upper = law.log_prob(k).exp(), torch.special.gammaincc(k + 1, law.rate)
        assert torch.equal(poisson_quantile(upper - 0.5 * mass, law.rate), k)
    low, high = torch.tensor([2.0**-33, 1 - 2.0**-33], dtype=DOUBLE)  # the smallest and largest uniforms
    for rate in (1e-9, 1.0, 1e4):
        assert float(poisson_quantile(low, torch.tensor(rate, dtype=DOUBLE))) >= 0
        k = poisson_quantile(high, torch.tensor(rate, dtype=DOUBLE))
        assert torch.special.gammaincc(k + 1, torch.tensor(rate, dtype=DOUBLE)) >= high


def test_counts_are_the_same_in_float32():
    likelihood, x = MAKE(one_pixel()), torch.linspace(-1, 1, 50)[:, None]
    double = likelihood.simulate(x.double(), Noise.of(0, 50, dtype=DOUBLE))
    single = MAKE(one_pixel().to(torch.float32)).simulate(x, Noise.of(0, 50))
    assert single.dtype == torch.float32 and torch.equal(single.double(), double)


def test_bad_input_is_refused():
    likelihood = MAKE(one_pixel())
    for y in ([[-1.0]], [[0.5]]):
        with pytest.raises(InvalidValueError, match="raw counts"):
            likelihood.check(torch.tensor(y))
    with pytest.raises(InvalidValueError, match="background must be positive"):
        PoissonLikelihood(one_pixel(), 1.0, 0.0)
    with pytest.raises(InvalidValueError, match="gain must be positive"):
        PoissonLikelihood(one_pixel(), -1.0, 0.1)
    with pytest.raises(IncompatibleError, match="real"):
        likelihood.log_density(torch.zeros(1, 1, dtype=torch.complex128), torch.zeros(1, 1))
