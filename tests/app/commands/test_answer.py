import csv
import warnings
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from posterior.app import drawing
from posterior.app.cli import main
from posterior.app.registry import SAMPLERS
from posterior.results import PointEstimate, Samples
from tests.app.commands.workplace import SHAPE, SOLVER, fill_folder, mistake, sample, solve
from tests.tables import cells


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with priors of random weights, pictures and measurements."""
    monkeypatch.chdir(tmp_path)
    fill_folder()


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
def test_chains(sampler: str, undrawn: None, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_config_files(undrawn: None, capsys: pytest.CaptureFixture[str]) -> None:
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
    "solver",
    [
        "pulse:restarts=2,steps=5",
        "ilo:restarts=1,layers=[1],radii=[0.1],steps=[3,2]",
        "LASSO",
        "totalvariation:steps=9",
    ],
)
def test_every_kind_of_solver_answers(solver: str, undrawn: None, capsys: pytest.CaptureFixture[str]) -> None:
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
def test_latent_samplers_answer(sampler: str, undrawn: None, capsys: pytest.CaptureFixture[str]) -> None:
    sample("--image=pictures/1.png", "--prior=./generator", f"--sampler={sampler}", "--num_samples=8", "--out=out")
    assert f"| {sampler.partition(':')[0]} " in capsys.readouterr().out
    assert Samples.load("out/samples.npz").x.shape == (8, 1, *SHAPE)
    if not sampler.startswith("Tempered"):
        assert "takes a GeneratorPrior" in mistake(
            capsys, sample, "--image=pictures/1.png", f"--sampler={sampler}", "--num_samples=8", "--out=out"
        )
