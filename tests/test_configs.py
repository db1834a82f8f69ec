"""Every file in configs/ is built, and run on one measurement with few samples and few steps."""

import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from posterior.app.cli import main
from posterior.app.config import build_parts, load_config
from posterior.networks.unet import UNet
from posterior.priors.edm import EDMPrior
from posterior.priors.zoo import save_prior

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
ONE = ["data.count=1"]
# Settings with which a config takes seconds.
SMOKE = {
    "anomaly": [*ONE, "likelihood.noise_std=3", "methods.0.population=8"],
    "colourisation": ["prior.event_shape=[3,16,24]", "methods.0.steps=3", "methods.0.langevin_steps=2"],
    "compressed_sensing": [*ONE, "likelihood.noise_std=3", "methods.0.population=8"],
    "compression": [*ONE, "likelihood.noise_std=5", "methods.0.population=8"],
    "deblurring": ["prior.event_shape=[3,16,24]", "methods.0.steps=3", "methods.0.langevin_steps=2"],
    "denoising": [*ONE, "likelihood.noise_std=3"],
    "digits_inpainting": [*ONE, "likelihood.noise_std=3", "methods.0.population=8"],
    "digits_superresolution": [*ONE, "likelihood.noise_std=3", "methods.0.population=8", "methods.1.steps=3",
                               "methods.2.steps=3", "methods.3.steps=3"],
    "flow": [*ONE, "methods.0.steps=2", "methods.0.candidates=4", "methods.1.transport={name: ComposedFlow, steps: 2}",
             "methods.1.chains=2", "methods.1.burn_in=2", "methods.1.thinning=1", "methods.1.leapfrogs=1"],
    "gaussian_mixture": ["data.count=2", "methods.0.population=8"],
    "interferometry": [*ONE, "likelihood.noise_std=3"],
    "groups": [*ONE, "likelihood.noise_std=3", "methods.0.population=8", "methods.1.steps=3"],
    "latent": [*ONE, "methods.0.chains=2", "methods.0.burn_in=2", "methods.0.thinning=1", "methods.1.levels=2",
               "methods.2.steps=2"],
    "magnitude": [*ONE, "likelihood.noise_std=20", "methods.0.population=8"],
    "map": [*ONE, "methods.0.steps=2", "methods.1.steps=2", "methods.2.steps=[2,2,2]", "methods.3.steps=2",
            "methods.4.steps=2"],
    "mri": [*ONE, "methods.0.accuracy=fast"],
    "one_bit": [*ONE, "likelihood.noise_std=5", "methods.0.population=8"],
    "own_operator": [*ONE, "likelihood.noise_std=20", "methods.0.population=8"],
    "unknown_noise": [*ONE, "num_samples=4", "methods.0.inner.burn_in=2", "methods.0.inner.thinning=1"],
    "phase_retrieval": [*ONE, "methods.0.steps=2", "likelihood.noise_std=20", "methods.1.population=8"],
    "poisson": [*ONE, "likelihood.gain=0.1", "methods.0.population=8"],
    "robust": [*ONE, "methods.0.steps=2", "likelihood.scale=20", "methods.1.population=8"],
    "seismic": [*ONE, "methods.0.population=8"],
    "source_separation": [*ONE, "likelihood.noise_std=3"],
    "tomography": [*ONE, "likelihood.noise_std=20"],
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what configs say is the user's: photographs, and a prior of heads."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_prior(EDMPrior(UNet(2, (8,), 1), (2, 16, 20), sigma_data=0.5), "heads")
    (tmp_path / "photos").mkdir()
    Image.linear_gradient("L").convert("RGB").resize((30, 20)).save("photos/one.png")
    return tmp_path


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_it_is_built(config: Path, place: Path) -> None:
    parts = build_parts(asked := load_config(config), allow_code="_operator" in config.stem)
    assert len(parts.methods) == len(asked.methods)
    assert len(parts.data.ids) >= 1


@pytest.mark.integration
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_it_runs(config: Path, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [word for setting in SMOKE[config.stem] for word in ("--set", setting)]
    code = ["--allow_code"] if "_operator" in config.stem else []
    main(["run", str(config), "--num_samples=4", "--progress=false", *words, *code])
    printed = capsys.readouterr().out
    rows = re.findall(r"^\| (\S+)\s+\|\s+(\d+) \|\s+(\d+) \|", printed, flags=re.M)
    assert rows and all(int(count) in (1, 2) and failed == "0" for _, count, failed in rows), printed


def test_each_has_settings_and_an_output_of_its_own() -> None:
    assert {path.stem for path in CONFIGS} == set(SMOKE)
    texts = [path.read_text(encoding="utf-8") for path in CONFIGS]
    assert all(text.startswith("# ") for text in texts)
    assert len({re.findall(r"^out: (.*)$", text, flags=re.M)[0] for text in texts}) == len(texts)
