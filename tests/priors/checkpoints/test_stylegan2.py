import argparse
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posterior.errors import FileFormatError
from posterior.networks.stylegan2 import StyleGAN2Generator
from posterior.noise import Noise
from posterior.priors import zoo
from posterior.priors.checkpoints import convert_stylegan2
from posterior.priors.generators import GeneratorPrior
from tests.networks.stylegan2 import small_network
from tests.priors.checkpoints import originals
from tests.priors.checkpoints.harm import Harm


def g_ema(**changes: torch.Tensor | None) -> dict[str, torch.Tensor]:
    weights = small_network(dtype=torch.float32).state_dict() | changes
    return {name: tensor.detach().clone() for name, tensor in weights.items() if tensor is not None}


def checkpoint(folder: Path, weights: dict[str, torch.Tensor], **others: object) -> Path:
    path = folder / "550000.pt"
    torch.save({"g": {}, "g_ema": weights, "latent_avg": torch.zeros(16), **others}, path)
    return path


@pytest.mark.parametrize("form", ["pt", "old pt", "trained pt", "safetensors"])
def test_a_checkpoint_becomes_a_prior_of_the_same_images(form: str, tmp_path: Path) -> None:
    if form == "safetensors":
        path = tmp_path / "g_ema.safetensors"
        save_file(g_ema(), path)
    else:
        others = {"args": argparse.Namespace(size=32, lr=0.002)} if form == "trained pt" else {}
        path = checkpoint(tmp_path, g_ema(), **others)
        if form == "old pt":
            torch.save(torch.load(path), path, _use_new_zipfile_serialization=False)
    state = torch.random.get_rng_state()
    prior = zoo.load_prior(convert_stylegan2(path, tmp_path / "prior"))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert isinstance(prior, GeneratorPrior)
    assert prior.latent_shape == (16,)
    z = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    network = small_network(dtype=torch.float32)
    with torch.no_grad():
        torch.testing.assert_close(prior(z), network(z))
    assert prior.network.config == network.config


def test_the_images_are_those_of_another_code(tmp_path: Path) -> None:
    network = StyleGAN2Generator(16, 12, 2, max_channels=8)
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.startswith("marginals.")}
    path = checkpoint(tmp_path, own | originals.state_dict("stylegan2"))
    prior = zoo.load_prior(convert_stylegan2(path, tmp_path / "prior"), dtype=torch.float64)
    assert isinstance(prior, GeneratorPrior)
    images = prior(originals.made("z", [3, 12]).double())
    assert float((images[0] - images[1]).abs().mean()) > 0.05
    torch.testing.assert_close(originals.some(images), originals.answers("stylegan2"), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        dict(size=8, latent=6, mapping_layers=1, channel_multiplier=2, max_channels=5),
        dict(size=64, latent=7, mapping_layers=0, channel_multiplier=1, max_channels=300),
        dict(size=128, latent=4, mapping_layers=3, channel_multiplier=2, max_channels=260),
    ],
)
def test_sizes_are_read_off_the_tensors(arguments: dict, tmp_path: Path) -> None:
    network = StyleGAN2Generator(**arguments)
    path = checkpoint(tmp_path, network.state_dict())
    prior = zoo.load_prior(convert_stylegan2(path, tmp_path / "prior"))
    assert prior.network.config == {**arguments, "latents": "z"}


def test_noise_images_that_are_lacking_are_drawn_always_the_same(tmp_path: Path) -> None:
    weights = {name: tensor for name, tensor in g_ema().items() if not name.startswith("noises.")}
    path = checkpoint(tmp_path, weights)
    first, second = (zoo.load_prior(convert_stylegan2(path, tmp_path / name)) for name in "ab")
    noise = first.network.noises.get_buffer("noise_5")
    assert noise.shape == (1, 1, 32, 32)
    assert 0.8 < float(noise.std()) < 1.2
    assert torch.equal(noise, second.network.noises.get_buffer("noise_5"))


def test_style_latents_are_fitted_on_the_way(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, g_ema())
    prior = zoo.load_prior(convert_stylegan2(path, tmp_path / "prior", latents="w+"))
    assert prior.latent_shape == (8, 16)
    expected = small_network("w+", dtype=torch.float32)
    expected.fit_styles(Noise.of(0))
    torch.testing.assert_close(prior.network.marginals.mean, expected.marginals.mean)
    torch.testing.assert_close(prior.network.marginals.std, expected.marginals.std)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"input.input": None}, "does not hold a StyleGAN2 generator: input.input is missing"),
        ({"conv1.noise.weight": None}, "conv1.noise.weight is missing"),
        ({"noises.noise_3": None}, "noises.noise_3 is missing"),
        ({"to_rgbs.1.bias": torch.zeros(3)}, r"to_rgbs.1.bias has shape \(3,\) instead of \(1, 3, 1, 1\)"),
        ({"input.input": torch.zeros(3)}, r"input.input has shape \(3,\)"),
        ({"input.input": torch.zeros(1, 4, 4, 4)}, "sizes suggest: .* instead of"),
        ({"extra": torch.zeros(3)}, "extra is not expected"),
        ({"conv1.activate.bias": torch.full((16,), float("nan"))}, "conv1.activate.bias holds NaN"),
        ({"to_rgb1.bias": "text"}, "entry 'to_rgb1.bias' of 'g_ema' is not a named tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes: dict, message: str, tmp_path: Path) -> None:
    weights = {k: v for k, v in (g_ema() | changes).items() if v is not None}
    path = checkpoint(tmp_path, weights)
    with pytest.raises(FileFormatError, match=message) as raised:
        convert_stylegan2(path, tmp_path / "prior")
    assert str(path) in str(raised.value)
    assert not (tmp_path / "prior").exists()


def test_pickled_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = checkpoint(tmp_path, g_ema(), optimiser=Harm())
    with pytest.raises(FileFormatError, match=r"550000.pt is no checkpoint, or holds more than tensors"):
        convert_stylegan2(path, tmp_path / "prior")
    path.write_bytes(pickle.dumps({"g_ema": Harm()}, protocol=2))
    with pytest.raises(FileFormatError, match="holds more than tensors"):
        convert_stylegan2(path, tmp_path / "prior")
    assert not Path("harm-was-done").exists()


@pytest.mark.parametrize("content", [b"", b"<html>", b"PK\x03\x04 cut off"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_files_that_are_no_checkpoints_are_refused(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"download{suffix}"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=f"download{suffix} is"):
        convert_stylegan2(path, tmp_path / "prior")


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="there is no file .*nowhere"):
        convert_stylegan2(tmp_path / "nowhere.pt", tmp_path)
    path = tmp_path / "other.pt"
    for content, message in (
        ({"state_dict": {}, "epoch": 3}, "has no 'g_ema', .*; it has state_dict, epoch"),
        ([torch.zeros(3)], "it has a list"),
        ({"g_ema": {}}, "does not hold a StyleGAN2 generator: it has 0 entries to_rgbs.N"),
    ):
        torch.save(content, path)
        with pytest.raises(FileFormatError, match=message):
            convert_stylegan2(path, tmp_path / "prior")


def test_a_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = checkpoint(tmp_path, g_ema())
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FileFormatError, match="550000.pt is corrupt or cut off"):
        convert_stylegan2(path, tmp_path / "prior")
