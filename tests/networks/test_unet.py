import pytest
import torch
from torch import Tensor, nn

from posterior.errors import InvalidValueError, ShapeError
from posterior.networks.unet import UNet
from posterior.noise import Noise


def unet(*args: object, **options: object) -> UNet:
    """A network with random weights throughout; at first some are zero and would hide mistakes."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = UNet(*args, **options)  # type: ignore[arg-type]
        for parameter in network.parameters():
            nn.init.normal_(parameter, std=0.1)
    return network.eval()


def images(count: int, *shape: int) -> Tensor:
    return Noise.of(0, count).normal(shape)[0]


def labels(count: int) -> Tensor:
    return torch.linspace(-1.5, 1.1, count)


@pytest.mark.parametrize(
    ("shape", "widths", "patch"),
    [
        ((1, 28, 28), (4, 8, 8, 12), 1),  # 28 → 14 → 7 → 4
        ((1, 28, 28), (4, 8, 8), 2),
        ((3, 13, 9), (8, 8, 16), 1),
        ((3, 10, 6), (8, 8), 2),
        ((2, 6, 9), (8,), 3),
        ((1, 1, 1), (4, 8), 1),
    ],
)
@torch.no_grad()
def test_images_keep_their_shape(shape: tuple[int, ...], widths: tuple[int, ...], patch: int) -> None:
    x = images(2, *shape)
    out = unet(shape[0], widths, 1, patch)(x, labels(2))
    assert out.shape == x.shape
    assert bool(out.isfinite().all())
    assert float(out.std()) > 0


@pytest.mark.parametrize("patch", [1, 2])
@torch.no_grad()
def test_rows_do_not_meet(patch: int) -> None:
    network, x, c = unet(1, (8, 8), 1, patch), images(4, 1, 6, 6), labels(4)
    whole = network(x, c)
    for i in range(4):
        torch.testing.assert_close(network(x[i : i + 1], c[i : i + 1])[0], whole[i], atol=1e-5, rtol=1e-4)
    x[2] = 100
    torch.testing.assert_close(network(x, c)[[0, 1, 3]], whole[[0, 1, 3]], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_the_label_and_every_pixel_matter() -> None:
    network, x = unet(1, (8, 8), 1), images(1, 1, 6, 6)
    low, high = (network(x, torch.tensor([c])) for c in (-1.0, 1.0))
    assert float((low - high).std()) > 0.01 * float(low.std())
    moved = x.clone()
    moved[..., 5, 5] += 3
    assert float((network(moved, torch.tensor([-1.0])) - low)[..., 0, 0].abs()) > 0  # by attention, if nothing else


@pytest.mark.parametrize("attention", [True, False])
def test_every_weight_is_used(attention: bool) -> None:
    network = unet(1, (8, 12), 2, attention=attention)
    network(images(2, 1, 6, 6), labels(2)).square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in network.parameters())


def test_every_class_is_a_network_of_its_own_and_none_is_one_more() -> None:
    network, x, c = unet(1, (8, 12), 1, classes=3), images(4, 1, 6, 6), labels(4)
    out = torch.stack([network(x, c, torch.full((4,), which)) for which in range(4)])
    assert float((out[:, None] - out[None]).detach().std((2, 3, 4, 5))[~torch.eye(4, dtype=torch.bool)].min()) > 1e-4
    torch.testing.assert_close(network(x, c), out[3])
    mixed = network(x, c, torch.tensor([2, 0, 3, 1]))
    torch.testing.assert_close(mixed, out[[2, 0, 3, 1], range(4)], atol=1e-5, rtol=1e-4)
    mixed.square().sum().backward()
    assert all(p.grad is not None and float(p.grad.abs().max()) > 0 for p in network.parameters())
    assert (network.num_classes, unet(1, (8,), 1).num_classes) == (3, None)


@torch.no_grad()
def test_it_begins_as_zero() -> None:
    with torch.random.fork_rng():
        assert float(UNet(1, (8,), 1)(images(2, 1, 6, 6), labels(2)).abs().max()) == 0


@torch.no_grad()
def test_dropout_is_for_training() -> None:
    network, x, c = unet(1, (8,), 1, dropout=0.5), images(2, 1, 6, 6), labels(2)
    assert torch.equal(network(x, c), network(x, c))
    with torch.random.fork_rng():
        assert not torch.equal(network.train()(x, c), network(x, c))


def test_the_configuration_says_it_all() -> None:
    network = unet(3, (8, 12), 2, 2, 0.1, attention=False, classes=4)
    again = UNet(**network.config)  # type: ignore[arg-type]
    again.load_state_dict(network.state_dict())
    x, c = images(2, 3, 8, 8), labels(2)
    torch.testing.assert_close(again.eval()(x, c), network(x, c))


@pytest.mark.parametrize(
    "options",
    [
        {"channels": 0},
        {"widths": ()},
        {"widths": (8, 0)},
        {"blocks": 0},
        {"patch": 0},
        {"dropout": 1},
        {"widths": [6]},
        {"classes": -1},
    ],
)
def test_arguments_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(InvalidValueError, match=r"UNet needs|self-attention needs"):
        UNet(**options)  # type: ignore[arg-type]


def test_sides_that_the_patch_does_not_divide() -> None:
    with pytest.raises(ShapeError, match="patch = 2"):
        UNet(1, (8,), 1, patch=2)(images(1, 1, 6, 5), labels(1))
