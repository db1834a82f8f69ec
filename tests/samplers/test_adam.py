import pytest
import torch

from posterior.noise import Noise
from samplers.adam import adam

DOUBLE = torch.float64


@pytest.mark.parametrize("decays", [(0.9, 0.999), (0.5, 0.8)])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_steps_are_those_of_torchs_optimiser(decays, dtype):
    noise = Noise.of(0, 1, dtype=dtype)
    x = noise.normal((3, 7))[0, 0]
    held = x.clone().requires_grad_()
    optimiser = torch.optim.Adam([held], betas=decays)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for step in range(20):
        rate, slope = 0.1 / (step + 1), noise.at(step).use("slope").normal((3, 7))[0, 0]
        optimiser.param_groups[0]["lr"], held.grad = rate, slope
        optimiser.step()
        x, first, second = adam(x, slope, first, second, step, rate, decays)
        assert torch.equal(x, held.detach())


def test_the_arguments_stay_as_they_were():
    given = [torch.full((2,), float(k + 1), dtype=DOUBLE) for k in range(4)]
    before = [tensor.clone() for tensor in given]
    found = adam(*given, 3, 0.1)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))
    # m = 0.9 · 3 + 0.1 · 2 = 2.9, v = 0.999 · 4 + 0.001 · 2² = 4, and both are divided by 1 − β⁴
    expected = 1 - 0.1 * 2.9 / (1 - 0.9**4) / ((4 / (1 - 0.999**4)) ** 0.5 + 1e-8)
    for tensor, value in zip(found, (expected, 2.9, 4.0), strict=True):
        assert torch.allclose(tensor, torch.full((2,), value, dtype=DOUBLE), rtol=1e-12)
