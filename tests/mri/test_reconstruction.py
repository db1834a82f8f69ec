"""Networks of MRI reconstruction against the formulas of their papers."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError
from posterior.mri import (
    MoDLNetwork,
    ReconstructionNetwork,
    ReconstructionUNet,
    VariationalNetwork,
    load_network,
    random_maps,
    random_mask,
    save_network,
)
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from posterior.operators.fourier import centred_fft
from tests.mri.networks import drawn, zero
from tests.problems import DOUBLE

SHAPE = (6, 8)
MAPS = torch.stack([random_maps(3, *SHAPE, seed, DOUBLE) for seed in range(2)])
MASKS = torch.stack([random_mask(SHAPE, 2.0, 1, seed) for seed in range(2)])[:, None]
A = MultiCoilMRI(MAPS, MASKS)
X = Noise.of(0, 2, dtype=DOUBLE).use("x").normal((2, *SHAPE))[0]
Y = A(X + 0.1 * Noise.of(0, 2, dtype=DOUBLE).use("n").normal((2, *SHAPE))[0])


def small() -> list[ReconstructionNetwork]:
    return [
        ReconstructionUNet(2, 1),
        MoDLNetwork(2, 1, iterations=2, products=30),
        VariationalNetwork(cascades=2, width=2, pools=1),
    ]


each = pytest.mark.parametrize("network", small(), ids=lambda network: type(network).__name__)


def grams() -> Tensor:
    """AᵀA of each measurement as a matrix (2, n, n)."""
    eye = torch.eye(96, dtype=DOUBLE).reshape(96, 1, 2, *SHAPE)
    return A.gram(eye.expand(96, 2, 2, *SHAPE)).flatten(2).permute(1, 2, 0)


def test_the_unet_cleans_the_zero_filled_image() -> None:
    network = drawn(ReconstructionUNet(2, 1))
    x = A.adjoint(Y)
    assert torch.allclose(network(Y, A), x + network.network(x))
    assert not torch.allclose(network(Y, A), x)
    assert torch.equal(zero(ReconstructionUNet(2, 1))(Y, A), x)


def test_modl_by_dense_inverses() -> None:
    network, seen = drawn(MoDLNetwork(2, 1, iterations=3, products=60)), A.adjoint(Y)
    assert float(network.log_weight.exp()) == pytest.approx(0.05)
    x = seen
    for _ in range(3):
        right = (seen + 0.05 * (x + network.network(x))).flatten(1)
        inverse = torch.linalg.inv(grams() + 0.05 * torch.eye(96, dtype=DOUBLE))
        x = torch.einsum("bij,bj->bi", inverse, right).reshape(X.shape)
    assert torch.allclose(network(Y, A), x, atol=1e-5)


def test_gradients_of_modl_are_differences_of_its_loss() -> None:
    network = drawn(MoDLNetwork(2, 1, iterations=2, products=60)).requires_grad_(True)

    def loss() -> Tensor:
        return (network(Y, A) - X).square().sum()

    slopes = torch.autograd.grad(loss(), list(network.parameters()))
    for place, (values, slope) in enumerate(zip(network.parameters(), slopes, strict=True)):
        way = Noise.of(place, dtype=DOUBLE).normal(values.shape)[0, 0]
        with torch.no_grad():
            ends = []
            for side in (1e-6, -2e-6):  # so small that no leaky ReLU changes its side
                values += side * way
                ends.append(float(loss()))
            values += 1e-6 * way
        assert (slope * way).sum() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-5)


def test_a_cascade_without_refinement_is_a_gradient_step() -> None:
    network = zero(VariationalNetwork(cascades=2, width=2, pools=1))
    network.steps.copy_(torch.tensor([0.7, 0.3]))
    k, x = centred_fft(A.maps * torch.complex(*X.unbind(1))[:, None]), X
    for cascade, step in enumerate((0.7, 0.3)):
        k = network.cascade(cascade, k, Y, A)
        x = x - step * A.adjoint(A(x) - Y)  # down the slope of ½‖y − Ax‖²
        if cascade == 0:
            assert torch.allclose(A.transform_adjoint(k), x)
    # The second sees a k-space that is no coils' image any more, whose gradient step is taken in each coil.
    full = centred_fft(A.maps * torch.complex(*X.unbind(1))[:, None])
    assert torch.allclose(k, full - (1 - 0.3 * 0.7) * MASKS * (full - Y))


def test_a_cascade_adds_what_its_network_makes_of_the_image_in_all_coils() -> None:
    network = drawn(VariationalNetwork(cascades=2, width=2, pools=1))
    network.steps.fill_(0.0)
    k = centred_fft(A.maps * torch.complex(*X.unbind(1))[:, None])
    change = network.cascade(1, k, Y, A) - k
    correction = torch.complex(*network.networks[1](X).unbind(1))
    assert torch.allclose(change, centred_fft(A.maps * correction[:, None]))


def test_cascades_follow_each_other_from_the_measurement() -> None:
    network = drawn(VariationalNetwork(cascades=2, width=2, pools=1))
    k = network.cascade(1, network.cascade(0, Y, Y, A), Y, A)
    assert torch.allclose(network(Y, A), A.transform_adjoint(k))
    assert torch.allclose(zero(VariationalNetwork(2, 2, 1))(Y, A), A.adjoint(Y))


@each
def test_the_image_scales_as_the_measurement(network: ReconstructionNetwork) -> None:
    network = drawn(network)
    assert torch.allclose(network(1e3 * Y, A), 1e3 * network(Y, A), rtol=1e-5)


@each
def test_rows_do_not_meet(network: ReconstructionNetwork) -> None:
    network = drawn(network)
    one = torch.tensor([1])
    assert torch.allclose(network(Y, A)[1:], network(Y[1:], A.select(one)))


@each
def test_save_and_load(network: ReconstructionNetwork, tmp_path: Path) -> None:
    network = drawn(network)
    loaded = load_network(save_network(network, tmp_path))
    assert type(loaded) is type(network) and repr(loaded) == repr(network) and not loaded.training
    assert torch.equal(loaded(Y, A), network(Y, A))
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"class": "resnet"}))
    with pytest.raises(FileFormatError, match="names the class 'resnet'; known are unet, modl, varnet"):
        load_network(tmp_path)


def test_three_networks_of_about_two_million_parameters() -> None:
    kinds = (ReconstructionUNet, MoDLNetwork, VariationalNetwork)
    sizes = [sum(p.numel() for p in kind().parameters()) for kind in kinds]
    assert max(sizes) < 1.3 * min(sizes) and min(sizes) > 1.5e6 and max(sizes) < 2e6
    assert MoDLNetwork().iterations == 5 and len(VariationalNetwork().networks) == 6


def test_settings_are_checked() -> None:
    for wrong in (0, 2.5):
        with pytest.raises(InvalidValueError, match="MoDLNetwork needs iterations to be an integer ≥ 1; got"):
            MoDLNetwork(iterations=wrong)  # type: ignore[arg-type]
