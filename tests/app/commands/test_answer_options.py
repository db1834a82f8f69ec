"""Options of `posterior sample` and `posterior solve`: several samplers, likelihoods, checkpoints, folders."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from posterior.app import drawing
from posterior.results import Samples
from samplers import DDNM, TemperedSMC
from tests.app.commands.workplace import SAMPLER, SHAPE, fill_folder, mistake, sample, solve
from tests.tables import cells


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with priors of random weights, pictures and measurements."""
    monkeypatch.chdir(tmp_path)
    fill_folder()


def test_several_samplers_have_one_table_and_a_figure_with_a_block_each(capsys: pytest.CaptureFixture[str]) -> None:
    one, two = SAMPLER, "AnnealedLangevin:levels=3"
    sample("--image=pictures", f"--sampler={one}", f"--sampler={two}", "--out=out")
    text = capsys.readouterr().out
    names = ["TemperedSMC", "AnnealedLangevin"]
    assert [row[:2] for row in cells(text)][1:] == [[str(b), name] for b in range(3) for name in names]
    files = {path.name for path in Path("out").iterdir()}
    assert files == {
        "000.png", "001.png", "002.png", "overview-AnnealedLangevin.png", "overview-TemperedSMC.png",
        "samples-AnnealedLangevin.npz", "samples-TemperedSMC.npz", "summary.csv",
    }  # fmt: skip
    sample("--image=pictures", f"--sampler={two}", "--out=alone")
    again = Samples.load("out/samples-AnnealedLangevin.npz")
    assert torch.equal(again.x, Samples.load("alone/samples.npz").x)
    sample("--image=pictures/0.png", f"--sampler=[{two},AnnealedLangevin:levels=4]", "--out=alike", "--num_samples=1")
    assert {path.name for path in Path("alike").glob("samples*")} == {
        "samples-AnnealedLangevin-levels=3.npz", "samples-AnnealedLangevin-levels=4.npz",
    }  # fmt: skip
    assert "levels=4 |" in capsys.readouterr().out
    for words in ([f"--sampler={two}"] * 2, ["--sampler=[]"]):
        assert "several that differ" in mistake(capsys, sample, "--image=pictures", *words)


def test_many_samplers_have_a_row_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "_BLOCKS", 1)
    words = [f"--sampler=AnnealedLangevin:levels={levels}" for levels in (3, 4)]
    sample("--image=pictures/0.png", *words, "--out=out", "--num_samples=2")
    with Image.open("out/000.png") as figure:
        assert min(figure.size) > 300


def test_every_likelihood_has_a_name(undrawn: None) -> None:
    for noise in ("poisson:gain=50,background=1", "student-t:scale=1,degrees=4", "LaplaceLikelihood:scale=1"):
        sample("--image=pictures/0.png", f"--likelihood={noise}", "--out=out")
    assert Samples.load("out/samples.npz").provenance.likelihood == "LaplaceLikelihood"
    sample("--image=pictures/0.png", "--likelihood=gaussian:noise_std=1", "--out=long")
    sample("--image=pictures/0.png", "--noise_std=1", "--out=short")
    assert torch.equal(*(Samples.load(f"{name}/samples.npz").x for name in ("long", "short")))
    solve("--image=pictures/0.png", "--likelihood=gaussian:noise_std=1", "--out=solved")


def test_pictures_are_converted(undrawn: None) -> None:
    sample("--image=large.png", "--resize", "--gray", "--out=out")
    assert Samples.load("out/samples.npz").x.shape == (3, 1, *SHAPE)


def test_a_run_goes_on_from_its_checkpoint(undrawn: None, capsys: pytest.CaptureFixture[str]) -> None:
    sample("--image=pictures/0.png", "--out=out", "--checkpoint=run.pt")
    first = Samples.load("out/samples.npz")
    sample("--image=pictures/0.png", "--out=again", "--checkpoint=run.pt")
    assert torch.equal(Samples.load("again/samples.npz").x, first.x)
    assert "another run" in mistake(capsys, sample, "--image=pictures/0.png", "--checkpoint=run.pt", "--seed=9")
    two = ["--sampler=AnnealedLangevin:levels=3", "--sampler=AnnealedLangevin:levels=4"]
    sample("--image=pictures/0.png", *two, "--out=several", "--checkpoint=several.pt")
    assert len(list(Path().glob("several-*.pt"))) == 2
    solve("--image=pictures/0.png", "--out=solved", "--checkpoint=solved.pt")
    solve("--image=pictures/0.png", "--out=solved", "--checkpoint=solved.pt")
    words = ["--solver=bm3d", "--operator=identity", "--checkpoint=other.pt"]
    assert "no steps to go on from" in mistake(capsys, solve, "--image=pictures/0.png", *words)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the unfinished run is not kept; with --checkpoint FILE"),
        (["--checkpoint=run.pt"], "kept in run.pt: run the same again"),
    ],
)
def test_an_interrupt_says_how_to_go_on(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step, count = TemperedSMC.step, iter(range(9))

    def stopped(*args: object) -> object:
        if next(count) == 1:
            raise KeyboardInterrupt
        return step(*args)

    monkeypatch.setattr(TemperedSMC, "step", stopped)
    assert message in (line := mistake(capsys, sample, "--image=pictures/0.png", *words))
    assert line.startswith("posterior: interrupted; ")


def test_figures_of_an_earlier_run_are_taken_away_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    for name in ("005.png", "notes.txt"):
        Path("out", name).write_text("mine")
    told = mistake(capsys, sample, "--image=pictures", "--out=out")
    assert "--out out holds 005.png, which is of no earlier run and might be replaced; name another folder" in told
    assert Path("out/005.png").rename("mine.png").read_text() == "mine"
    sample("--image=pictures", "--out=out", "--num_samples=1")
    assert "removed" not in capsys.readouterr().out
    sample("--image=pictures/0.png", "--out=out", "--num_samples=2")
    assert "the 4 figures of an earlier run were removed from out\n" in capsys.readouterr().out
    assert {path.name for path in Path("out").iterdir()} == {
        "000-uncertainty.png", "000.gif", "000.png", "notes.txt", "samples.npz", "summary.csv",
    }  # fmt: skip
    assert "where the images are" in mistake(capsys, sample, "--image=pictures", "--out=pictures")
    assert "where the images are" in mistake(capsys, sample, "--image=pictures/0.png", "--out=pictures")


@pytest.mark.parametrize("names", [["summary.csv", "000.png"], ["samples.npz"], ["overview.png", "summary.csv"]])
def test_a_folder_of_somebody_s_files_stays_as_it_is(names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    Path("out").mkdir()
    for name in names:
        Path("out", name).write_text("measurement,method,price\n")
    assert "which is of no earlier run" in mistake(capsys, sample, "--image=pictures", "--out=out")
    assert {path.name: path.read_text() for path in Path("out").iterdir()} == dict.fromkeys(
        names, "measurement,method,price\n"
    )


def test_a_folder_of_a_run_that_stopped_is_known_again(undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    two = ["--image=pictures/0.png", "--out=out", "--sampler=DDRM:steps=2", "--sampler=DDNM:steps=2"]
    with monkeypatch.context() as patched:
        patched.setattr(DDNM, "step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(SystemExit):
            sample(*two)
    assert Path("out/samples-DDRM.npz").exists()
    sample(*two)
    assert Path("out/samples-DDNM.npz").exists()


def test_a_dry_run_prints_plans_and_does_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path().rglob("*"))
    sample("--image=pictures", "--dry-run", "--sampler=KineticLangevin", "--sampler=DPS:steps=5", "--batch_size=2")
    text = capsys.readouterr().out
    kinetic, guided = "3 samples of 3 measurements:\n  159 network calls each, 1,431 in all", "5 network calls and 5"
    assert text.index("KineticLangevin(accuracy='standard'") < text.index(kinetic) < text.index("DPS(steps=5")
    assert text.index("DPS(steps=5") < text.index(guided)
    solve("--image=pictures/0.png", "--dry_run")
    assert "CSGM(restarts=2, steps=5" in (text := capsys.readouterr().out) and "14 network calls and 10" in text
    assert "takes a GeneratorPrior" in mistake(capsys, sample, "--image=pictures", "--dry-run", "--sampler=HMC")
    assert sorted(Path().rglob("*")) == before


def test_what_is_too_large_is_said_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def stopped(*args: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(TemperedSMC, "step", stopped)
    with pytest.raises(SystemExit):
        sample("--image=pictures/0.png", "--operator=random:fraction=1", "--noise_std=0.01")
    warning, _ = capsys.readouterr().err.splitlines()
    assert warning.startswith("warning: TemperedSMC: the problem is too large for 8 particles in measurement(s) 0: ")
