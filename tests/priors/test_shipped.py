"""The priors that come with the library: they load, they draw, and they are as good as their cards say."""

import json

import pytest
import torch

from posterior.data import load_brain, load_digits, load_fashion
from posterior.errors import FileFormatError, IncompatibleError
from posterior.metrics import psnr
from posterior.mri import complex_images
from posterior.noise import Noise
from posterior.priors import ScorePrior
from posterior.priors.zoo import list_priors, load_prior, prior_card
from posterior.training import held_out_bits, held_out_denoising_error

NAMES = ["brain", "digits", "digits-flow", "digits-vae", "faces-dcgan", "fashion", "photographs"]

# Mean squared denoising error on the last 1,000 digits, none of them trained on, that the card promises at most. The
# hundred that are shipped are a sample of those: their mean may be off by a few per cent.
PROMISED = {"mse@0.1": 0.0011, "mse@0.2": 0.0033, "mse@0.5": 0.0117, "mse@1": 0.0315, "mse@2": 0.088, "mse@5": 0.214}
# The same for clothing, which differs more: the shipped hundred are allowed a fifth above the mean of their thousand.
FASHION = {"mse@0.1": 0.00236, "mse@0.2": 0.00622, "mse@0.5": 0.0193, "mse@1": 0.0404, "mse@2": 0.0771, "mse@5": 0.17}
# The same for slices of the test slab, with the phases of seed 0; a Wiener filter makes twice the error.
BRAIN = {"mse@0.1": 0.00111, "mse@0.2": 0.00224, "mse@0.5": 0.0042, "mse@1": 0.0068, "mse@2": 0.0120, "mse@5": 0.0296}

# Bits a dimension of the last 1,000 digits, none of them trained on; the shipped hundred are a sample of those.
BITS = 1.455


def test_what_is_shipped():
    assert list_priors() == NAMES


@pytest.mark.parametrize(
    "name", ["brain", "digits", "digits-flow", "digits-vae", "faces-dcgan", "fashion", "photographs"]
)
def test_each_draws_images_in_its_range(name):
    prior = load_prior(name)
    noise = Noise.of(0, 2)
    draws = prior.sample(3, noise, steps=10) if isinstance(prior, ScorePrior) else prior.sample(3, noise)
    assert draws.shape == (3, 2, *prior.event_shape)
    assert torch.isfinite(draws).all()
    low, high = prior.value_range or (-1, 1)
    assert low - 0.5 < draws.min() and draws.max() < high + 0.5
    assert draws.std() > 0.2
    assert not any(p.requires_grad for p in prior.parameters())


@pytest.mark.parametrize(
    "name", ["brain", "digits", "digits-flow", "digits-vae", "faces-dcgan", "fashion", "photographs"]
)
def test_each_has_a_card_with_a_licence_and_fits_in_15_mb(name):
    from posterior.priors import zoo

    folder = zoo._shipped_folder(name)
    card = prior_card(name)
    for word in ("**Licence.**", "**Limits.**", "samples.png"):
        assert word in card
    assert (folder / "samples.png").exists()
    assert json.loads((folder / "config.json").read_text())
    assert sum(file.stat().st_size for file in folder.iterdir()) < 15 * 2**20


def test_digits_denoises_unseen_digits_as_promised():
    images, _ = load_digits()
    errors = held_out_denoising_error(load_prior("digits"), images)
    for level, promised in PROMISED.items():
        assert errors[level] < 1.1 * promised


def test_fashion_denoises_unseen_clothing_as_promised():
    images, _ = load_fashion()
    errors = held_out_denoising_error(load_prior("fashion"), images)
    for level, promised in FASHION.items():
        assert errors[level] < 1.2 * promised


def test_brain_denoises_unseen_slices_as_promised():
    images = complex_images(load_brain("test"), Noise.of(0, 14))
    errors = held_out_denoising_error(load_prior("brain"), images)
    for level, promised in BRAIN.items():
        assert errors[level] < 1.02 * promised


def test_the_flow_is_as_sure_of_unseen_digits_as_promised_and_inverts_them():
    images, _ = load_digits()
    prior = load_prior("digits-flow")
    found = held_out_bits(prior, images)
    assert abs(found["bits"] - BITS) < 4 * found["error"]
    wide = images[:20].double()
    assert (prior(prior.inverse(wide)) - wide).abs().max() < 1e-3  # in the network's single precision


@pytest.mark.parametrize(("grey_levels", "promised"), [(15, 34.2), (25, 31.8), (50, 28.3), (75, 26.0), (240, 18.9)])
def test_photographs_denoises_a_photograph_it_has_not_seen(grey_levels, promised):
    from skimage.data import astronaut

    image = torch.as_tensor(astronaut()[128:384, 128:384].copy()).permute(2, 0, 1) / 127.5 - 1
    prior = load_prior("photographs", event_shape=(3, 256, 256))
    sigma = 2 * grey_levels / 255
    noisy = image + sigma * Noise.of(0, 1).normal(image.shape)[0, 0]
    assert psnr(prior.denoise(noisy, sigma), image) > promised


def test_only_photographs_come_in_any_size():
    prior = load_prior("photographs", event_shape=(3, 9, 14))
    assert prior.sample(1, Noise.of(0, 1), steps=4).shape == (1, 1, 3, 9, 14)
    with pytest.raises(IncompatibleError, match="one shape"):
        load_prior("digits", event_shape=(1, 32, 32))
    with pytest.raises(FileFormatError, match="C, H, W"):
        load_prior("photographs", event_shape=(32, 32))
