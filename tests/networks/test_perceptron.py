import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.networks.perceptron import Perceptron
from posterior.noise import Noise
from posterior.priors.generators import NetworkGenerator
from posterior.priors.zoo import load_prior, save_prior


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0])
def test_layers_keep_lengths_on_average(slope: float) -> None:
    network = Perceptron([50, 4000, 3000], slope)
    z = Noise.of(1, 200).normal((50,))[0]
    # each of n outputs adds a term whose variance is at most 5/n² of the squared length (that of ReLU)
    bound = 5 * (5 / 4000 + 5 / 3000) ** 0.5
    assert ((network(z).square().sum(1) / z.square().sum(1) - 1).abs() < bound).all()


def test_activations_follow_every_layer() -> None:
    z = Noise.of(1, 20).normal((5,))[0]
    relu, leaky, linear = (Perceptron([5, 30], slope)(z) for slope in (0.0, 0.5, 1.0))
    v = linear  # of slope 1; weights of another slope are these times √(2/(1 + a²))
    assert torch.allclose(relu, 2**0.5 * v.clamp_min(0), atol=1e-6)
    assert torch.allclose(leaky, 1.6**0.5 * torch.maximum(v, 0.5 * v), atol=1e-6)


def test_weights_are_those_of_the_seed_and_are_saved(tmp_path) -> None:
    first, again, other = (Perceptron([3, 7, 9], 0.1, seed) for seed in (0, 0, 1))
    z = Noise.of(1, 4).normal((3,))[0]
    assert torch.equal(first(z), again(z)) and not torch.equal(first(z), other(z))
    loaded = load_prior(save_prior(NetworkGenerator(first), tmp_path / "net"))
    assert torch.equal(loaded.decode(z), first(z))


def test_arguments_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="slope"):
        Perceptron([2, 3], 1.5)
    with pytest.raises(InvalidValueError, match="sizes"):
        Perceptron([0, 3])
