import functools

import pytest
import torch

from posterior import OneBitLikelihood, SaturatedLikelihood
from posterior.errors import IncompatibleError, InvalidValueError
from tests.likelihoods.checks import check_draws, check_law, check_problem, check_slope, check_tails, one_pixel
from tests.problems import DOUBLE

SATURATED = functools.partial(SaturatedLikelihood, noise_std=0.4, low=-0.5, high=1.0)
ONE_BIT = functools.partial(OneBitLikelihood, noise_std=0.4)
SIGNS = torch.tensor([-1.0, 1.0], dtype=DOUBLE)


def test_law_of_a_saturated_sensor():
    likelihood = SATURATED(one_pixel())
    cells = 20_000
    middle = -0.5 + 1.5 * (torch.arange(cells, dtype=DOUBLE) + 0.5) / cells
    support = torch.cat([torch.tensor([-0.5], dtype=DOUBLE), middle, torch.tensor([1.0], dtype=DOUBLE)])
    weights = torch.full_like(support, 1.5 / cells)
    weights[[0, -1]] = 1.0
    check_law(likelihood, support, weights)
    check_slope(likelihood, support[[0, 7_000, -1], None])
    check_tails(likelihood, support[[0, 7_000, -1], None])
    check_problem(functools.partial(SaturatedLikelihood, low=-0.5, high=1.0), "noise_std", [0.1, 0.5, 2.0])
    check_problem(functools.partial(SaturatedLikelihood, noise_std=0.5, low=-0.5), "high", [0.1, 0.5, 2.0])


def test_law_of_a_sign():
    likelihood = ONE_BIT(one_pixel())
    check_law(likelihood, SIGNS, torch.ones_like(SIGNS))
    check_slope(likelihood, SIGNS[:, None])
    check_tails(likelihood, SIGNS[:, None])
    check_problem(OneBitLikelihood, "noise_std", [0.1, 0.5, 2.0])


@pytest.mark.parametrize("make", [SATURATED, functools.partial(OneBitLikelihood, noise_std=1.0)])
def test_draws_have_the_law(make):
    check_draws(make(one_pixel()))


def test_a_reading_far_beyond_the_range_keeps_its_small_variance():
    likelihood = SaturatedLikelihood(one_pixel(), 1.0, 0.0, 1e3)
    u = torch.tensor([[-8.0], [500.0], [1008.0]], dtype=DOUBLE)
    mean, variance = likelihood.mean_and_variance(u)
    tail = torch.linspace(8, 20, 400_001, dtype=DOUBLE)
    density = torch.distributions.Normal(0.0, 1.0).log_prob(tail).exp() * (12 / 400_000)
    first, second = (density * (tail - 8)).sum(), (density * (tail - 8) ** 2).sum()
    expected = torch.tensor([second, 1.0, second], dtype=DOUBLE)
    assert torch.allclose(variance.flatten(), expected, rtol=1e-3, atol=0)
    assert torch.allclose(mean[0, 0], first, rtol=1e-3, atol=0)
    assert mean[1:].flatten().tolist() == [500.0, 1e3]


def test_a_wide_range_is_gaussian_noise():
    likelihood = SaturatedLikelihood(one_pixel(), 0.4, -1e3, 1e3)
    u, y = torch.tensor([[0.3]], dtype=DOUBLE), torch.tensor([[0.1]], dtype=DOUBLE)
    law = torch.distributions.Normal(u, 0.4)
    assert torch.allclose(likelihood.log_density(u, y), law.log_prob(y))
    assert torch.allclose(likelihood.fisher(u), torch.full_like(u, 1 / 0.16))


def test_bad_input_is_refused():
    with pytest.raises(InvalidValueError, match="low must be less than high"):
        SaturatedLikelihood(one_pixel(), 1.0, 1.0, 1.0)
    with pytest.raises(InvalidValueError, match="high must be finite"):
        SaturatedLikelihood(one_pixel(), 1.0, 1.0, float("inf"))
    with pytest.raises(InvalidValueError, match="low = -0.5 to high = 1.0"):
        SATURATED(one_pixel()).check(torch.tensor([[1.1]], dtype=DOUBLE))
    SATURATED(one_pixel()).check(torch.tensor([[1.0 + 1e-8]], dtype=DOUBLE))  # rounding
    with pytest.raises(InvalidValueError, match="signs"):
        ONE_BIT(one_pixel()).check(torch.zeros(1, 1, dtype=DOUBLE))
    for make in (SATURATED, ONE_BIT):
        with pytest.raises(IncompatibleError, match="real"):
            make(one_pixel()).check(torch.zeros(1, 1, dtype=torch.complex128))


def test_readings_that_went_through_float32_are_at_the_ends():
    # within 1e-6 of the range, on either side; beyond that they are refused, or lie inside
    likelihood = SATURATED(one_pixel())
    u = torch.zeros(1, 1, dtype=DOUBLE)
    for end, outwards in ((-0.5, -1.0), (1.0, 1.0)):
        ends = [torch.full((1, 1), end + outwards * share * 1.5e-6, dtype=DOUBLE) for share in (-0.9, 0.0, 0.9)]
        mass = likelihood.log_density(u, ends[1])
        for y in ends:
            likelihood.check(y)
            assert torch.equal(likelihood.log_density(u, y), mass)
        inside = torch.full((1, 1), end - outwards * 1.1 * 1.5e-6, dtype=DOUBLE)
        assert not torch.allclose(likelihood.log_density(u, inside), mass)
        with pytest.raises(InvalidValueError, match="saturates"):
            likelihood.check(torch.full((1, 1), end + outwards * 1.1 * 1.5e-6, dtype=DOUBLE))
    both = torch.tensor([[0.0], [2.0]], dtype=DOUBLE)  # one of them is enough
    with pytest.raises(InvalidValueError, match="saturates"):
        likelihood.check(both)
