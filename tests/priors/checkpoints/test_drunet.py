from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posterior.errors import FileFormatError, InvalidValueError
from posterior.networks.drunet import DRUNet
from posterior.priors import PyramidPrior
from posterior.priors.checkpoints import convert_drunet
from posterior.priors.zoo import load_prior
from tests.priors.checkpoints import originals
from tests.priors.checkpoints.harm import Harm

CASES = {"drunet": [4, 6, 8, 10], "drunet-deepinv": [3, 4, 5, 6]}
LEVELS = torch.tensor(originals.LEVELS, dtype=torch.float64)


def saved(folder: Path, content: object) -> Path:
    path = folder / "drunet.pth"
    torch.save(content, path)
    return path


def converted(path: Path, **options: object) -> PyramidPrior:
    prior = load_prior(convert_drunet(path, path.parent / "prior", **options), dtype=torch.float64)
    assert isinstance(prior, PyramidPrior) and isinstance(prior.network, DRUNet)
    return prior


@pytest.mark.parametrize("case", CASES)
def test_the_network_is_the_authors(case: str, tmp_path: Path) -> None:
    path = tmp_path / "drunet.safetensors"
    save_file(originals.state_dict(case), path)
    state = torch.random.get_rng_state()
    network = converted(path).network
    assert torch.equal(torch.random.get_rng_state(), state)
    assert (network.config["widths"], network.config["bias"]) == (CASES[case], False)
    found = network(originals.images(case), LEVELS)
    torch.testing.assert_close(originals.some(found), originals.answers(case), rtol=0, atol=1e-6)


def test_biases_are_read_where_there_are_any(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DRUNet(1, (2, 3, 4, 5), 1, bias=True)
    found = converted(saved(tmp_path, network.state_dict())).network
    assert found.config == network.config and found.config["bias"]
    x = originals.images("drunet")[:, :1]
    torch.testing.assert_close(found(x, LEVELS), network.double()(x, LEVELS))


def test_the_prior_is_of_images_of_any_size_with_the_authors_noise_levels(tmp_path: Path) -> None:
    path = saved(tmp_path, originals.state_dict("drunet"))
    prior = converted(path)
    assert prior.event_shape == (3, 128, 128) and prior.value_range == (-1, 1)
    assert (prior.sigma_min, prior.sigma_network, prior.sigma_data) == (0.02, 0.392, 0.5)
    assert prior.sigma_network == pytest.approx(2 * 50 / 255, abs=1e-3)
    small = load_prior(tmp_path / "prior", event_shape=(3, 16, 24), dtype=torch.float64)
    assert isinstance(small, PyramidPrior)
    x = originals.images("drunet")
    expected = 2 * small.network((x + 1) / 2, torch.full((3,), 0.15, dtype=torch.float64)) - 1
    assert torch.equal(small.denoise(x, 0.3), expected.clamp(-1, 1))
    own = converted(path, size=(6, 8), sigma_min=0.01, sigma_network=1.0, sigma_data=0.3)
    assert (own.event_shape, own.sigma_min, own.sigma_network, own.sigma_data) == ((3, 6, 8), 0.01, 1.0, 0.3)


def test_a_checkpoint_of_deepinv_itself(tmp_path: Path) -> None:
    models = pytest.importorskip("deepinv.models")
    torch.manual_seed(0)
    original = models.DRUNet(in_channels=1, out_channels=1, nc=(4, 6, 8, 10), nb=2, pretrained=None)
    network = converted(saved(tmp_path, original.state_dict())).network
    x = originals.images("drunet-deepinv")
    with torch.no_grad():
        torch.testing.assert_close(network(x, LEVELS), original.double()(x, LEVELS), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m_head.weight": None}, "does not hold a DRUNet: m_head.weight is missing"),
        ({"m_body.1.res.0.weight": None}, r"m_down1.1.weight is missing"),
        ({"m_down2.2.weight": torch.zeros(8, 6, 3, 3)}, r"\(8, 6, 3, 3\) instead of \(8, 6, 2, 2\)"),
        ({"m_up1.0.weight": torch.zeros(6, 4)}, r"m_up1.0.weight has shape \(6, 4\)"),
        ({"m_tail.bias": torch.zeros(3)}, "m_tail.bias is not expected"),
        ({"m_tail.weight": torch.full((3, 4, 3, 3), float("nan"))}, "m_tail.weight holds NaN"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes: dict, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, originals.state_dict("drunet", **changes))
    with pytest.raises(FileFormatError, match=message) as raised:
        converted(path)
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "prior").exists()


def test_other_files_and_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ffdnet = originals.state_dict("ffdnet")
    for content, message in (
        ({"state_dict": Harm()}, "holds more than tensors"),
        ({"state_dict": ffdnet}, "entry 'state_dict' of it is not a named tensor"),
        ([1], "it is a list"),
        (ffdnet, "is missing; it looks like an FFDNet, for convert_ffdnet"),
    ):
        with pytest.raises(FileFormatError, match=message):
            converted(saved(tmp_path, content))
    assert not Path("harm-was-done").exists()
    path = saved(tmp_path, originals.state_dict("drunet"))
    for options in ({"size": 0}, {"sigma_min": 0.6}, {"sigma_network": -1.0}):
        with pytest.raises(InvalidValueError):
            converted(path, **options)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(FileFormatError, match="corrupt or cut off"):
        converted(path)
    assert not (tmp_path / "prior").exists()
