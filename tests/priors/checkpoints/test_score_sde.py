from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posterior.errors import FileFormatError, InvalidValueError
from posterior.priors.checkpoints import convert_score_sde
from posterior.priors.score_prior import ScorePrior
from posterior.priors.sde import VESDEPrior, VPSDEPrior
from posterior.priors.zoo import load_prior
from tests.priors.checkpoints import originals
from tests.priors.checkpoints.harm import Harm

RESIDUAL, DDPMPP = "score-sde-ncsnpp-residual", "score-sde-ddpmpp"
CASES = {RESIDUAL: "ve", "score-sde-ncsnpp-skip": "ve", DDPMPP: "vp"}


def saved(folder: Path, content: object) -> Path:
    path = folder / "checkpoint_24.pth"
    torch.save(content, path)
    return path


def converted(path: Path, **options: object) -> ScorePrior:
    prior = load_prior(convert_score_sde(path, path.parent / "prior", size=8, **options), dtype=torch.float64)
    assert isinstance(prior, ScorePrior)
    return prior


def check(prior: ScorePrior, case: str) -> None:
    denoised = prior.denoise(originals.images(case), torch.tensor(originals.LEVELS, dtype=torch.float64))
    torch.testing.assert_close(originals.some(denoised), originals.answers(case), rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_denoiser_is_the_authors(case: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(originals.state_dict(case), path)
    prior = converted(path, sde=CASES[case])
    assert isinstance(prior, VESDEPrior if CASES[case] == "ve" else VPSDEPrior)
    if CASES[case] == "ve":
        assert (prior.sigma_min, prior.sigma_max) == pytest.approx((0.02, 100.0))
    assert (prior.event_shape, prior.sigma_data) == ((3, 8, 8), 0.5)
    check(prior, case)


@pytest.mark.parametrize("case", [RESIDUAL, DDPMPP])
def test_the_moving_average_is_taken(case: str, tmp_path: Path) -> None:
    weights = originals.state_dict(case)
    kept = ("sigmas", "all_modules.0.W") if case == RESIDUAL else ("sigmas",)
    model = OrderedDict((f"module.{name}", t if name in kept else 0 * t) for name, t in weights.items())
    average = [tensor for name, tensor in weights.items() if name not in kept]
    content = {"optimizer": {}, "model": model, "ema": {"decay": 0.9999, "shadow_params": average}, "step": 24}
    check(converted(saved(tmp_path, content), sde=CASES[case]), case)
    content["ema"] = {"shadow_params": average[1:]}
    with pytest.raises(FileFormatError, match="moving averages in 'ema' are not as many as"):
        converted(saved(tmp_path, content), sde=CASES[case])
    content["ema"] = {"shadow_params": average[::-1]}
    with pytest.raises(FileFormatError, match=r"moving average of all_modules.\d.weight has shape"):
        converted(saved(tmp_path, content), sde=CASES[case])


@pytest.mark.parametrize(
    ("case", "options", "message"),
    [
        (RESIDUAL, {"sde": "vp"}, "at random frequencies: give sde='ve'"),
        (DDPMPP, {}, "as a time: give sde='vp'; variance-exploding networks of discrete levels are not supported"),
        (DDPMPP, {"sde": "subvp"}, "sde is 've' or 'vp', not 'subvp'"),
    ],
)
def test_the_sde_is_checked(case: str, options: dict, message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidValueError, match=message):
        converted(saved(tmp_path, originals.state_dict(case)), **options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigmas": None}, "sigmas is missing"),
        ({"all_modules.3.weight": None}, "all_modules.3.weight is missing"),
        ({"all_modules.3.bias": None}, "all_modules.3.bias is missing"),
        ({"all_modules.4.Conv_0.weight": None}, "all_modules.4.Conv_0.weight is missing"),
        ({"all_modules.4.Dense_0.weight": None}, "residual blocks are not those of 2 resolutions"),
        ({"all_modules.5.NIN_0.W": torch.zeros(16)}, "all_modules.5.NIN_0.W or .b is not of 16 features"),
        ({"all_modules.4.Conv_1.weight": torch.zeros(2)}, r"enc.8x8_block0.conv1.weight has shape \(2,\) instead of"),
        ({"all_modules.99.weight": torch.zeros(2)}, "all_modules.99.weight not expected"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes: dict, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, originals.state_dict(RESIDUAL, **changes))
    with pytest.raises(FileFormatError, match=message) as raised:
        converted(path)
    assert str(path) in str(raised.value)
    assert not (tmp_path / "prior").exists()


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileFormatError, match=r"more than tensors.* save the model's state_dict\(\)"):
        converted(saved(tmp_path, {"model": {}, "ema": Harm()}))
    with pytest.raises(FileFormatError, match=r"all_modules.2.weight is missing"):
        converted(saved(tmp_path, {}))
    for case, kind in (("NCSNv2", "a network of NCSNv2, for convert_ncsnv2"), ("ncsnpp-ve", "a network of EDM, for")):
        with pytest.raises(FileFormatError, match=f"all_modules.2.weight is missing; it looks like {kind}"):
            converted(saved(tmp_path, originals.state_dict(case)))
    with pytest.raises(FileFormatError, match="all_modules.2.weight is missing; its names are of no known kind"):
        converted(saved(tmp_path, {"layer1.0.conv1.weight": torch.zeros(3)}))
    with pytest.raises(InvalidValueError, match="size is a multiple of 2 for this network, not 9"):
        convert_score_sde(saved(tmp_path, originals.state_dict(RESIDUAL)), tmp_path / "prior", size=9)
    assert not Path("harm-was-done").exists()
