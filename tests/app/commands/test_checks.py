import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posterior.app.cli import main
from posterior.noise import Noise
from tests.app.commands.workplace import QUIET, SHAPE, mistake, save_priors
from tests.tables import cells


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with priors of random weights, and images."""
    monkeypatch.chdir(tmp_path)
    save_priors()
    np.savez("x.npz", x=(2 * Noise.of(0).uniform((4, *SHAPE))[0, 0] - 1).numpy())
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("large.png")
    Path("file").write_text("in the way")


def check(*args: str, prior: str = "./score") -> None:
    main(["priors", "check", prior, "--num_images=3", "--num_draws=2", "--steps=3", QUIET, *args])


def calibrate(*args: str) -> None:
    sampler = "AnnealedLangevin:levels=3"
    noise = () if any(word.startswith("--likelihood") for word in args) else ("--noise_std=1",)
    sizes = ("--num_problems=3", "--num_samples=4", "--batch=2", *noise)
    main(["calibrate", "--prior=./score", f"--sampler={sampler}", *sizes, QUIET, *args])


@pytest.mark.parametrize(("command", "words"), [("priors check", " NAME"), ("calibrate", "")])
def test_help(command: str, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: posterior {command}{words} [options]\n")
    assert "--images" in text and "(default: " in text
    for noise in ("type:", "<class", "Path |", "default: null"):
        assert noise not in text


def test_check_of_given_images(capsys: pytest.CaptureFixture[str]) -> None:
    check("--images=x.npz", "--levels=[0.1,1]", "--out=out/deep")
    text = capsys.readouterr().out
    kept = Path("out/deep/prior_check.md").read_text()
    assert kept in text and "saved to out/deep/prior_check.md" in text
    assert "3 given images" in text and [row[0] for row in cells(kept)] == ["ρ", "0.1", "1"]


def test_check_of_the_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("posterior.diagnostics.calibration._TRUTH_STEPS", 4)
    check("--levels=[0.5]")
    assert "images of the prior itself" in capsys.readouterr().out
    assert not Path("results").exists()


@pytest.mark.parametrize(("args", "judged"), [((), "Sampler"), (("--images=x.npz",), "Model")])
def test_calibrate(
    args: tuple[str, ...], judged: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("posterior.diagnostics.calibration._TRUTH_STEPS", 4)
    calibrate("--out=out", *args)
    text = capsys.readouterr().out
    assert Path("out/calibration.md").read_text() in text
    assert f"{judged} calibration of AnnealedLangevin: 3 problems" in text
    with Image.open("out/calibration.png") as figure:
        assert min(figure.size) > 100


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--images=nowhere.npz"], "nowhere.npz does not exist"),
        (["--images=large.png"], r"expected \(1, 8, 8\)"),
        (["--levels=[0]"], "valid for noise levels"),
        (["--levels=[1000]"], "valid for noise levels"),
        (["--levels=few"], "levels cannot be 'few'; see posterior priors check --help"),
        (["--steps=2"], "steps is at least 3"),
        (["--out=file"], "file: File exists"),
    ],
)
def test_mistakes_of_check(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(message, mistake(capsys, check, *args))


def test_mistakes_about_the_prior(capsys: pytest.CaptureFixture[str]) -> None:
    assert "give a ScorePrior" in mistake(capsys, check, prior="./generator")
    assert "no prior is called 'digit'" in mistake(capsys, check, prior="digit")
    assert "required: name" in mistake(capsys, main, ["priors", "check"])
    assert "takes a ScorePrior" in mistake(capsys, calibrate, "--prior=./generator")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--images=nowhere"], "nowhere does not exist"),
        (["--images=large.png"], r"expected \(1, 8, 8\)"),
        (["--operator=hal"], "did you mean 'half'"),
        (["--sampler=Tempered"], "did you mean 'TemperedSMC'"),
        (["--noise_std=0"], "noise_std must be positive"),
        (["--num_problems=1"], "at least 2"),
        (["--likelihood=poisson:gain=50,background=1"], "takes Gaussian noise"),
        (["--likelihood=gaussian:noise_std=1", "--noise_std=1"], "either --likelihood or --noise_std"),
        (["--thin=0"], "at least 1"),
        (["--num_samples=few"], "num_samples cannot be 'few'; see posterior calibrate --help"),
        (["--out=file"], "file: File exists"),
    ],
)
def test_mistakes_of_calibrate(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(message, mistake(capsys, calibrate, *args))
