import csv
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from posterior.app import drawing
from posterior.app.cli import main
from posterior.app.registry import SAMPLERS
from posterior.noise import Noise
from posterior.results import PointEstimate, Samples
from samplers import TemperedSMC
from tests.app.commands.workplace import SAMPLER, SHAPE, SOLVER, mistake, sample, save_priors, solve
from tests.tables import cells


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with priors of random weights, pictures and measurements."""
    monkeypatch.chdir(tmp_path)
    save_priors()
    values = Noise.of(0).uniform((3, *SHAPE))[0, 0]
    Path("pictures").mkdir()
    for i, picture in enumerate((255 * values).byte().numpy()):
        Image.fromarray(picture[0]).save(f"pictures/{i}.png")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save("large.png")
    x = (2 * values - 1).numpy()
    np.savez("x.npz", x=x)
    y = x[:2].copy()
    np.save("everywhere.npy", y)
    y[:, :, 4:] = 0
    np.save("y.npy", y.astype(np.float64))
    np.save("one.npy", y[0])
    y[1, 0, 0, 0] = np.nan
    np.save("nan.npy", y)
    np.save("bytes.npy", np.full((2, *SHAPE), 200, np.uint8))
    np.save("counts.npy", np.full((2, *SHAPE), 3))
    np.save("complex.npy", (y[:1] * 1j).astype(np.complex64))
    np.save("grey.npy", np.full(SHAPE, 0.5))


def test_sample_of_pictures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sample("--image=pictures", "--out=out", "--seed=3")
    result = Samples.load("out/samples.npz")
    assert result.x.shape == (3, 3, *SHAPE)
    for ending in (".png", "-uncertainty.png", ".gif"):
        assert all(Path(f"out/00{index}{ending}").stat().st_size for index in range(3))
    text = capsys.readouterr().out
    assert result.summary() in text
    assert [row[:2] for row in cells(text)][1:] == [[str(b), "TemperedSMC"] for b in range(3)]
    assert "figures: out/000.png … overview.png" in text
    with open("out/summary.csv", encoding="utf-8", newline="") as file:
        written = list(csv.DictReader(file))
    assert [row["measurement"] for row in written] == ["0", "1", "2"]
    assert float(written[1]["network_calls"]) == float(result.nfe[1] + result.nfe_grad[1])
    assert written[1]["verdict"] == result.verdict[1].level
    monkeypatch.setattr(drawing, "_FIGURES", 1)
    monkeypatch.setattr(drawing, "_FRAMES", 2)
    sample("--image=x.npz", "--out=again", "--seed=3", "--batch_size=2")
    names = sorted(path.name for path in Path("again").iterdir())
    assert names == ["000-uncertainty.png", "000.gif", "000.png", "overview.png", "samples.npz", "summary.csv"]
    with Image.open("again/000.gif") as gif:
        assert gif.n_frames == 2
    mine = [Path("out/004.jpg"), Path("out/1.png"), Path("out/notes-000.png")]
    for path in mine:
        path.touch()
    sample("--image=x.npz", "--out=out", "--seed=3")  # one figure where there were three
    expected = [*names, *(path.name for path in mine)]
    assert sorted(path.name for path in Path("out").iterdir()) == sorted(expected)
    # Pictures are rounded to 255 levels, and arrays are not: nearly the same problem, the same noise.
    torch.testing.assert_close(Samples.load("again/samples.npz").x, result.x, atol=0.05, rtol=0)


@pytest.mark.parametrize("sampler", ["AuxiliaryGibbs", "AuxiliaryMH", "ReplicaExchange"])
def test_chains(sampler: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = f"--sampler={sampler}:chains=2,burn_in=2,thinning=1,steps=3,prior_steps=3"
    sample("--measurement=y.npy", spec, "--num_samples=4", "--out=out")
    assert Samples.load("out/samples.npz").chains == 2
    assert f"| {sampler} |" in capsys.readouterr().out
    assert "multiple of 2, not 3" in mistake(capsys, sample, "--measurement=y.npy", spec)


def test_warnings_are_printed_once_in_the_summary(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    yes = torch.tensor([True, True])
    monkeypatch.setattr(SAMPLERS["TemperedSMC"], "reasons", lambda *args: {"one reason": yes, "another": yes})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample("--measurement=y.npy", "--out=out")
    captured = capsys.readouterr()
    assert all(captured.out.count(f"1: {text};") == 1 for text in ("one reason", "another"))
    assert captured.out.index("one reason") < captured.out.index("saved to") < captured.out.index("| TemperedSMC")
    assert captured.err == ""


def test_sample_of_measurements() -> None:
    sample("--measurement=y.npy", "--num_samples=1", "--out=out")
    assert Samples.load("out/samples.npz").x.shape == (1, 2, *SHAPE)
    assert Path("out/001.png").exists()


def test_solve(capsys: pytest.CaptureFixture[str]) -> None:
    solve("--image=pictures/1.png", "--out=out")
    assert PointEstimate.load("out/estimate.npz").x.shape == (1, *SHAPE)
    assert Path("out/000.png").exists()
    assert "figures: out/000.png\n" in capsys.readouterr().out


def test_config_files(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        solve("--image=pictures/0.png", "--print_config")
    config = yaml.safe_load(capsys.readouterr().out)
    assert config["image"] == "pictures/0.png"
    assert config["solver"] == SOLVER
    assert config["measurement"] is None
    Path("job.yaml").write_text(yaml.safe_dump(config | {"seed": 5}))
    main(["solve", "--config=job.yaml", "--out=config"])
    solve("--image=pictures/0.png", "--out=words", "--seed=5")
    one, two = (PointEstimate.load(f"{name}/estimate.npz") for name in ("config", "words"))
    assert torch.equal(one.x, two.x)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "either --image .* or --measurement"),
        (["--image=pictures", "--measurement=y.npy"], "either --image .* or --measurement"),
        (["--image=nowhere.png"], "nowhere.png does not exist"),
        (["--image=large.png"], r"\(1, 9, 9\); expected \(1, 8, 8\)"),
        (["--measurement=nan.npy"], "NaN or infinity"),
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


@pytest.mark.parametrize(
    "solver",
    [
        "pulse:restarts=2,steps=5",
        "ilo:restarts=1,layers=[1],radii=[0.1],steps=[3,2]",
        "LASSO",
        "totalvariation:steps=9",
    ],
)
def test_every_kind_of_solver_answers(solver: str, capsys: pytest.CaptureFixture[str]) -> None:
    solve("--image=pictures/1.png", f"--solver={solver}", "--out=out")
    assert f"| {solver.partition(':')[0].lower()} " in capsys.readouterr().out.lower()
    assert PointEstimate.load("out/estimate.npz").x.shape == (1, *SHAPE)


@pytest.mark.parametrize(
    "sampler",
    [
        "HMC:chains=2,burn_in=4,thinning=1,leapfrogs=2",
        "TemperedSMC:accuracy=fast,population=8",
        "LatentLangevin:levels=4",
    ],
)
@pytest.mark.filterwarnings("ignore::posterior.errors.TrustWarning")
def test_latent_samplers_answer(sampler: str, capsys: pytest.CaptureFixture[str]) -> None:
    sample("--image=pictures/1.png", "--prior=./generator", f"--sampler={sampler}", "--num_samples=8", "--out=out")
    assert f"| {sampler.partition(':')[0]} " in capsys.readouterr().out
    assert Samples.load("out/samples.npz").x.shape == (8, 1, *SHAPE)
    if not sampler.startswith("Tempered"):
        assert "takes a GeneratorPrior" in mistake(
            capsys, sample, "--image=pictures/1.png", f"--sampler={sampler}", "--num_samples=8", "--out=out"
        )


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


def test_every_likelihood_has_a_name() -> None:
    for noise in ("poisson:gain=50,background=1", "student-t:scale=1,degrees=4", "LaplaceLikelihood:scale=1"):
        sample("--image=pictures/0.png", f"--likelihood={noise}", "--out=out")
    assert Samples.load("out/samples.npz").provenance.likelihood == "LaplaceLikelihood"
    sample("--image=pictures/0.png", "--likelihood=gaussian:noise_std=1", "--out=long")
    sample("--image=pictures/0.png", "--noise_std=1", "--out=short")
    assert torch.equal(*(Samples.load(f"{name}/samples.npz").x for name in ("long", "short")))
    solve("--image=pictures/0.png", "--likelihood=gaussian:noise_std=1", "--out=solved")


def test_pictures_are_converted() -> None:
    sample("--image=large.png", "--resize", "--gray", "--out=out")
    assert Samples.load("out/samples.npz").x.shape == (3, 1, *SHAPE)


def test_a_run_goes_on_from_its_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
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
    [([], "the unfinished run is not kept; with --checkpoint FILE"), (["--checkpoint=run.pt"], "kept in run.pt: run the same again")],
)
def test_an_interrupt_says_how_to_go_on(
    words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    step, count = TemperedSMC.step, iter(range(9))

    def stopped(*args: object) -> object:
        if next(count) == 2:
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
