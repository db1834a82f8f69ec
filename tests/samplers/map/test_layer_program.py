import numpy as np
import pytest
import torch
from torch import nn

from posterior.errors import IncompatibleError
from posterior.priors.generators import NetworkGenerator
from samplers.map.layer_program import Layer, entered, layers_of
from tests.samplers.map.generators import Small


def layer(n: int, k: int, slope: float, seed: int = 0) -> Layer:
    rng = np.random.default_rng(seed)
    return Layer(rng.normal(size=(n, k)), 0.3 * rng.normal(size=n), slope)


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("slope", [0.0, 0.1, 1.0])
def test_exact_outputs_give_the_input(slope: float, norm) -> None:
    one, z = layer(60, 12, slope), np.random.default_rng(1).normal(size=12)
    assert np.allclose(entered(one, one(z), 1e-7, norm, False).z, z, atol=1e-6)


@pytest.mark.parametrize("unit", [1.0, 1e4, 1e-4])
def test_units_do_not_matter(unit: float) -> None:
    one, z = layer(60, 12, 0.0), np.random.default_rng(1).normal(size=12)
    scaled = one._replace(bias=unit * one.bias)
    assert np.allclose(entered(scaled, scaled(unit * z), 1e-7 * unit, "linf", False).z / unit, z, atol=1e-6)


@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_noise_is_explained_as_well_as_by_the_truth(slope: float) -> None:
    """The truth is among the inputs that are searched: none found is farther from the outputs whose sign is known.

    Others are within ε, and within 2ε below 0, where the program is wider than the layer.
    """
    rng = np.random.default_rng(2)
    for seed in range(5):
        one, z = layer(50, 8, slope, seed), rng.normal(size=8)
        noise = rng.uniform(-0.05, 0.05, 50)
        x = one(z) + noise
        found = entered(one, x, 0.05, "linf", False)
        error, known = np.abs(one(found.z) - x), (np.abs(x) > 0.05) | (slope == 1)
        assert error[known].max() <= np.abs(noise).max() + 1e-7
        assert error.max() <= (0.1 if 0 < slope < 1 else 0.05) + 1e-7
        assert found.epsilon == pytest.approx(0.05)  # that is enough, and nothing grew
        assert np.abs(found.z - z).max() < 0.1


def test_the_norm_is_minimised() -> None:
    # one input, seen in four outputs: the middle of their range, and their median
    one = Layer(np.ones((5, 1)), np.zeros(5), 1.0)
    x = np.array([0.1, 0.2, 0.4, 0.5, 1.9])
    assert entered(one, x, 2.0, "linf", False).z == pytest.approx([1.0])
    assert entered(one, x, 2.0, "l1", False).z == pytest.approx([0.4])


def test_every_piece_of_the_activation_binds() -> None:
    def input_of(layer: Layer, *x: float) -> float:
        return float(entered(layer, np.array(x), 1e-6, "l1", False).z[0])

    # v = z seen in one output by a leaky ReLU, and pulled away from what that says by half a second one, linear in z
    def pulled(x: float, pull: float) -> float:
        one = Layer(np.array([[1.0], [0.3 if pull > 0 else -0.3]]), np.array([0.0, 5.0]), 0.5)
        return input_of(one, x, 5.0 + 0.3 * abs(pull) * 1.0)

    for pull in (-3.0, 3.0):
        assert pulled(1.0, pull) == pytest.approx(1.0, abs=1e-5)
        assert pulled(-1.0, pull) == pytest.approx(-2.0, abs=1e-5)
        assert pulled(0.0, pull) == pytest.approx(0.0, abs=1e-5)

    # an output of 0 of ReLU says v ≤ 0 and nothing else
    two = Layer(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.zeros(3), 0.0)
    z = entered(two, np.array([2.0, 0.0, 1.0]), 1e-6, "linf", False).z
    assert z == pytest.approx([2.0, -1.0], abs=1e-5)
    # and is not negative: ReLU allows −0.3 only as noise of 0.3
    assert entered(two, np.array([2.0, -0.3, 1.0]), 0.01, "linf", False).epsilon >= 0.3


def test_the_bound_grows_by_fifths_until_there_is_a_solution() -> None:
    one = Layer(np.ones((2, 1)), np.zeros(2), 1.0)
    found = entered(one, np.array([0.0, 1.0]), 0.1, "linf", False)
    assert found.epsilon == pytest.approx(0.1 * 1.2**9)  # the first that is ≥ ½
    assert found.z == pytest.approx([0.5])


def test_inputs_that_left_a_relu_are_not_negative() -> None:
    one = Layer(np.ones((2, 1)), np.zeros(2), 1.0)
    assert entered(one, np.array([-0.2, -0.1]), 0.5, "l1", True).z == pytest.approx([0.0])
    assert entered(one, np.array([-0.2, -0.1]), 0.5, "linf", False).z == pytest.approx([-0.15])


def test_inner_and_outer_modules_are_read() -> None:
    class Network(nn.Module):
        latent_shape, event_shape = (2,), (5,)

        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList([
                nn.Sequential(nn.Linear(2, 3), nn.ReLU()),
                nn.Linear(3, 4, bias=False),
                nn.LeakyReLU(0.3),
                nn.Linear(4, 5),
            ])  # fmt: skip

    prior = NetworkGenerator(Network())
    layers = layers_of(prior)
    assert [one.slope for one in layers] == pytest.approx([0.0, 0.3, 1.0])
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    h = z.double().numpy()
    for one in layers:
        h = one(h)
    assert np.allclose(h, prior(z).detach().numpy(), atol=1e-5)


def test_other_modules_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="Flatten of Small"):
        layers_of(Small())
