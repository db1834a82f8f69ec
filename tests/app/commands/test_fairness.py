"""`posterior fairness`: a study from the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from posterior.app.cli import main
from posterior.fairness import Classifier, save_classifier
from posterior.networks.classifiers import ConvNet
from posterior.networks.vae import VAEDecoder
from posterior.noise import Noise
from posterior.priors.generators import NetworkGenerator
from posterior.priors.zoo import save_prior
from tests.tables import cells

SHAPE = (1, 8, 8)
SETTINGS = {
    "prior": "./generator",
    "classifier": "./classes",
    "groups": {"first": ["a"]},
    "operators": ["downsampling:factor=4", "identity"],
    "noise_std": [1.0],
    "methods": ["TemperedSMC:accuracy=fast,population=8", "CSGM:restarts=1,steps=2"],
    "reference": "TemperedSMC",
    "num_images": 4,
    "num_samples": 2,
    "progress": False,
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with a prior and a classifier of random weights, and a study's settings."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_prior(NetworkGenerator(VAEDecoder(2, (8,), SHAPE)), "generator")
        save_classifier(Classifier(ConvNet(1, 3, (4,)), ("a", "b", "c"), SHAPE), "classes")
    Path("study.yaml").write_text(yaml.safe_dump(SETTINGS), encoding="utf-8")
    np.savez("x.npz", x=(2 * Noise.of(0).uniform((3, *SHAPE))[0, 0] - 1).numpy())


def test_a_study_from_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fairness", "study.yaml"])
    printed = capsys.readouterr().out
    assert ["identity, noise 1", "CSGM"] in [row[:2] for row in cells(printed)]
    assert "estimated" in printed
    text = Path("results/fairness/fairness.md").read_text(encoding="utf-8")
    assert text.strip() in printed
    assert text.count("|") >= 6 * 9
    assert Path("results/fairness/fairness.png").stat().st_size > 0
    main(["fairness", "study.yaml"])  # from the checkpoint
    assert text.strip() in capsys.readouterr().out


def test_images_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fairness", "--config=study.yaml", "--images=x.npz", "--out=own"])
    assert "| downsampling:factor=4, noise 1 | TemperedSMC |" in capsys.readouterr().out
    assert Path("own/fairness.md").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nothing.yaml"], "nothing.yaml"),
        (["study.yaml", "--reference=DPS"], "reference"),
        (["study.yaml", "--methods=[CSGX]"], "did you mean 'CSGM'"),
        (["study.yaml", '--groups={"x":["z"]}'], "look at z"),
        (["study.yaml", "--classifier=nothing"], "nothing"),
        (["study.yaml", "--num_samples=3"], "even"),
        (["study.yaml", "--images=nothing.npz"], "nothing.npz"),
    ],
)
def test_mistakes_end_in_one_line(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fairness", *words])
    error = capsys.readouterr().err.strip()
    assert error.startswith("posterior: ")
    assert "\n" not in error
    assert expected in error
