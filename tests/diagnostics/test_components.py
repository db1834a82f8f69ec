"""Principal components of draws whose covariance is known."""

import pytest
import torch

from posterior.diagnostics import principal_components
from posterior.errors import InvalidValueError, NotFiniteError
from posterior.noise import Noise
from posterior.results import Samples

DOUBLE = torch.float64


@pytest.mark.parametrize("size", [8, 50])  # fewer draws than entries, and more
def test_they_are_those_of_the_covariance(size):
    batch = 3
    x = Noise.of(0, batch, size, dtype=DOUBLE).normal((1, 3, 4)) * torch.linspace(0.1, 3, 12, dtype=DOUBLE).view(
        1, 3, 4
    )
    found = principal_components(Samples(x, torch.zeros(batch), torch.zeros(batch)), count=4)
    for b in range(batch):
        values, vectors = torch.linalg.eigh(torch.cov(x[:, b].flatten(1).T))
        torch.testing.assert_close(found.std[:, b], values.flip(0)[:4].sqrt())
        torch.testing.assert_close(found.share[:, b], values.flip(0)[:4] / values.sum())
        inner = found.directions[:, b].flatten(1) @ vectors.flip(1)[:, :4]
        torch.testing.assert_close(inner.abs(), torch.eye(4, dtype=DOUBLE), atol=1e-8, rtol=0)
    flat = found.directions.flatten(2)
    assert (flat.gather(2, flat.abs().argmax(2, keepdim=True)) > 0).all()


def test_equal_draws_have_no_variance():
    found = principal_components(Samples(torch.ones(5, 1, 1, 2, 2), torch.zeros(1), torch.zeros(1)), count=2)
    assert found.std.abs().max() == 0
    assert found.share.isfinite().all()


def test_single_precision_loses_nothing_to_squares():
    """Of two directions the second has a millionth of the variance, a thousandth of the spread: 1e-4 of single's."""
    a = Noise.of(0, 1, 200, dtype=DOUBLE).normal((2,))[:, 0]
    a = torch.linalg.qr(a - a.mean(0)).Q * 199**0.5
    for width in (3, 400):
        v = torch.linalg.qr(Noise.of(1, 1, 2, dtype=DOUBLE).normal((width,))[:, 0].T).Q
        x = (a * torch.tensor([1.0, 1e-3], dtype=DOUBLE)) @ v.T
        found = principal_components(Samples(x.float()[:, None, None, None], torch.zeros(1), torch.zeros(1)), count=2)
        torch.testing.assert_close(found.std[:, 0], torch.tensor([1.0, 1e-3]), rtol=1e-4, atol=0)
        assert found.directions.dtype == torch.float32
        inner = found.directions[1].flatten().double() @ v[:, 1]
        assert inner.abs() > 1 - 1e-4


def test_what_cannot_be_is_refused():
    x = torch.zeros(5, 1, 1, 2, 2)
    for count in (0, 5):
        with pytest.raises(InvalidValueError, match="components"):
            principal_components(Samples(x, torch.zeros(1), torch.zeros(1)), count=count)
    with pytest.raises(NotFiniteError):
        principal_components(Samples(x / 0, torch.zeros(1), torch.zeros(1)), count=2)
