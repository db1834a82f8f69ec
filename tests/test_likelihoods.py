import math

import pytest
import torch

from posterior import GaussianLikelihood
from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.operators import Inpainting, Operator
from tests.problems import DOUBLE


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
