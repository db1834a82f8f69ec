from typing import Any

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.networks.edm_blocks import Conv
from posterior.networks.edm_unet import EDMUNet


@pytest.mark.parametrize(
    "options",
    [
        {},
        dict(attention=[8, 2], fourier=True, encoder="residual", taps=4),
        dict(encoder="skip", decoder="skip", taps=4, stem=4, noise=8, embedding=12),
        dict(widths=[64, 64], architecture="adm", attention=[4]),
    ],
)
def test_every_layout_makes_images_and_is_told_of_the_label(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    network = EDMUNet(**{"size": 8, "channels": 2, "widths": [8, 8, 16], "blocks": 1, "attention": [4], **options})
    again = EDMUNet(**network.config)
    again.load_state_dict(network.state_dict())
    x, label = torch.randn(3, 2, 8, 8), torch.tensor([0.1, 0.1, 0.7])
    with torch.no_grad():
        out = network(x[:1].expand(3, -1, -1, -1), label)
        assert out.shape == x.shape
        torch.testing.assert_close(out[0], out[1])
        assert float((out[0] - out[2]).abs().max()) > 1e-3
        assert torch.equal(out, again(x[:1].expand(3, -1, -1, -1), label))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(widths=[]), "positive channels"),
        (dict(blocks=0), "positive channels"),
        (dict(taps=3), "2 or 4 taps"),
        (dict(size=10), "a side of 10 cannot be halved 2 times"),
        (dict(encoder="none"), "'none' is none of standard, skip, residual"),
        (dict(architecture="adm", fourier=True), "'adm' has a standard encoder"),
    ],
)
def test_arguments_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        EDMUNet(**{"size": 8, "widths": [8, 8, 8], "blocks": 1, **options})


@pytest.mark.parametrize("taps", [2, 4])
def test_resampling_keeps_means_away_from_the_border(taps: int) -> None:
    x = torch.full((1, 3, 8, 8), 0.7)
    assert torch.allclose(Conv(3, 3, 0, "down", taps)(x)[..., 1:-1, 1:-1], torch.tensor(0.7))
    assert torch.allclose(Conv(3, 3, 0, "up", taps)(x)[..., 1:-1, 1:-1], torch.tensor(0.7))


def test_the_filter_may_come_last() -> None:
    torch.manual_seed(0)
    x, conv = torch.randn(2, 3, 8, 8), Conv(3, 5, 3, "down", 4, filter_last=True)
    plain, down = Conv(3, 5, 3), Conv(5, 5, 0, "down", 4)
    plain.load_state_dict({"weight": conv.weight, "bias": conv.bias})
    inner = (..., slice(1, -1), slice(1, -1))
    assert torch.allclose(conv(x)[inner], down(plain(x))[inner], atol=1e-5)  # but at the border
