import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d, pad

from posterior.errors import InvalidValueError
from posterior.networks.drunet import DRUNet
from posterior.noise import Noise

SIGMA = torch.tensor([0.02, 0.1, 0.3], dtype=torch.float64)


def small(bias: bool = False) -> DRUNet:
    torch.manual_seed(0)
    return DRUNet(2, (3, 4, 5, 6), 1, bias).double()


def images(height: int, width: int) -> torch.Tensor:
    return Noise.of(0, 3, dtype=torch.float64).uniform((2, height, width))[0]


@pytest.mark.parametrize("bias", [False, True])
def test_layers_by_hand(bias: bool) -> None:
    network, x = small(bias), images(8, 16)
    weights = network.state_dict()

    def layer(h: torch.Tensor, name: str) -> torch.Tensor:
        return conv2d(h, weights[f"{name}.weight"], weights.get(f"{name}.bias"), padding=1)

    def block(h: torch.Tensor, name: str) -> torch.Tensor:
        return h + layer(layer(h, f"{name}.res.0").relu(), f"{name}.res.2")

    def down(h: torch.Tensor, name: str) -> torch.Tensor:
        h = block(h, f"{name}.0")
        return conv2d(h, weights[f"{name}.1.weight"], weights.get(f"{name}.1.bias"), stride=2)

    def up(h: torch.Tensor, name: str) -> torch.Tensor:
        h = conv_transpose2d(h, weights[f"{name}.0.weight"], weights.get(f"{name}.0.bias"), stride=2)
        return block(h, f"{name}.1")

    levels = [layer(torch.cat([x, SIGMA[:, None, None, None].expand(3, 1, 8, 16)], 1), "m_head")]
    for number in (1, 2, 3):
        levels.append(down(levels[-1], f"m_down{number}"))
    h = block(levels[3], "m_body.0")
    for number in (3, 2, 1):
        h = up(h + levels[number], f"m_up{number}")
    assert torch.allclose(network(x, SIGMA), layer(h + levels[0], "m_tail"))


@pytest.mark.parametrize("shape", [(8, 24), (5, 8), (8, 13), (9, 15), (1, 1)])
def test_any_size(shape: tuple[int, int]) -> None:
    network, x = small(), images(*shape)
    out = network(x, SIGMA)
    assert out.shape == x.shape
    padded = pad(x, (0, -shape[1] % 8, 0, -shape[0] % 8), mode="replicate")
    assert torch.equal(out, network(padded, SIGMA)[..., : shape[0], : shape[1]])


def test_without_biases_noise_and_image_may_be_scaled_together() -> None:
    x = images(8, 8)
    assert torch.allclose(small()(3 * x, 3 * SIGMA), 3 * small()(x, SIGMA))
    assert not torch.allclose(small(bias=True)(3 * x, 3 * SIGMA), 3 * small(bias=True)(x, SIGMA))


def test_the_size_of_the_authors_network() -> None:
    with torch.device("meta"):
        assert sum(p.numel() for p in DRUNet().parameters()) == 32_640_960


def test_settings_are_checked() -> None:
    for settings in ((0,), (1, (3, 4, 5)), (1, (3, 4, 5, 0)), (1, (3, 4, 5, 6), 0)):
        with pytest.raises(InvalidValueError, match="DRUNet needs four widths"):
            DRUNet(*settings)
