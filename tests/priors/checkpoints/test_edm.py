from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posterior.errors import FileFormatError, InvalidValueError
from posterior.priors import EDMPrior, ScorePrior
from posterior.priors.checkpoints import convert_edm
from posterior.priors.sde import VESDEPrior, VPSDEPrior
from posterior.priors.zoo import load_prior
from tests.priors.checkpoints import originals
from tests.priors.checkpoints.harm import Harm

CASES = {
    "ddpmpp-edm": (EDMPrior, {}),
    "ddpmpp-vp-class-4": (VPSDEPrior, {"preconditioning": "vp", "class_label": 4}),
    "ncsnpp-ve": (VESDEPrior, {"preconditioning": "ve"}),
    "adm-edm-class-4": (EDMPrior, {"class_label": 4}),
}


def saved(folder: Path, content: object) -> Path:
    path = folder / "ema.pt"
    torch.save(content, path)
    return path


def converted(path: Path, **options: object) -> ScorePrior:
    prior = load_prior(convert_edm(path, path.parent / "prior", **options), dtype=torch.float64)
    assert isinstance(prior, ScorePrior)
    return prior


@pytest.mark.parametrize("case", CASES)
def test_the_denoiser_is_the_authors(case: str, tmp_path: Path) -> None:
    kind, options = CASES[case]
    path = tmp_path / "ema.safetensors"
    save_file(originals.state_dict(case), path)
    state = torch.random.get_rng_state()
    prior = converted(path, **options)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert isinstance(prior, kind) and prior.sigma_data == 0.5
    assert prior.event_shape == tuple(originals.CASES[case]["event_shape"])
    if isinstance(prior, EDMPrior):
        prior.clip = False  # as the original
    denoised = prior.denoise(originals.images(case), torch.tensor(originals.LEVELS, dtype=torch.float64))
    torch.testing.assert_close(originals.some(denoised), originals.answers(case), rtol=0, atol=1e-6)


def test_names_need_no_prefix(tmp_path: Path) -> None:
    weights = originals.state_dict("ddpmpp-edm")
    bare = {name.removeprefix("model."): tensor for name, tensor in weights.items()}
    first, second = (converted(saved(tmp_path, content), sigma_data=0.4) for content in (weights, bare))
    assert first.sigma_data == 0.4 and (first.sigma_min, first.sigma_max) == (0.002, 80.0)
    x = originals.images("ddpmpp-edm")
    assert torch.equal(first.denoise(x, 1.0), second.denoise(x, 1.0))


@pytest.mark.parametrize(
    ("case", "options", "message"),
    [
        ("ddpmpp-vp-class-4", {}, "class-conditional: class_label is in 0 … 9, got None"),
        ("ddpmpp-vp-class-4", {"class_label": 10}, "0 … 9, got 10"),
        ("ddpmpp-edm", {"class_label": 0}, "without classes, but class_label is 0"),
        ("ddpmpp-edm", {"preconditioning": "iddpm"}, "one of 'edm', 've', 'vp', not 'iddpm'"),
    ],
)
def test_arguments_are_checked(case: str, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=message):
        converted(saved(tmp_path, originals.state_dict(case)), **options)
    assert not (tmp_path / "prior").exists()


@pytest.mark.parametrize(
    ("case", "changes", "message"),
    [
        ("ddpmpp-edm", {"model.enc.8x8_conv.weight": None}, "it has 0 entries enc.SxS_conv.weight"),
        ("ddpmpp-edm", {"model.enc.8x8_block0.conv1.weight": None}, "side 8 cannot have 0 resolutions"),
        (
            "ddpmpp-edm",
            {"model.map_layer0.weight": None},
            "does not hold a network of EDM: map_layer0.weight is missing",
        ),
        ("ddpmpp-edm", {"model.enc.4x4_block0.affine.bias": None}, "enc.4x4_block0.affine.bias is missing"),
        ("ddpmpp-edm", {"model.enc.8x8_block0.conv1.weight": torch.zeros(6, 6, 3, 3)}, "instead of|divisible"),
        ("ddpmpp-edm", {"model.u": torch.zeros(3)}, "layout that its sizes suggest: u is not expected"),
        ("ddpmpp-edm", {"other": torch.zeros(3)}, "it has 0 entries"),
        ("ddpmpp-vp-class-4", {"model.map_label.weight": torch.zeros(7, 10)}, "in 7 features instead of 16"),
        (
            "ddpmpp-vp-class-4",
            {"model.map_label.bias": torch.full((16,), float("inf"))},
            "map_label.bias holds NaN or inf",
        ),
        ("ncsnpp-ve", {"model.map_noise.freqs": None}, "map_noise.freqs is missing"),
        ("ncsnpp-ve", {"model.map_noise.freqs": torch.zeros(3)}, r"freqs has shape \(3,\) instead of \(16,\)"),
        ("ncsnpp-ve", {"model.dec.2x2_in0.qkv.bias": None}, "dec.2x2_in0.qkv.bias is missing"),
        ("adm-edm-class-4", {"model.out_norm.bias": None}, "dec.8x8_aux_norm.bias is missing"),
    ],
)
def test_tensors_that_do_not_fit_are_named(case: str, changes: dict, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, originals.state_dict(case, **changes))
    with pytest.raises(FileFormatError, match=message) as raised:
        converted(path, **CASES[case][1])
    assert str(path) in str(raised.value)
    assert not (tmp_path / "prior").exists()


def test_pickled_networks_are_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileFormatError, match=r"more than tensors.* save the state_dict\(\) of its 'ema' in a"):
        converted(saved(tmp_path, {"ema": Harm()}))
    with pytest.raises(FileFormatError, match="does not hold a network of EDM: it is a list"):
        converted(saved(tmp_path, [torch.zeros(3)]))
    assert not Path("harm-was-done").exists()
