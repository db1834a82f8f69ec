"""Each block against a plain reference that shares no code with it."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from posterior.networks.stylegan2_blocks import (
    Blur,
    EqualLinear,
    Filter,
    MappingLayer,
    ModulatedConv,
    PixelNorm,
    StyledConv,
    ToRGB,
    Upsample,
)
from posterior.noise import Noise

DOUBLE = torch.float64


def draw(name: str, *shape: int) -> Tensor:
    return Noise.of(0, dtype=DOUBLE).use(name).normal(shape)[0, 0]


def randomised(module: torch.nn.Module) -> torch.nn.Module:
    for name, parameter in module.double().named_parameters():
        parameter.data = draw(name, *parameter.shape)
    return module.requires_grad_(False)


def up_fir(x: Tensor, kernel: Tensor, up: int, before: int, after: int) -> Tensor:
    """Zeros inserted after each pixel, zero padding, and convolution with the flipped kernel, pixel by pixel."""
    x, kernel = x.numpy(), kernel.numpy()
    rows, channels, height, width = x.shape
    spread = np.zeros((rows, channels, up * height, up * width))
    spread[:, :, ::up, ::up] = x
    padded = np.pad(spread, ((0, 0), (0, 0), (before, after), (before, after)))
    out = np.zeros((rows, channels, padded.shape[2] - 3, padded.shape[3] - 3))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, :, i, j] = (padded[:, :, i : i + 4, j : j + 4] * kernel[::-1, ::-1]).sum((2, 3))
    return torch.from_numpy(out)


def modulated_weight(module: ModulatedConv, style: Tensor) -> Tensor:
    """w'' of one style, entry by entry."""
    affine = module.modulation
    inputs = affine.weight.shape[0]
    s = [float((affine.weight[i] * style).sum() / math.sqrt(len(style)) + affine.bias[i]) for i in range(inputs)]
    weight = module.weight[0] / math.sqrt(inputs * module.weight.shape[-1] ** 2)
    weight = torch.stack([s[i] * weight[:, i] for i in range(inputs)], 1)
    if module.demodulate:
        weight = torch.stack([w / math.sqrt(float((w**2).sum()) + 1e-8) for w in weight])
    return weight


def test_the_filter_is_binomial_with_gain_four() -> None:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    torch.testing.assert_close(Filter().kernel, 4 * row[:, None] * row)
    assert float(Filter().kernel.sum()) == 4


@pytest.mark.parametrize("kernel", ["binomial", "lopsided"])
def test_blur_and_upsample_are_zero_insertion_and_convolution(kernel: str) -> None:
    for module, x, up, pad in (
        (Blur(), draw("x", 2, 3, 7, 9), 1, (1, 1)),
        (Upsample(), draw("x", 2, 3, 4, 5), 2, (2, 1)),
    ):
        module.double()
        if kernel == "lopsided":
            module.kernel = draw("kernel", 4, 4)
        torch.testing.assert_close(module(x), up_fir(x, module.kernel, up, *pad))


def test_upsampling_keeps_a_constant_image() -> None:
    image = Upsample()(torch.full((1, 3, 6, 6), 0.7))
    torch.testing.assert_close(image[..., 1:-1, 1:-1], torch.full((1, 3, 10, 10), 0.7))


@pytest.mark.parametrize(("kernel", "demodulate"), [(3, True), (1, False)])
def test_a_modulated_convolution_is_one_convolution_a_sample(kernel: int, demodulate: bool) -> None:
    module = randomised(ModulatedConv(4, 5, kernel, 6, demodulate=demodulate))
    x, styles = draw("x", 3, 4, 7, 8), draw("styles", 3, 6)
    expected = torch.cat(
        [functional.conv2d(x[n : n + 1], modulated_weight(module, styles[n]), padding=kernel // 2) for n in range(3)]
    )
    torch.testing.assert_close(module(x, styles), expected)


def test_an_upsampling_convolution_is_zero_insertion_convolution_and_blur() -> None:
    module = randomised(ModulatedConv(4, 5, 3, 6, upsample=True))
    x, styles = draw("x", 3, 4, 5, 6), draw("styles", 3, 6)
    spread = torch.zeros(3, 4, 9, 11, dtype=DOUBLE)
    spread[:, :, ::2, ::2] = x
    expected = torch.cat(
        [
            # a transposed convolution is a convolution of what was spread out, in full, with the flipped kernel
            functional.conv2d(spread[n : n + 1], modulated_weight(module, styles[n]).flip(2, 3), padding=2)
            for n in range(3)
        ]
    )
    assert expected.shape == (3, 5, 11, 13)
    torch.testing.assert_close(module(x, styles), up_fir(expected, module.blur.kernel, 1, 1, 1))


def test_demodulation_gives_unit_variance() -> None:
    module = randomised(ModulatedConv(8, 6, 3, 4))
    x = draw("white", 1, 8, 120, 120)
    out = module(x, 3 * draw("styles", 1, 4))[..., 1:-1, 1:-1]
    # about 118²/9 independent values a channel at least: the variance's standard error is √(2/1547) = .036
    assert ((out.var((0, 2, 3)) - 1).abs() < 5 * 0.036).all()


def test_a_styled_convolution_adds_noise_then_bias_then_activates() -> None:
    module = randomised(StyledConv(4, 5, 6))
    x, styles, noise = draw("x", 2, 4, 3, 3), draw("styles", 2, 6), draw("noise", 1, 1, 3, 3)
    inner = module.conv(x, styles) + module.noise.weight * noise + module.activate.bias.reshape(5, 1, 1)
    expected = torch.where(inner > 0, inner, 0.2 * inner) * 2**0.5
    torch.testing.assert_close(module(x, styles, noise), expected)


def test_images_add_up() -> None:
    module = randomised(ToRGB(4, 6))
    x, styles, image = draw("x", 2, 4, 6, 6), draw("styles", 2, 6), draw("image", 2, 3, 3, 3)
    added = torch.cat(
        [functional.conv2d(x[n : n + 1], modulated_weight(module.conv, styles[n])) + module.bias for n in range(2)]
    )
    torch.testing.assert_close(module(x, styles), added)
    torch.testing.assert_close(module(x, styles, image), added + up_fir(image, module.upsample.kernel, 2, 2, 1))


def test_learning_rates_are_equalised() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = EqualLinear(400, 500, bias=1.0, rate=0.01).double().requires_grad_(False)
    assert torch.equal(layer.bias, torch.ones(500, dtype=DOUBLE))
    assert abs(float(layer.weight.std()) / 100 - 1) < 0.01  # 200 000 values: a standard error of .0016
    x = draw("x", 3, 400)
    torch.testing.assert_close(layer(x), 0.01 * (x @ layer.weight.T / 20 + layer.bias))
    mapping = randomised(MappingLayer(9))
    inner = 0.01 * (x[:, :9] @ mapping.weight.T / 3 + mapping.bias)
    torch.testing.assert_close(mapping(x[:, :9]), 2**0.5 * torch.maximum(inner, 0.2 * inner))


def test_pixel_norm_makes_the_mean_square_one() -> None:
    z = 5 * draw("z", 3, 7)
    torch.testing.assert_close(PixelNorm()(z).square().mean(1), torch.ones(3, dtype=DOUBLE))
    torch.testing.assert_close(PixelNorm()(z), PixelNorm()(3 * z))
    assert torch.equal(PixelNorm()(torch.zeros(1, 7)), torch.zeros(1, 7))
