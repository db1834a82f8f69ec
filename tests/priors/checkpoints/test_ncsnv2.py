import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from posterior.errors import FileFormatError, InvalidValueError
from posterior.priors.checkpoints import convert_ncsnv2
from posterior.priors.score_prior import ScorePrior
from posterior.priors.sde import VESDEPrior
from posterior.priors.zoo import load_prior
from tests.priors.checkpoints import originals
from tests.priors.checkpoints.harm import Harm

NETWORKS = ("NCSNv2", "NCSNv2Deeper", "NCSNv2Deepest")
SIZES = {case: tuple(originals.CASES[case]["event_shape"][1:]) for case in NETWORKS}


def saved(folder: Path, content: object) -> Path:
    path = folder / "checkpoint_80000.pth"
    torch.save(content, path)
    return path


def converted(path: Path, case: str = "NCSNv2", **options: object) -> ScorePrior:
    folder = convert_ncsnv2(path, path.parent / "prior", size=SIZES[case], **options)
    prior = load_prior(folder, dtype=torch.float64)
    assert isinstance(prior, VESDEPrior)
    return prior


@pytest.mark.parametrize("case", NETWORKS)
def test_the_denoiser_is_the_authors(case: str, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    prior = converted(saved(tmp_path, originals.state_dict(case)), case)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert prior.event_shape == tuple(originals.CASES[case]["event_shape"])
    # trained at 0.01 … 50 on images in [0, 1]
    assert (prior.sigma_min, prior.sigma_max) == pytest.approx((0.02, 100.0))
    assert (prior.sigma_data, prior.value_range) == (0.5, (-1.0, 1.0))
    denoised = prior.denoise(originals.images(case), torch.tensor(originals.LEVELS, dtype=torch.float64))
    torch.testing.assert_close(originals.some(denoised), originals.answers(case), rtol=0, atol=1e-6)


def test_the_moving_average_is_taken(tmp_path: Path) -> None:
    weights = originals.state_dict("NCSNv2")
    last = OrderedDict((f"module.{name}", t if name == "sigmas" else 0 * t) for name, t in weights.items())
    average = {name: t for name, t in weights.items() if name != "sigmas"}
    optimiser = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 1e-4}]}
    prior = converted(saved(tmp_path, [last, optimiser, 5, 80_000, average]))
    denoised = prior.denoise(originals.images("NCSNv2"), torch.tensor(originals.LEVELS, dtype=torch.float64))
    torch.testing.assert_close(originals.some(denoised), originals.answers("NCSNv2"), rtol=0, atol=1e-6)
    without = converted(saved(tmp_path, [last, optimiser, 5, 80_000]))
    x = originals.images("NCSNv2")
    assert torch.equal(without.denoise(x, 1.0), x)  # a network of zeros


def test_units_are_a_matter_of_scale(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(originals.state_dict("NCSNv2"), path)
    prior, own = converted(path), converted(path, value_range=(0.0, 1.0))
    assert (own.sigma_min, own.sigma_max, own.sigma_data) == pytest.approx((0.01, 50.0, 0.25))
    assert own.value_range == (0.0, 1.0)
    x = originals.images("NCSNv2")
    torch.testing.assert_close(2 * own.denoise((x + 1) / 2, 0.6) - 1, prior.denoise(x, 1.2))
    rescaled = converted(path, rescaled=True, sigma_data=0.3)
    assert (rescaled.sigma_min, rescaled.sigma_max, rescaled.sigma_data) == pytest.approx((0.01, 50.0, 0.3))
    assert torch.equal(rescaled.denoise(x, 1.2), prior.denoise(x, 1.2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigmas": None}, "sigmas is missing"),
        ({"sigmas": torch.zeros(3)}, "noise levels sigmas lie between 0 and 0"),
        ({"begin_conv.weight": None}, "does not hold a network of NCSNv2: begin_conv.weight is missing"),
        ({"begin_conv.weight": torch.zeros(4)}, r"begin_conv.weight has shape \(4,\)"),
        ({"res2.0.normalize1.alpha": None}, "res2.0.normalize1.alpha is missing"),
        ({"res2.0.conv1.weight": torch.zeros(4, 4, 1, 1)}, r"instead of \(4, 4, 3, 3\)"),
        ({"refine1.msf.convs.0.weight": torch.zeros(3)}, "refine1.msf.convs.0.weight is not expected"),
        ({"end_conv.bias": torch.tensor([float("nan")])}, "end_conv.bias holds NaN"),
        ({"end_conv.bias": 3}, "entry 'end_conv.bias' of it is not a named tensor"),
    ],
)
def test_tensors_that_do_not_fit_are_named(changes: dict, message: str, tmp_path: Path) -> None:
    path = saved(tmp_path, originals.state_dict("NCSNv2", **changes))
    with pytest.raises(FileFormatError, match=message) as raised:
        converted(path)
    assert str(path) in str(raised.value)
    assert not (tmp_path / "prior").exists()


def test_other_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content, message in (
        ([], "its first entry is a NoneType"),
        ([{"epoch": 3}], "entry 'epoch' of its first entry is not a named tensor"),
        (torch.zeros(3), "it is a Tensor"),
        ({}, "sigmas is missing"),
    ):
        with pytest.raises(FileFormatError, match=message):
            converted(saved(tmp_path, content))
    with pytest.raises(FileFormatError, match=r"holds more than tensors.* save the network's state_dict\(\)"):
        converted(saved(tmp_path, [originals.state_dict("NCSNv2"), Harm()]))
    path = tmp_path / "old.pth"
    path.write_bytes(pickle.dumps(Harm(), protocol=2))
    with pytest.raises(FileFormatError, match="holds more than tensors"):
        converted(path)
    assert not Path("harm-was-done").exists()


@pytest.mark.parametrize(
    "options", [{"size": 15}, {"size": 0}, {"size": (12, 13)}, {"size": 12, "value_range": (1, 1)}]
)
def test_sizes_that_the_network_cannot_take_are_refused(options: dict, tmp_path: Path) -> None:
    path = saved(tmp_path, originals.state_dict("NCSNv2"))
    with pytest.raises(InvalidValueError, match=r"multiples of 2 for this network|value_range"):
        convert_ncsnv2(path, tmp_path / "prior", **options)
    assert not (tmp_path / "prior").exists()
