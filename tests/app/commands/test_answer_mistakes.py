"""What `posterior sample` and `posterior solve` refuse, in one line."""

import re
from pathlib import Path

import pytest

from tests.app.commands.workplace import fill_folder, mistake, sample, solve


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with priors of random weights, pictures and measurements."""
    monkeypatch.chdir(tmp_path)
    fill_folder()


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "either --image .* or --measurement"),
        (["--image=pictures", "--measurement=y.npy"], "either --image .* or --measurement"),
        (["--image=nowhere.png"], "nowhere.png does not exist"),
        (["--image=large.png"], r"\(1, 9, 9\); expected \(1, 8, 8\)"),
        (["--measurement=nan.npy"], r"nan\.npy: NaN or infinity"),
        (["--measurement=one.npy"], "batch dimension"),
        (["--measurement=everywhere.npy"], "measures nothing"),
        (["--measurement=x.npz"], "not readable as an npy array"),
        (["--measurement=bytes.npy"], r"bytes\.npy holds torch\.uint8: .*y / 127\.5 - 1.*give a picture as --image"),
        (["--measurement=counts.npy"], r"counts\.npy holds torch\.int64: .*counts as y\.astype\('float32'\)"),
        (["--measurement=complex.npy"], "y is complex, but the operator Inpainting measures real numbers"),
        (["--measurement=y.npy", "--operator=mask:path=grey.npy"], "numbers other than 0 and 1"),
        (["--measurement=y.npy", "--operator=mask:path=nan.npy"], r"nan\.npy: NaN or infinity in 1 of 128 values"),
        (["--measurement=y.npy", "--operator=downsampling:factor=4"], r"expected \(B, 1, 2, 2\)"),
        (["--image=pictures", "--operator=hal:keep=top"], "did you mean 'half'"),
        (["--image=pictures", "--operator=half"], "'keep'"),
        (["--image=pictures", "--sampler=Tempered"], "did you mean 'TemperedSMC'"),
        (["--image=pictures", "--sampler=TemperedSMC:population=1"], "population"),
        (["--image=pictures", "--prior=nothing"], "no prior is called 'nothing'"),
        (["--image=pictures", "--prior=./nothing"], "no folder nothing"),
        (["--image=pictures", "--prior=./pictures"], "no config.json"),
        (["--image=pictures", "--prior=./generator", "--sampler=AuxiliaryMH"], "takes a ScorePrior"),
        (["--image=pictures", "--noise_std=0"], "noise_std must be positive"),
        (["--image=pictures", "--num_samples=0"], "an integer ≥ 1"),
        (["--image=pictures", "--batch_size=0"], "an integer ≥ 1"),
        (["--image=pictures", "--out=large.png"], "large.png: File exists"),
        (["--num_samples=few"], "num_samples cannot be 'few'; see posterior sample --help"),
        (["--batch_size=2.5"], "batch_size cannot be '2.5'"),
        (["--image=pictures", "--likelihood=poison:gain=1"], "did you mean 'poisson'"),
        (["--image=pictures", "--likelihood=poisson:gain=1"], "write poisson:gain=NUMBER"),
        (["--image=pictures", "--likelihood=poisson:gain=1,background=1", "--noise_std=1"], "either --likelihood or"),
        (["--image=pictures", "--class_label=1"], "has no classes"),
        (["--measurement=y.npy", "--resize"], "convert pictures, of --image"),
        (["--image=large.png", "--gray"], r"\(1, 9, 9\); expected \(1, 8, 8\)"),
        (["--image=pictures", "--resize=maybe"], "resize cannot be 'maybe'"),
        (["--image=pictures", "--seed=1", "--seed=2.5"], "seed cannot be '2.5'"),
        (["--samples=3"], "unrecognized arguments: --samples=3; see posterior sample --help"),
        (["--config=nowhere.yaml"], "does not exist"),
        (["--config=large.png"], "not text"),
    ],
)
def test_mistakes_of_sample(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(message, mistake(capsys, sample, *args))


def test_mistakes_of_solve_and_of_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert "takes a GeneratorPrior" in mistake(capsys, solve, "--image=pictures", "--prior=./score")
    Path("bad.yaml").write_text("samples: 3\n")
    assert "'samples'" in mistake(capsys, sample, "--config=bad.yaml")
