import math

import pytest
import torch
from torch import Tensor, nn

from posterior.errors import NoiseLevelError, ShapeError
from posterior.noise import Noise
from posterior.priors.pyramid import PyramidPrior


class Stub(nn.Module):
    """A network that keeps what it was given and returns it, times a factor."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(()))
        self.calls: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.calls.append((x, sigma))
        return self.factor * x


def prior(event_shape: tuple[int, ...] = (3, 8, 16)) -> PyramidPrior:
    return PyramidPrior(Stub(), event_shape, sigma_data=0.5, sigma_min=0.02, sigma_network=0.5).double()


def noisy(model: PyramidPrior, count: int, scale: float = 0.3) -> Tensor:
    return scale * Noise.of(0, count, dtype=torch.float64).normal(model.event_shape)[0]


def test_small_noise_is_the_networks_own() -> None:
    model = prior()
    x = noisy(model, 3)
    denoised = model.denoise(x, torch.tensor([0.02, 0.3, 0.5], dtype=torch.float64))
    ((inputs, sigma),) = model.network.calls  # in [0, 1], half of the length of [−1, 1]
    torch.testing.assert_close(inputs, (x + 1) / 2)
    assert sigma.tolist() == pytest.approx([0.01, 0.15, 0.25])
    torch.testing.assert_close(denoised, x.clamp(-1, 1))


def test_large_noise_is_halved_until_the_network_takes_it() -> None:
    model = prior()
    x = noisy(model, 4)
    model.denoise(x, torch.tensor([0.4, 0.6, 1.0, 8.0], dtype=torch.float64))
    first, second, last = model.network.calls
    assert [tuple(inputs.shape) for inputs, _ in (first, second, last)] == [(1, 3, 8, 16), (2, 3, 4, 8), (1, 3, 1, 1)]
    assert second[1].tolist() == pytest.approx([0.15, 0.25])
    blocks = x[1:3].unflatten(-1, (8, 2)).unflatten(-3, (4, 2)).mean((-1, -3))
    torch.testing.assert_close(second[0], (blocks + 1) / 2)
    # √(8·16) pixels in the mean, not the 16 of a square, and so less than 8/2⁴
    assert float(last[1]) == pytest.approx(8.0 / 2 / math.sqrt(8 * 16))


def test_a_map_of_noise_levels_is_pooled_as_noise_is() -> None:
    model = prior()
    x, levels = noisy(model, 2), torch.full((2, 1, 8, 16), 0.3, dtype=torch.float64)
    levels[1, ..., ::2] = 0.9  # columns of 0.9 and 0.3: of a block of 2 × 2 the root mean square, halved
    model._denoise(x, levels)
    (_, own), (pooled, halved) = model.network.calls
    assert own.shape == (1, 1, 8, 16) and own.unique().tolist() == pytest.approx([0.15])
    assert pooled.shape == (1, 3, 4, 8) and halved.shape == (1, 1, 4, 8)
    assert halved.unique().tolist() == pytest.approx([math.sqrt((0.9**2 + 0.3**2) / 2) / 4])


def test_rows_do_not_depend_on_their_neighbours() -> None:
    model = prior((3, 7, 9))
    x, sigma = noisy(model, 6), torch.tensor([0.1, 3.0, 0.7, 0.5, 0.1, 2.0], dtype=torch.float64)
    together = model.denoise(x, sigma)
    for row, level, expected in zip(x, sigma, together, strict=True):
        torch.testing.assert_close(model.denoise(row, level), expected)


@pytest.mark.parametrize("side", [16, 24, 31])
def test_means_of_white_noise_have_the_level_the_network_is_told(side: int) -> None:
    model = prior((3, side, side))
    model.denoise(noisy(model, 400, scale=1.9), 1.9)
    ((inputs, sigma),) = model.network.calls
    entries = inputs[0].numel()
    # 4 standard errors of a std from N entries, 1/√(2N) each, N halved for what overlapping blocks (31) share.
    bound = 4 / math.sqrt(400 * entries)
    ratio = float((inputs - 0.5).square().mean().sqrt() / sigma[0])
    assert abs(ratio - 1) < bound


def test_a_constant_stays_what_it_is_at_every_level() -> None:
    model = prior((3, 12, 20))
    x = torch.full((1, 3, 12, 20), 0.3, dtype=torch.float64)
    for level in (0.05, 0.6, 1.3, 3.0, model.sigma_max):
        torch.testing.assert_close(model.denoise(x, level), x)


def test_levels_and_shapes() -> None:
    assert prior((3, 8, 16)).sigma_max == 8.0 and prior((3, 33, 7)).sigma_max == 32.0
    with pytest.raises(NoiseLevelError):
        prior().denoise(torch.zeros(1, 3, 8, 16, dtype=torch.float64), 8.1)
    with pytest.raises(ShapeError, match="C, H, W"):
        prior((8, 8))


def test_a_narrower_network() -> None:
    model = prior().float()
    for sigma in (0.3, 2.0):
        assert model.denoise(noisy(model, 2), sigma).dtype == torch.float64
    assert all(inputs.dtype == sigma.dtype == torch.float32 for inputs, sigma in model.network.calls)
