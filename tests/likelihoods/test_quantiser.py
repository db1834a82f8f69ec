import functools

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.likelihoods import OneBitLikelihood, QuantisedLikelihood
from tests.likelihoods.checks import check_draws, check_law, check_problem, check_slope, check_tails, one_pixel
from tests.problems import DOUBLE

QUANTISED = functools.partial(QuantisedLikelihood, noise_std=0.4, low=-1.0, high=1.5, levels=5)
CENTRES = torch.tensor([-0.75, -0.25, 0.25, 0.75, 1.25], dtype=DOUBLE)


def test_law_of_a_reading():
    likelihood = QUANTISED(one_pixel())
    check_law(likelihood, CENTRES, torch.ones_like(CENTRES))
    check_slope(likelihood, CENTRES[:, None])
    check_tails(likelihood, CENTRES[:, None])
    check_problem(functools.partial(QuantisedLikelihood, low=-1.0, high=1.0, levels=4), "noise_std", [0.1, 0.5, 2.0])
    check_problem(functools.partial(QuantisedLikelihood, noise_std=0.5, low=-1.0, levels=4), "high", [0.1, 0.5, 2.0])


def test_draws_have_the_law():
    check_draws(QUANTISED(one_pixel()))


def test_two_levels_are_a_sign():
    u = torch.linspace(-2, 2, 9, dtype=DOUBLE)[:, None]
    two, sign = QuantisedLikelihood(one_pixel(), 0.4, -1.0, 1.0, 2), OneBitLikelihood(one_pixel(), 0.4)
    for y in (-1.0, 1.0):
        at = torch.full_like(u, y)
        assert torch.allclose(two.log_density(u, at / 2), sign.log_density(u, at))
    assert torch.allclose(two.fisher(u), sign.fisher(u))


def test_narrow_cells_are_gaussian_noise():
    likelihood = QuantisedLikelihood(one_pixel(), 1.0, -8.0, 8.0, 256)
    u = torch.tensor([[0.3]], dtype=DOUBLE)
    y = likelihood.quantise(torch.tensor([[0.1]], dtype=DOUBLE))
    expected = torch.distributions.Normal(u, 1.0).log_prob(y) + torch.log(torch.tensor(16 / 256, dtype=DOUBLE))
    assert torch.allclose(likelihood.log_density(u, y), expected, atol=1e-3)  # its curvature, Δ²/24 σ²
    assert torch.allclose(likelihood.fisher(u), torch.ones_like(u), rtol=1e-3)


def test_torch_differentiates_it_anywhere_in_single_precision():
    """As point estimates do, of readings deep inside a wide cell and far from it."""
    likelihood = QuantisedLikelihood(one_pixel().float(), 0.02, -1.0, 1.0, 2)
    u = torch.tensor([[-3.0], [-0.9], [-0.02], [0.0], [0.5], [2.0]], requires_grad=True)
    for y in (-0.5, 0.5):
        density = likelihood.log_density(u, torch.full_like(u, y))
        (slope,) = torch.autograd.grad(density.sum(), u)
        assert density.isfinite().all() and slope.isfinite().all()
        assert torch.allclose(slope, likelihood.slope(u, torch.full_like(u, y)), rtol=1e-3, atol=1e-4)


def test_bad_input_is_refused():
    for levels in (1, 257, 2.5):
        with pytest.raises(InvalidValueError, match="levels"):
            QuantisedLikelihood(one_pixel(), 1.0, 0.0, 1.0, levels)
    with pytest.raises(InvalidValueError, match="low must be less than high"):
        QuantisedLikelihood(one_pixel(), 1.0, 1.0, 1.0, 2)
    for y in (-0.7, 1.75, -1.25):
        with pytest.raises(InvalidValueError, match="centres of the 5 cells"):
            QUANTISED(one_pixel()).check(torch.tensor([[y]], dtype=DOUBLE))
