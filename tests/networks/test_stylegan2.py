import math

import pytest
import torch
from torch.nn import functional

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood
from posterior.networks.stylegan2 import StyleGAN2Generator
from posterior.noise import Noise
from posterior.operators import Downsampling
from posterior.priors import zoo
from posterior.priors.generators import NetworkGenerator
from posterior.problem import Posterior
from samplers.map import CSGM, ILO, PULSE
from tests.networks.stylegan2 import small_network

DOUBLE = torch.float64
KINDS = pytest.mark.parametrize("latents", ["z", "w+"])


def latents_of(network: StyleGAN2Generator, rows: int, seed: int = 0) -> torch.Tensor:
    return Noise.of(seed, rows, dtype=DOUBLE).normal(network.latent_shape)[0]


def problem(latents: str, rows: int = 2) -> Posterior:
    prior = NetworkGenerator(small_network(latents)).requires_grad_(False)
    likelihood = GaussianLikelihood(Downsampling(prior.event_shape, 2).double(), 0.05)
    noise = Noise.of(3, rows, dtype=DOUBLE)
    return Posterior(prior, likelihood, likelihood.simulate(prior.sample(1, noise.use("truth"))[0], noise))


def layout(size: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of `g_ema` in the PyTorch port, config-f."""
    channels = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}
    expected: dict[str, tuple[int, ...]] = {"input.input": (1, 512, 4, 4), "noises.noise_0": (1, 1, 4, 4)}
    for i in range(1, 9):
        expected |= {f"style.{i}.weight": (512, 512), f"style.{i}.bias": (512,)}

    def convolution(name: str, inputs: int, outputs: int, upsample: bool) -> None:
        expected[f"{name}.conv.weight"] = (1, outputs, inputs, 3, 3)
        expected[f"{name}.conv.modulation.weight"] = (inputs, 512)
        expected[f"{name}.conv.modulation.bias"] = (inputs,)
        expected[f"{name}.noise.weight"] = (1,)
        expected[f"{name}.activate.bias"] = (outputs,)
        if upsample:
            expected[f"{name}.conv.blur.kernel"] = (4, 4)

    def to_rgb(name: str, inputs: int, upsample: bool) -> None:
        expected[f"{name}.bias"] = (1, 3, 1, 1)
        expected[f"{name}.conv.weight"] = (1, 3, inputs, 1, 1)
        expected[f"{name}.conv.modulation.weight"] = (inputs, 512)
        expected[f"{name}.conv.modulation.bias"] = (inputs,)
        if upsample:
            expected[f"{name}.upsample.kernel"] = (4, 4)

    convolution("conv1", 512, 512, False)
    to_rgb("to_rgb1", 512, False)
    for n, side in enumerate([side for side in channels if 8 <= side <= size]):
        convolution(f"convs.{2 * n}", channels[side // 2], channels[side], True)
        convolution(f"convs.{2 * n + 1}", channels[side], channels[side], False)
        to_rgb(f"to_rgbs.{n}", channels[side], True)
        expected |= {f"noises.noise_{j}": (1, 1, side, side) for j in (2 * n + 1, 2 * n + 2)}
    return expected


@pytest.mark.parametrize(("size", "styles", "parameters"), [(256, 14, 30_034_338), (1024, 18, 30_370_060)])
def test_names_shapes_and_counts_are_the_published_ones(size: int, styles: int, parameters: int) -> None:
    with torch.device("meta"):
        network = StyleGAN2Generator(size)
    assert {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()} == layout(size)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters
    assert network.num_styles == styles
    assert network.event_shape == (3, size, size)
    with torch.device("meta"):
        styled = StyleGAN2Generator(size, latents="w+")
    assert styled.latent_shape == (styles, 512)
    assert styled.state_dict().keys() - network.state_dict().keys() == {"marginals.mean", "marginals.std"}


def test_the_smaller_configurations_have_half_the_channels() -> None:
    with torch.device("meta"):
        network = StyleGAN2Generator(256, channel_multiplier=1)
    widths = [convolution.conv.weight.shape[1] for convolution in network.convs[::2]]
    assert widths == [512, 512, 512, 256, 128, 64]


@KINDS
def test_entering_at_any_layer_and_continuing_is_the_whole(latents: str) -> None:
    prior = NetworkGenerator(small_network(latents)).requires_grad_(False)
    z = latents_of(prior.network, 3)
    whole = prior.network(z)
    assert len(prior.layers) == 4  # 4 × 4, 8 × 8, 16 × 16, 32 × 32
    for k in range(len(prior.layers) + 1):
        torch.testing.assert_close(prior.run(prior.run(z, stop=k), start=k), whole, rtol=0, atol=1e-10)
    assert torch.equal(prior(z), whole)
    for k in (1, 2, 3):
        features, image, styles = prior.run(z, stop=k)
        side = 2 ** (k + 1)
        assert features.shape == (3, 16, side, side)
        assert image.shape == (3, 3, side, side)
        assert styles.shape == (3, 8, 16)


def test_layers_hold_no_second_copy_of_the_parameters() -> None:
    prior = NetworkGenerator(small_network("z"))
    assert {id(p) for p in prior.layers.parameters()} == {id(p) for p in prior.parameters()}
    assert all(name.startswith("network.") for name in prior.state_dict())


@KINDS
def test_images_do_not_depend_on_their_batch(latents: str) -> None:
    network = small_network(latents)
    z = latents_of(network, 4)
    torch.testing.assert_close(network(z)[2:3], network(z[2:3]), rtol=0, atol=1e-10)
    assert (network(z)[0] - network(z)[1]).abs().max() > 0.1
    assert torch.equal(network(z), network(z))


@KINDS
def test_every_parameter_and_the_latent_have_a_gradient(latents: str) -> None:
    network = small_network(latents)
    z = latents_of(network, 2).requires_grad_()
    network(z).square().sum().backward()
    assert z.grad is not None and (z.grad.flatten(1).norm(dim=1) > 0).all()
    for name, parameter in network.named_parameters():
        if latents == "w+" and name.startswith("style."):  # only fit_styles uses it
            assert parameter.grad is None
        else:
            assert parameter.grad is not None and float(parameter.grad.norm()) > 0, name


def test_the_gradient_is_right() -> None:
    network = small_network("z", size=8).requires_grad_(False)
    assert torch.autograd.gradcheck(network, (latents_of(network, 1).requires_grad_(),))


def test_styles_of_gaussians_have_the_marginals_of_the_mapping_network() -> None:
    network = small_network("w+")
    assert network.marginals is not None
    network.fit_styles(Noise.of(1, dtype=DOUBLE), 20_000)
    count = 20_000
    with torch.no_grad():
        mapped = network.style(Noise.of(2, dtype=DOUBLE).for_draws(count).normal((16,))[:, 0])
        made = network.marginals(Noise.of(3, dtype=DOUBLE).for_draws(count).normal((network.num_styles, 16))[:, 0])
    before, expected = (functional.leaky_relu(w, 5.0) for w in (made[:, 3], mapped))  # undoes the slope of .2
    # three means of `count` terms enter each difference (fit, two checks); 5 standard errors for the largest of 16
    bound = 5 * math.sqrt(3 / count)
    spread = expected.std(0)
    assert ((before.mean(0) - expected.mean(0)).abs() < bound * spread).all()
    assert ((before.std(0) / spread - 1).abs() < bound * 1.5).all()  # tails may be heavier than a Gaussian's
    torch.testing.assert_close(functional.leaky_relu(before, 0.2), made[:, 3])


def test_the_fit_is_for_styles_and_takes_two_draws() -> None:
    with pytest.raises(IncompatibleError, match="this generator's are 'z'"):
        small_network("z").fit_styles(Noise.of(0))
    with pytest.raises(InvalidValueError, match="two draws"):
        small_network("w+").fit_styles(Noise.of(0), 1)


@KINDS
def test_map_methods_run_on_it(latents: str) -> None:
    given = problem(latents)
    for solver in (
        CSGM(restarts=2, steps=15),
        PULSE(restarts=2, steps=15),
        ILO(restarts=1, layers=(1, 3), radii=(0.1, 0.1), steps=(10, 6, 6)),
    ):
        estimate = solver.solve(given, progress=False)
        assert estimate.x.shape == (2, 3, 32, 32)
        assert estimate.latent.shape == (2, *given.prior.latent_shape)
        assert (estimate.loss < estimate.info["loss"][0]).all()


def test_without_a_radius_ilo_moves_neither_features_nor_image_nor_styles() -> None:
    given = problem("w+")
    z = ILO(restarts=1, layers=(), radii=(), steps=(5,)).solve(given, progress=False).latent
    still = ILO(restarts=1, layers=(2,), radii=(0.0,), steps=(5, 5)).solve(given, progress=False)
    torch.testing.assert_close(still.x, given.prior(z))


@KINDS
def test_it_comes_back_from_a_folder(latents: str, tmp_path) -> None:
    prior = NetworkGenerator(small_network(latents))
    loaded = zoo.load_prior(zoo.save_prior(prior, tmp_path))
    assert loaded.latent_shape == prior.latent_shape
    assert loaded.state_dict().keys() == prior.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in prior.state_dict().items())
    z = latents_of(prior.network, 2)
    with torch.no_grad():
        torch.testing.assert_close(loaded(z), prior(z), rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 4}, "power of two from 8 on, got 4"),
        ({"size": 48}, "got 48"),
        ({"size": 8, "latent": 0}, "at least 1"),
        ({"size": 8, "mapping_layers": -1}, "not negative"),
        ({"size": 8, "latents": "w"}, "'z' or 'w\\+', not 'w'"),
    ],
)
def test_mistakes_are_named(arguments: dict, message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        StyleGAN2Generator(**arguments)
