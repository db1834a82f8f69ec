import math

import pytest
import torch
from torch import Tensor, nn

from posterior.noise import Noise
from posterior.priors.edm import EDMPrior

SHAPE = (2, 3, 4)


class Stub(nn.Module):
    """A network that keeps what it was given and returns ax + c."""

    def __init__(self, slope: float = 0.7) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(slope))
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        self.calls.append((x, label))
        return self.slope * x + label[:, None, None, None]


def prior(dtype: torch.dtype = torch.float64) -> EDMPrior:
    return EDMPrior(Stub(), SHAPE, sigma_data=0.6).to(dtype)


def noisy(dtype: torch.dtype = torch.float64) -> Tensor:
    return Noise.of(0, 5, dtype=dtype).normal(SHAPE)[0]


SIGMA = torch.tensor([0.01, 0.3, 0.6, 5.0, 80.0], dtype=torch.float64)


def test_preconditioning() -> None:
    model, x = prior(), noisy()
    denoised = model.denoise(x, SIGMA)
    ((inputs, label),) = model.network.calls
    for i, sigma in enumerate(SIGMA.tolist()):  # Table 1 of the paper, with σ_d = 0.6
        length = math.sqrt(sigma**2 + 0.6**2)
        torch.testing.assert_close(inputs[i], x[i] / length)
        assert float(label[i]) == pytest.approx(math.log(sigma) / 4)
        output = float(model.network.slope.detach()) * inputs[i] + label[i]
        expected = 0.6**2 / length**2 * x[i] + sigma * 0.6 / length * output
        torch.testing.assert_close(denoised[i], expected)


def test_a_network_of_zeros_is_the_denoiser_of_a_gaussian() -> None:
    model, x = EDMPrior(Stub(0.0), SHAPE, sigma_data=0.6).double(), noisy()
    model.network.forward = lambda x, label: torch.zeros_like(x)  # type: ignore[method-assign]
    factor = (0.6**2 / (0.6**2 + SIGMA**2))[:, None, None, None]
    torch.testing.assert_close(model.denoise(x, SIGMA), factor * x)
    torch.testing.assert_close(model.score(x, SIGMA), -x / (0.6**2 + SIGMA**2)[:, None, None, None])


@pytest.mark.parametrize(("narrow", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 0.03)])
def test_the_network_may_be_narrower_than_the_state(narrow: torch.dtype, tolerance: float) -> None:
    """c_out F is below σ_d|F|; bfloat16 rounds F, of size 4 at the most, by 2⁻⁸ in slope, input and output each."""
    model, x = prior(narrow), noisy()
    denoised = model.denoise(x, SIGMA)
    ((inputs, label),) = model.network.calls
    assert inputs.dtype == label.dtype == narrow
    assert denoised.dtype == torch.float64
    exact = prior().denoise(x, SIGMA)
    torch.testing.assert_close(denoised, exact, atol=tolerance, rtol=0)
    # At σ = 0.01 the skip, which stays in float64, carries the image, and F counts by σ.
    torch.testing.assert_close(denoised[0], exact[0], atol=0.01 * tolerance / 0.6, rtol=0)


def test_gradients_reach_the_state_through_a_narrower_network() -> None:
    model, x = prior(torch.float32), noisy().requires_grad_()
    (gradient,) = torch.autograd.grad(model.denoise(x, 0.6).sum(), x)
    slope = 0.5 + 0.6 / math.sqrt(2) * 0.7 / (0.6 * math.sqrt(2))
    torch.testing.assert_close(gradient, torch.full_like(x, slope), atol=1e-6, rtol=0)


def test_means_lie_in_the_range_of_images_outside_training() -> None:
    model, x = prior(), noisy()
    free = model.denoise(x, SIGMA)
    assert free.abs().max() > 1
    assert torch.equal(model.eval().denoise(x, SIGMA), free.clamp(-1, 1))
    model.value_range = (-math.inf, math.inf)
    assert torch.equal(model.denoise(x, SIGMA), free)
