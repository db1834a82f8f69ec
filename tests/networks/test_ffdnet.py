import pytest
import torch
from torch.nn.functional import conv2d, pad

from posterior.networks.ffdnet import FFDNet
from posterior.noise import Noise


def small() -> FFDNet:
    torch.manual_seed(0)
    return FFDNet(channels=2, width=5, depth=3).double()


def images(height: int, width: int) -> torch.Tensor:
    return Noise.of(0, 3, dtype=torch.float64).uniform((2, height, width))[0]


SIGMA = torch.tensor([0.02, 0.1, 0.3], dtype=torch.float64)


def test_layers_by_hand() -> None:
    network, x = small(), images(4, 6)
    h = torch.zeros(3, 9, 2, 3, dtype=torch.float64)
    for channel in range(2):
        for i in range(2):
            for j in range(2):
                h[:, 4 * channel + 2 * i + j] = x[:, channel, i::2, j::2]
    h[:, 8] = SIGMA[:, None, None]
    weights = network.state_dict()
    for layer in (0, 2, 4):
        h = conv2d(h, weights[f"model.{layer}.weight"], weights[f"model.{layer}.bias"], padding=1)
        h = h.relu() if layer < 4 else h
    out = network(x, SIGMA)
    for i in range(2):
        for j in range(2):
            assert torch.allclose(out[:, :, i::2, j::2], h[:, 2 * i + j :: 4])


@pytest.mark.parametrize("shape", [(4, 6), (5, 6), (4, 7), (5, 7), (1, 1), (1, 6)])
def test_any_size(shape: tuple[int, int]) -> None:
    network, x = small(), images(*shape)
    out = network(x, SIGMA)
    assert out.shape == x.shape
    even = pad(x, (0, shape[1] % 2, 0, shape[0] % 2), mode="replicate")
    assert torch.equal(out, network(even, SIGMA)[..., : shape[0], : shape[1]])


@pytest.mark.parametrize("shape", [(4, 6), (5, 7)])
def test_a_map_of_noise_levels(shape: tuple[int, int]) -> None:
    network, x = small(), images(*shape)
    same = SIGMA[:, None, None, None].expand(-1, 1, *shape)
    assert torch.allclose(network(x, same), network(x, SIGMA))
    two = same.clone()
    two[..., shape[1] // 2 :] *= 3
    assert not torch.allclose(network(x, two)[..., -1], network(x, SIGMA)[..., -1])
    blocks = torch.zeros(3, 1, 4, 6, dtype=torch.float64)
    blocks[..., 0, 0], blocks[..., 1, 1] = 0.2, 0.4  # a block is told the mean
    means = torch.zeros_like(blocks)
    means[..., :2, :2] = 0.15
    assert torch.allclose(network(images(4, 6), blocks), network(images(4, 6), means))


def test_the_size_of_the_colour_network() -> None:
    assert sum(p.numel() for p in FFDNet().parameters()) == 852_108
