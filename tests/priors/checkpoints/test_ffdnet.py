from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posterior.errors import FileFormatError, InvalidValueError
from posterior.networks.ffdnet import FFDNet
from posterior.priors import PyramidPrior
from posterior.priors.checkpoints import convert_ffdnet
from posterior.priors.zoo import load_prior
from tests.priors.checkpoints import originals
from tests.priors.checkpoints.harm import Harm

CASES = ("ffdnet", "ffdnet-deepinv")
LEVELS = torch.tensor(originals.LEVELS, dtype=torch.float64)


def saved(folder: Path, content: object) -> Path:
    path = folder / "ffdnet.pth"
    torch.save(content, path)
    return path


def converted(path: Path, **options: object) -> PyramidPrior:
    prior = load_prior(convert_ffdnet(path, path.parent / "prior", **options), dtype=torch.float64)
    assert isinstance(prior, PyramidPrior) and isinstance(prior.network, FFDNet)
    return prior


@pytest.mark.parametrize("case", CASES)
def test_the_network_is_the_authors(case: str, tmp_path: Path) -> None:
    path = tmp_path / "ffdnet.safetensors"
    save_file(originals.state_dict(case), path)
    state = torch.random.get_rng_state()
    network = converted(path).network
    assert torch.equal(torch.random.get_rng_state(), state)
    found = network(originals.images(case), LEVELS)
    torch.testing.assert_close(originals.some(found), originals.answers(case), rtol=0, atol=1e-6)


def test_the_prior_is_of_images_of_any_size_with_the_authors_noise_levels(tmp_path: Path) -> None:
    path = saved(tmp_path, originals.state_dict("ffdnet"))
    prior = converted(path)
    assert prior.event_shape == (3, 128, 128) and prior.value_range == (-1, 1)
    assert (prior.sigma_min, prior.sigma_network, prior.sigma_data) == (0.02, 0.588, 0.5)
    assert prior.sigma_network == pytest.approx(2 * 75 / 255, abs=1e-3)
    small = load_prior(tmp_path / "prior", event_shape=(3, 7, 9), dtype=torch.float64)
    assert isinstance(small, PyramidPrior)
    x = originals.images("ffdnet")
    expected = 2 * small.network((x + 1) / 2, torch.full((3,), 0.2, dtype=torch.float64)) - 1
    assert torch.equal(small.denoise(x, 0.4), expected.clamp(-1, 1))
    own = converted(path, size=(6, 8), sigma_min=0.01, sigma_network=1.0, sigma_data=0.3)
    assert (own.event_shape, own.sigma_min, own.sigma_network, own.sigma_data) == ((3, 6, 8), 0.01, 1.0, 0.3)


def test_a_last_layer_of_deepinv_may_lack_its_bias(tmp_path: Path) -> None:
    weights = originals.state_dict("ffdnet-deepinv")
    zero = originals.state_dict("ffdnet-deepinv", **{"blocks.3.bias": torch.zeros(4)})
    del weights["blocks.3.bias"]
    first, second = (converted(saved(tmp_path, content)).state_dict() for content in (weights, zero))
    assert all(torch.equal(first[name], second[name]) for name in second)


@pytest.mark.parametrize(
    ("case", "changes", "message"),
    [
        ("ffdnet", {"model.0.weight": None}, "model.4.weight has|is missing|instead of"),
        ("ffdnet", {"model.0.weight": torch.zeros(8, 12, 3, 3)}, r"\(8, 12, 3, 3\) instead of \(8, 13, 3, 3\)"),
        ("ffdnet", {"model.6.weight": torch.zeros(3, 8, 3, 3)}, "model.6.weight makes 3 channels of blocks of 2 × 2"),
        ("ffdnet", {"model.3.running_mean": torch.zeros(8)}, "model.3.running_mean is not expected"),
        ("ffdnet", {"model.6.bias": torch.full((12,), float("nan"))}, "model.6.bias holds NaN"),
        ("ffdnet-deepinv", {"blocks.2.0.bias": None}, "model.4.bias is missing"),
        ("ffdnet-deepinv", {"blocks.0.0.weight": torch.zeros(6)}, r"blocks.0.0.weight has shape \(6,\)"),
        ("drunet", {}, "an FFDNet: .* is missing; it looks like a DRUNet, for convert_drunet"),
    ],
)
def test_tensors_that_do_not_fit_are_named(case: str, changes: dict, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, originals.state_dict(case, **changes))
    with pytest.raises(FileFormatError, match=message) as raised:
        converted(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "prior").exists()


def test_other_files_and_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content, message in (({"params": Harm()}, "holds more than tensors"), ([1], "it is a list"), ({}, "missing")):
        with pytest.raises(FileFormatError, match=message):
            converted(saved(tmp_path, content))
    assert not Path("harm-was-done").exists()
    path = saved(tmp_path, originals.state_dict("ffdnet"))
    for options in ({"size": 0}, {"sigma_min": 0.6}, {"sigma_network": -1.0}):
        with pytest.raises(InvalidValueError):
            converted(path, **options)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FileFormatError, match="corrupt or cut off"):
        converted(path)
    assert not (tmp_path / "prior").exists()
