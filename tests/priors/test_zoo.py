import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from posterior.errors import FileFormatError, IncompatibleError, UnknownNameError
from posterior.networks.dcgan import DCGANGenerator
from posterior.networks.unet import UNet
from posterior.networks.vae import VAEDecoder
from posterior.noise import Noise
from posterior.priors import zoo
from posterior.priors.edm import EDMPrior
from posterior.priors.generators import GeneratorPrior, NetworkGenerator
from posterior.priors.score_prior import ScorePrior


def edm() -> EDMPrior:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        prior = EDMPrior(UNet(1, (8, 16), 1), (1, 8, 8), sigma_data=0.1 + 0.2, sigma_max=40.0)
        for parameter in prior.parameters():  # networks start with zeros that would hide differences
            nn.init.normal_(parameter, std=0.1)
    return prior.to(memory_format=torch.channels_last).eval()


def generator() -> NetworkGenerator:
    return NetworkGenerator(VAEDecoder(4, (8, 6), (1, 5, 5)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return zoo.save_prior(edm(), tmp_path / "prior")


def change_config(folder: Path, *keys: str, value: object) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    part = config
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(config))


def change_weights(folder: Path, **changes: torch.Tensor | None) -> None:
    weights = load_file(folder / "weights.safetensors") | changes
    save_file({name: value for name, value in weights.items() if value is not None}, folder / "weights.safetensors")


def test_a_prior_is_loaded_in_another_precision(tmp_path: Path) -> None:
    prior, x = edm(), torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    back = zoo.load_prior(zoo.save_prior(prior, tmp_path / "mine"), dtype=torch.float64)
    assert isinstance(back, ScorePrior) and back.dtype == torch.float64
    assert torch.allclose(back.denoise(x.double(), 0.5), prior.double().denoise(x.double(), 0.5))


def test_a_score_prior_comes_back_bit_for_bit(folder: Path) -> None:
    prior, loaded = edm(), zoo.load_prior(folder)
    assert isinstance(loaded, EDMPrior)
    assert (loaded.event_shape, loaded.sigma_data) == (prior.event_shape, prior.sigma_data)
    assert (loaded.sigma_min, loaded.sigma_max) == (prior.sigma_min, prior.sigma_max)
    for name, tensor in prior.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    x = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(loaded.denoise(x, 0.7), prior.denoise(x, 0.7))


@pytest.mark.parametrize("network", [VAEDecoder(4, (8, 6), (1, 5, 5)), DCGANGenerator(6, (8, 4), 3)])
def test_generators_come_back_bit_for_bit(network: nn.Module, tmp_path: Path) -> None:
    prior = NetworkGenerator(network)
    loaded = zoo.load_prior(str(zoo.save_prior(prior, tmp_path)))
    assert isinstance(loaded, NetworkGenerator)
    assert (loaded.latent_shape, loaded.event_shape) == (prior.latent_shape, prior.event_shape)
    assert loaded.state_dict().keys() == prior.state_dict().keys()
    assert all(torch.equal(loaded.state_dict()[name], tensor) for name, tensor in prior.state_dict().items())


def test_loaded_priors_are_ready_for_sampling(folder: Path) -> None:
    state = torch.random.get_rng_state()
    prior = zoo.load_prior(folder)
    assert isinstance(prior, EDMPrior)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert not any(module.training for module in prior.modules())
    assert not any(parameter.requires_grad for parameter in prior.parameters())
    convolution = prior.network.get_submodule("stem")
    assert isinstance(convolution, nn.Conv2d)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)


def test_precision_is_that_of_the_file_unless_asked_for(tmp_path: Path) -> None:
    zoo.save_prior(generator().double(), tmp_path)
    assert zoo.load_prior(tmp_path).dtype == torch.float64
    assert zoo.load_prior(tmp_path, device="cpu", dtype=torch.float32).dtype == torch.float32


def test_an_unknown_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"'digit-vae' \(did you mean 'digits-vae'\?\); there are .*faces-dcgan"):
        zoo.load_prior("digit-vae")
    with pytest.raises(UnknownNameError, match="'!!'; there are"):
        zoo.prior_card("!!")


@pytest.mark.parametrize("folder", [Path("nowhere"), "./nowhere"])
def test_a_folder_that_does_not_exist_is_named(folder: Path | str) -> None:
    with pytest.raises(FileFormatError, match="there is no folder nowhere"):
        zoo.load_prior(folder)


def test_a_folder_without_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match=r"has no config\.json"):
        zoo.load_prior(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"class": "EDMPr', "not readable as JSON"),
        ("\x00\ufffd", "not readable as JSON"),
        ("[1]", "holds a list"),
        ("{}", "'class' is missing, or not a str"),
        ('{"class": "EDMPrior", "network": 3}', "'network' is missing, or not a dict"),
        ('{"class": ["EDMPrior"]}', "'class' is missing, or not a str"),
        ('{"network": {"config": {"widths": [8, 88888888888]}}}', "the number 88888888888"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(folder: Path, text: str, message: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(FileFormatError, match=message):
        zoo.load_prior(folder)


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (["class"], "os.system", "names the class 'os.system'; known are EDMPrior"),
        (["network", "class"], "Sequential", "names the class 'Sequential'; known are ConvNet, DCGANGenerator"),
        (["network", "config", "surprise"], 1, "cannot build a UNet .*surprise"),
        (["network", "config", "widths"], ["8"], "cannot build a UNet"),
        (["network", "config", "widths"], [], "cannot build a UNet"),
        (["settings", "surprise"], 1, "settings of EDMPrior are"),
        (["settings", "sigma_data"], "0.5", "'sigma_data' is '0.5', not a positive number"),
        (["settings", "sigma_max"], float("nan"), "'sigma_max' is nan"),
        (["settings", "event_shape"], [1, -8], "'event_shape' is"),
        (["settings", "value_range"], [1, -1], "cannot build a EDMPrior .*smallest, largest"),
        (["settings", "value_range"], [-1, float("inf")], "'value_range' is"),
    ],
)
def test_settings_and_classes_are_checked(folder: Path, keys: list[str], value: object, message: str) -> None:
    change_config(folder, *keys, value=value)
    with pytest.raises(FileFormatError, match=message):
        zoo.load_prior(folder)


@pytest.mark.parametrize("keep", [0, 5, 100, 20_000])
def test_truncated_weights_are_refused(folder: Path, keep: int) -> None:
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    assert keep < len(content)
    path.write_bytes(content[:keep])
    with pytest.raises(FileFormatError, match=r"weights\.safetensors is corrupt or cut off"):
        zoo.load_prior(folder)


def test_missing_weights_are_named(folder: Path) -> None:
    (folder / "weights.safetensors").unlink()
    with pytest.raises(FileFormatError, match=r"has no weights\.safetensors"):
        zoo.load_prior(folder)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "network.stem.bias is missing"),
        (torch.zeros(9), r"network.stem.bias has shape \(9,\) instead of \(8,\)"),
        (torch.zeros(8, dtype=torch.int64), "network.stem.bias is torch.int64 instead of torch.float32"),
        (torch.full((8,), float("nan")), "network.stem.bias holds NaN"),
    ],
)
def test_tensors_that_do_not_fit_are_named(folder: Path, value: torch.Tensor | None, message: str) -> None:
    change_weights(folder, **{"network.stem.bias": value})
    with pytest.raises(FileFormatError, match=message):
        zoo.load_prior(folder)


def test_unexpected_tensors_are_named(folder: Path) -> None:
    change_weights(folder, **{f"extra.{i}": torch.zeros(1) for i in range(7)})
    with pytest.raises(FileFormatError, match=r"extra.0 is not expected; .* and 2 more"):
        zoo.load_prior(folder)


def test_only_registered_classes_are_saved(tmp_path: Path) -> None:
    class Mine(NetworkGenerator):
        pass

    with pytest.raises(IncompatibleError, match="cannot save a Mine"):
        zoo.save_prior(Mine(VAEDecoder(2, (3,), (4,))), tmp_path)
    function = ScorePrior.from_denoiser(lambda x, sigma: x, (4,), sigma_max=1.0)
    with pytest.raises(IncompatibleError, match="cannot save a FunctionPrior"):
        zoo.save_prior(function, tmp_path)
    with pytest.raises(IncompatibleError, match="whose network is a Linear"):
        zoo.save_prior(EDMPrior(nn.Linear(4, 4), (4,), sigma_data=0.5), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_shipped_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zoo.save_prior(generator(), tmp_path / "digits-vae")
    monkeypatch.chdir(tmp_path)
    assert zoo.load_prior("digits-vae").event_shape == (1, 28, 28)
    assert zoo.load_prior("./digits-vae").event_shape == zoo.load_prior(Path("digits-vae")).event_shape == (1, 5, 5)


@pytest.mark.parametrize(
    ("name", "event", "spread"), [("digits-vae", (1, 28, 28), (0.45, 0.65)), ("faces-dcgan", (3, 64, 64), (0.3, 0.7))]
)
def test_shipped_generators_draw_images(name: str, event: tuple[int, ...], spread: tuple[float, float]) -> None:
    prior = zoo.load_prior(name)
    assert isinstance(prior, GeneratorPrior)
    x = prior.sample(16, Noise.of(0))
    assert x.shape == (16, 1, *event)
    assert x.abs().max() <= 1
    assert spread[0] < float(x.std()) < spread[1]
    assert float(x.std(0).mean()) > 0.1  # draws differ
