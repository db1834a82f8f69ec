import pytest
import torch
from torch import nn

from posterior.errors import IncompatibleError, ShapeError
from posterior.networks.dcgan import DCGANGenerator
from posterior.networks.vae import VAE, VAEDecoder
from posterior.noise import Noise
from posterior.priors.generators import NetworkGenerator


def small_generator(kind: str) -> NetworkGenerator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = VAEDecoder(4, (8, 6), (1, 5, 5)) if kind == "vae" else DCGANGenerator(6, (8, 4), 3)
        for name, buffer in network.named_buffers():  # statistics that are not the identity
            if "running" in name:
                buffer.uniform_(0.5, 2)
    return NetworkGenerator(network).requires_grad_(False)


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
def test_entering_at_any_layer_and_continuing_is_the_whole(kind: str) -> None:
    prior = small_generator(kind)
    z = torch.randn(3, *prior.latent_shape, generator=torch.Generator().manual_seed(1))
    whole = prior.network(z)
    for k in range(len(prior.layers) + 1):
        assert torch.equal(prior.run(prior.run(z, stop=k), start=k), whole)
    assert torch.equal(prior(z), whole)


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
def test_leading_shapes_precision_and_range(kind: str) -> None:
    prior = small_generator(kind)
    z = torch.randn(2, 3, *prior.latent_shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = prior(z)
    assert x.shape == (2, 3, *prior.event_shape)
    assert x.dtype == torch.float64
    assert x.abs().max() <= 1
    torch.testing.assert_close(prior.decode(z[1, 2]), x[1, 2], rtol=1e-5, atol=1e-6)
    assert prior.sample(2, Noise.of(0, 3, dtype=torch.float64)).shape == (2, 3, *prior.event_shape)
    with pytest.raises(ShapeError):
        prior(z[..., :-1])


@pytest.mark.parametrize("kind", ["vae", "dcgan"])
def test_layers_hold_no_second_copy_of_the_parameters(kind: str) -> None:
    prior = small_generator(kind)
    assert all(name.startswith("network.") for name in prior.state_dict())
    owned = {id(p) for p in prior.parameters()}
    assert {id(p) for p in prior.layers.parameters()} == owned
    z = torch.zeros(1, *prior.latent_shape, dtype=torch.float64)
    assert prior.double()(z).dtype == prior.layers[0](z).dtype == torch.float64


def test_the_generators_have_the_published_sizes() -> None:
    decoder = VAEDecoder()
    assert (decoder.latent_shape, decoder.event_shape) == ((20,), (1, 28, 28))
    assert [p.shape for p in decoder.parameters() if p.ndim == 2] == [(500, 20), (500, 500), (784, 500)]
    dcgan = DCGANGenerator()
    assert (dcgan.latent_shape, dcgan.event_shape) == ((100,), (3, 64, 64))
    convolutions = {name: tuple(p.shape) for name, p in dcgan.named_parameters() if p.ndim == 4}
    assert convolutions == {
        "main.0.weight": (100, 512, 4, 4),
        "main.3.weight": (512, 256, 4, 4),
        "main.6.weight": (256, 128, 4, 4),
        "main.9.weight": (128, 64, 4, 4),
        "main.12.weight": (64, 3, 4, 4),
    }


def test_the_vae_decoder_is_two_sigmoid_minus_one() -> None:
    vae = VAE(4, (8, 6), (1, 5, 5))
    z = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
    expected = (2 * vae.decoder.logits(z).sigmoid() - 1).reshape(3, 1, 5, 5)
    torch.testing.assert_close(vae.decoder(z), expected)
    mean, log_variance = vae.encoder(expected)
    assert mean.shape == log_variance.shape == (3, 4)


def test_latents_are_standard_gaussian() -> None:
    prior = small_generator("vae")
    z = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(prior.latent_log_prob(z), expected)


def test_batch_normalisation_does_not_couple_images() -> None:
    network = DCGANGenerator(6, (8, 4), 3)
    assert network.training
    prior = NetworkGenerator(network)
    z = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior(z)[1], prior(z[1]), rtol=1e-5, atol=1e-6)


def test_a_network_that_lacks_layers_is_refused() -> None:
    with pytest.raises(IncompatibleError, match=r"Linear has no latent_shape, event_shape, layers"):
        NetworkGenerator(nn.Linear(2, 3))
