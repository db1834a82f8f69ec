import torch

from benchmarks.exactness.photograph_coverage import MappedPrior
from posterior.networks.ffdnet import FFDNet
from posterior.noise import Noise
from posterior.priors import PyramidPrior

SHAPE = (1, 8, 8)


def pyramid() -> PyramidPrior:
    torch.manual_seed(0)
    network = FFDNet(channels=1, width=4, depth=3)
    return PyramidPrior(network, SHAPE, sigma_data=0.5, sigma_min=0.02, sigma_network=0.5).double()


def test_one_length_for_all_pixels_is_a_change_of_units() -> None:
    prior, x = pyramid(), Noise.of(0, 3, 2, dtype=torch.float64).normal(SHAPE)
    mapped = MappedPrior(prior, torch.full((8, 8), 3.0, dtype=torch.float64))
    for sigma in (0.05, 0.3, 0.9):  # of one octave each
        assert torch.allclose(mapped.denoise(x, sigma), prior.denoise(3 * x, 3 * sigma) / 3)


def test_each_pixel_has_its_own_level() -> None:
    prior, x = pyramid(), Noise.of(0, 1, 2, dtype=torch.float64).normal(SHAPE)[:, 0]
    lengths = torch.ones(8, 8, dtype=torch.float64)
    lengths[:, 4:] = 2
    levels = (0.1 * lengths / 2).expand(2, 1, -1, -1)
    clean = 2 * prior.network((x * lengths + 1) / 2, levels) - 1
    assert torch.allclose(MappedPrior(prior, lengths).denoise(x, 0.1), clean.clamp(-1, 1) / lengths)
