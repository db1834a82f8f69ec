import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d, conv_transpose2d, leaky_relu, pad

from posterior.errors import InvalidValueError
from posterior.networks.normalised_unet import NormalisedUNet
from posterior.noise import Noise
from tests.mri.networks import drawn
from tests.problems import DOUBLE


def images(height: int, width: int) -> torch.Tensor:
    return Noise.of(0, 3, dtype=DOUBLE).uniform((2, height, width))[0]


def test_layers_by_hand() -> None:
    network, x = drawn(NormalisedUNet(2, 3, 1)), images(4, 6)
    std, mean = x.std((2, 3), keepdim=True), x.mean((2, 3), keepdim=True)
    weights = network.state_dict()

    def activated(h: torch.Tensor) -> torch.Tensor:
        variance = h.var((2, 3), keepdim=True, correction=0)
        return leaky_relu((h - h.mean((2, 3), keepdim=True)) / (variance + 1e-5).sqrt(), 0.2)

    def twice(h: torch.Tensor, name: str) -> torch.Tensor:
        for layer in (0, 3):
            h = activated(conv2d(h, weights[f"{name}.{layer}.weight"], padding=1))
        return h

    fine = twice((x - mean) / std, "down.0")
    coarse = twice(avg_pool2d(fine, 2), "down.1")
    larger = activated(conv_transpose2d(coarse, weights["larger.0.0.weight"], stride=2))
    out = twice(torch.cat([larger, fine], 1), "up.0")
    out = std * conv2d(out, weights["last.weight"], weights["last.bias"])
    assert torch.allclose(network(x), out)


def test_other_sides_are_padded_with_zeros_at_both_ends() -> None:
    network, x = drawn(NormalisedUNet(2, 2, 2)), images(5, 6)
    std, mean = torch.std_mean(x, (2, 3), keepdim=True)
    inner = _without_normalisation(network, pad((x - mean) / std, (1, 1, 1, 2)))
    assert torch.allclose(network(x), std * inner[..., 1:6, 1:7])


@pytest.mark.parametrize("shape", [(1, 2), (9, 2), (4, 4)])
def test_small_images_are_taken(shape: tuple[int, int]) -> None:
    x = images(*shape)
    out = drawn(NormalisedUNet(2, 2, 2))(x)
    assert out.shape == x.shape and out.isfinite().all() and out.any()


def _without_normalisation(network: NormalisedUNet, x: torch.Tensor) -> torch.Tensor:
    skips = [h := network.down[0](x)]
    for layer in network.down[1:]:
        skips.append(h := layer(avg_pool2d(h, 2)))
    skips.pop()
    for larger, layer in zip(network.larger, network.up, strict=True):
        h = layer(torch.cat([larger(h), skips.pop()], 1))
    return network.last(h)


def test_the_output_scales_as_the_input_and_a_constant_is_not_seen() -> None:
    network, x = drawn(NormalisedUNet(2, 2, 1)), images(4, 6)
    assert torch.allclose(network(1e-4 * x), 1e-4 * network(x))
    assert torch.allclose(network(x + 3), network(x))
    assert (network(torch.ones_like(x)).abs() < 1e-12).all()


def test_it_is_zero_at_first() -> None:
    assert torch.equal(NormalisedUNet(2, 2, 1)(images(4, 6).float()), torch.zeros(3, 2, 4, 6))


def test_precision_is_the_images() -> None:
    network = drawn(NormalisedUNet(2, 2, 1))
    x = images(4, 6)
    exact = network(x)
    assert network.float()(x).dtype == DOUBLE
    assert torch.allclose(network(x), exact, atol=1e-5)


def test_settings_are_checked() -> None:
    for settings in ((0, 2, 1), (2, 0, 1), (2, 2, 0)):
        with pytest.raises(InvalidValueError, match="NormalisedUNet needs channels, width and pools of at least 1"):
            NormalisedUNet(*settings)
