"""Models of diffusers from folders, objects and the Hub: what is read, what is refused, and that nothing is run."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from posterior.errors import FileFormatError, IncompatibleError, InvalidValueError
from posterior.priors import ScorePrior
from posterior.priors.zoo import load_prior
from tests.priors.test_diffusers import diffusers, images, pipeline, unet

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A bare model with its scheduler beside it."""
    unet().save_pretrained(tmp_path / "model")
    diffusers.DDPMScheduler().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def denoised(*source: Any, **options: Any) -> torch.Tensor:
    with torch.no_grad():
        return ScorePrior.from_diffusers(*source, **options).denoise(images(), 1.0)


def change(folder: Path, **changes: torch.Tensor | None) -> None:
    weights = load_file(folder / WEIGHTS) | changes
    save_file({name: value for name, value in weights.items() if value is not None}, folder / WEIGHTS)


def test_a_model_with_its_scheduler_is_the_pipeline_of_both(folder: Path, tmp_path: Path) -> None:
    scheduler = diffusers.DDPMScheduler()
    pipe = pipeline(scheduler)
    pipe.save_pretrained(tmp_path / "pipeline")
    expected = denoised(pipe)
    assert torch.equal(denoised(unet(), scheduler), expected)
    for source in (folder, str(folder), tmp_path / "pipeline", tmp_path / "pipeline" / "unet"):
        assert torch.equal(denoised(source), expected)
    with torch.no_grad():
        loaded = load_prior(folder)
        assert isinstance(loaded, ScorePrior) and torch.equal(loaded.denoise(images(), 1.0), expected)
    (folder / "scheduler_config.json").unlink()
    assert torch.equal(denoised(folder, scheduler), expected)
    with pytest.raises(FileFormatError, match=r"no scheduler_config\.json.* from_diffusers\(folder, scheduler\)"):
        denoised(folder)


def test_a_scheduler_that_is_given_goes_first(folder: Path) -> None:
    given = diffusers.DDPMScheduler(prediction_type="sample")
    pipe = pipeline(diffusers.DDPMScheduler())
    assert torch.equal(denoised(folder, given), denoised(unet(), given))
    assert torch.equal(denoised(pipe, given), denoised(unet(), given))
    assert not torch.equal(denoised(folder), denoised(folder, given))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: unet(), r"UNet2DModel comes with no scheduler.* give from_diffusers\(model, scheduler\)"),
        (lambda: nn.Linear(1, 1), "takes a model of diffusers, a pipeline .*; got Linear"),
        (lambda: 3, "got int"),
        (lambda: SimpleNamespace(components={"scheduler": diffusers.DDPMScheduler()}), "got SimpleNamespace"),
    ],
)
def test_objects_of_other_kinds_are_refused(source: Any, message: str) -> None:
    with pytest.raises(IncompatibleError, match=message):
        ScorePrior.from_diffusers(source())


def test_only_what_is_asked_for_is_downloaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(name: str, **options: Any) -> str:
        asked.append((name, options))
        return str(folder)

    monkeypatch.setattr(diffusers.DiffusionPipeline, "download", download)
    with pytest.raises(FileFormatError, match=r"no folder models/ddpm; pass download=True to get .* from the Hub"):
        ScorePrior.from_diffusers("models/ddpm")
    for name in ("ddpm", "./models/ddpm", "/models/ddpm", "models/mine/ddpm", "models/ddpm/"):
        with pytest.raises(FileFormatError, match=f"there is no folder {name}$"):
            ScorePrior.from_diffusers(name, download=True)
    assert asked == []
    assert torch.equal(denoised("models/ddpm", download=True), denoised(folder))
    assert asked == [("models/ddpm", {"use_safetensors": True, "trust_remote_code": False})]


def text_conditional() -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8, in_channels=1, out_channels=1, block_out_channels=(8, 8), layers_per_block=1,
        down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, norm_num_groups=4,
        cross_attention_dim=8,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (text_conditional, "UNet2DConditionModel is conditioned on texts or images .*encoder_hidden_states"),
        (lambda: unet(class_embed_type="timestep"), "told of a timestep in place of a class"),
        (lambda: unet(class_embed_type="identity"), "told of a identity in place of a class"),
        (lambda: unet(2, 1), "takes 2 channels and gives 1: it is conditioned on an image"),
    ],
)
def test_models_that_need_more_are_refused_at_load(model: Any, message: str, tmp_path: Path) -> None:
    scheduler = diffusers.DDPMScheduler()
    with pytest.raises(IncompatibleError, match=message):
        ScorePrior.from_diffusers(model(), scheduler)
    model().save_pretrained(tmp_path)
    with pytest.raises(IncompatibleError, match=message):
        ScorePrior.from_diffusers(tmp_path, scheduler)


def test_a_model_that_cannot_be_called_is_refused_at_load() -> None:
    model = unet()
    model.register_to_config(sample_size=9)  # odd sides do not come back from half of them
    with pytest.raises(IncompatibleError, match=r"cannot be called with images of shape \(1, 9, 9\)"):
        ScorePrior.from_diffusers(model, diffusers.DDPMScheduler())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv_in.weight": None}, "conv_in.weight is missing"),
        ({"extra": torch.zeros(2)}, "extra is not expected"),
        ({"conv_in.bias": torch.full((8,), float("nan"))}, "conv_in.bias holds NaN"),
        ({"conv_in.bias": torch.zeros(3)}, "conv_in.bias"),
        ({"_orig_mod.conv_in.bias": torch.zeros(8), "conv_in.bias": None}, "conv_in.bias is missing"),
    ],
)
def test_weights_that_do_not_fit_are_refused(changes: dict[str, Any], message: str, folder: Path) -> None:
    change(folder, **changes)
    with pytest.raises(FileFormatError, match=message) as raised:
        ScorePrior.from_diffusers(folder)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (WEIGHTS, "x", "cannot load a UNet2DModel"),
        ("config.json", "{", r"config\.json is corrupt or cut off"),
        ("config.json", "[]", "holds a list"),
        ("config.json", '{"_class_name": 3}', "'_class_name' is missing"),
        ("config.json", '{"_class_name": "DDPMScheduler"}', "'DDPMScheduler', which is no ModelMixin of diffusers"),
        ("config.json", '{"_class_name": "__path__"}', "which is no ModelMixin"),
        ("config.json", '{"_class_name": "UNet2DModel", "layers_per_block": "many"}', "cannot load a UNet2DModel"),
        ("scheduler_config.json", '{"_class_name": "UNet2DModel"}', "which is no SchedulerMixin"),
        (
            "scheduler_config.json",
            '{"_class_name": "DDPMScheduler", "beta_schedule": 3}',
            "cannot build a DDPMScheduler",
        ),
    ],
)
def test_corrupt_folders_are_named(name: str, text: str, message: str, folder: Path) -> None:
    (folder / name).write_text(text)
    with pytest.raises(FileFormatError, match=message):
        ScorePrior.from_diffusers(folder)


HARM = "from pathlib import Path\nPath('harm-was-done').touch()\nclass Mine: pass\n"


@pytest.mark.parametrize(
    "index",
    [
        {"_class_name": ["pipeline", "Mine"], "unet": ["diffusers", "UNet2DModel"]},
        {"_class_name": "Mine", "unet": ["my_module", "Mine"], "scheduler": ["diffusers", "DDPMScheduler"]},
        {"_class_name": "DDPMPipeline", "unet": ["unet.my_module", "Mine"], "scheduler": ["my_module", "Mine"]},
    ],
)
def test_no_code_of_a_folder_is_run(index: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    pipe = pipeline(diffusers.DDPMScheduler())
    pipe.save_pretrained(folder)
    (folder / "model_index.json").write_text(json.dumps(index))
    for place in (folder, folder / "unet", folder / "scheduler", tmp_path):
        for name in ("pipeline", "my_module", "unet", "Mine"):
            (place / f"{name}.py").write_text(HARM)
    config = json.loads((folder / "unet" / "config.json").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(folder))
    assert torch.equal(denoised(folder), denoised(pipe))
    (folder / "unet" / "config.json").write_text(
        json.dumps(config | {"_class_name": "Mine", "auto_map": "my_module.Mine"})
    )
    with pytest.raises(FileFormatError, match="names the class 'Mine'"):
        load_prior(folder)
    assert not list(tmp_path.rglob("harm-was-done"))


def test_classes_of_other_priors() -> None:
    with pytest.raises(InvalidValueError, match="digits has no classes"):
        load_prior("digits", class_label=3)
