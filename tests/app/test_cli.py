import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from posterior.app import cli, demo, registry
from posterior.app.cli import main
from posterior.networks.unet import UNet
from posterior.networks.vae import VAEDecoder
from posterior.noise import Noise
from posterior.priors.edm import EDMPrior
from posterior.priors.generators import NetworkGenerator
from posterior.priors.zoo import load_prior, save_prior
from posterior.results import PointEstimate, Samples
from tests.networks.stylegan2 import small_network
from tests.priors.checkpoints import originals

SHAPE = (1, 8, 8)
SAMPLER = "TemperedSMC:accuracy=fast,population=8"
SOLVER = "CSGM:restarts=2,steps=5"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with priors of random weights, pictures and measurements."""
    monkeypatch.chdir(tmp_path)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_prior(EDMPrior(UNet(1, (8,), 1), SHAPE, sigma_data=0.5), "score")
        save_prior(NetworkGenerator(VAEDecoder(2, (8,), SHAPE)), "generator")
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
    return tmp_path


def sample(*args: str) -> None:
    main(["sample", "--prior=./score", f"--sampler={SAMPLER}", "--noise_std=1", "--num_samples=3", *QUIET, *args])


def solve(*args: str) -> None:
    main(["solve", "--prior=./generator", f"--solver={SOLVER}", *QUIET, *args])


def train(what: str, *args: str) -> None:
    main(["train", what, "--data=x.npz", "--out=out", "--batch_size=2", *QUIET, *args])


QUIET = ("--progress=false",)


def fails(capsys: pytest.CaptureFixture[str], call: Any, *args: Any) -> str:
    """The one line on stderr that a command ends with."""
    with pytest.raises(SystemExit) as stop:
        call(*args)
    assert stop.value.code not in (0, None)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("posterior: ")
    return lines[0]


@pytest.mark.parametrize("args", [[], ["--help"], ["train"], ["priors", "--help"]])
def test_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if "--help" in args:
        with pytest.raises(SystemExit, match="0"):
            main(args)
    else:
        main(args)
    text = capsys.readouterr().out
    command = {"train": cli.COMMANDS["train"], "priors": cli.COMMANDS["priors"]}.get((args or [""])[0], cli.COMMANDS)
    assert text.startswith("usage: posterior")
    assert all(name in text for name in command if name != "_help")


@pytest.mark.parametrize("command", ["demo", "sample", "solve", "train score", "train vae"])
def test_help_of_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: posterior {command} [options]\n")
    for noise in ("type:", "<class", "Path |", "default: null"):
        assert noise not in text


def test_help_names_all_that_can_be_built(capsys: pytest.CaptureFixture[str]) -> None:
    for command, registries in (("sample", (registry.OPERATORS, registry.SAMPLERS)), ("solve", (registry.SOLVERS,))):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        text = capsys.readouterr().out.replace("-\n", "-").split()
        assert all(name in "".join(text) for registry in registries for name in registry)


def test_sample_of_pictures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    sample("--image=pictures", "--out=out", "--seed=3")
    result = Samples.load("out/samples.npz")
    assert result.x.shape == (3, 3, *SHAPE)
    for ending in (".png", "-uncertainty.png", ".gif"):
        assert all(Path(f"out/00{index}{ending}").stat().st_size for index in range(3))
    text = capsys.readouterr().out
    assert "| half:keep=top | TemperedSMC |" in text
    assert "figures: out/000.png … 002.png" in text
    monkeypatch.setattr(cli, "_FIGURES", 1)
    monkeypatch.setattr(cli, "_FRAMES", 2)
    sample("--image=x.npz", "--out=again", "--seed=3", "--batch_size=2")
    names = sorted(path.name for path in Path("again").iterdir())
    assert names == ["000-uncertainty.png", "000.gif", "000.png", "samples.npz"]
    with Image.open("again/000.gif") as gif:
        assert gif.n_frames == 2
    # Pictures are rounded to 255 levels, and arrays are not: nearly the same problem, the same noise.
    torch.testing.assert_close(Samples.load("again/samples.npz").x, result.x, atol=0.05, rtol=0)


@pytest.mark.parametrize("sampler", ["AuxiliaryGibbs", "AuxiliaryMH", "ReplicaExchange"])
def test_chains(sampler: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = f"--sampler={sampler}:chains=2,burn_in=2,thinning=1,steps=3,prior_steps=3"
    sample("--measurement=y.npy", spec, "--num_samples=4", "--out=out")
    assert Samples.load("out/samples.npz").chains == 2
    assert f"| {sampler} |" in capsys.readouterr().out
    assert "multiple of 2, not 3" in fails(capsys, sample, "--measurement=y.npy", spec)


def test_warnings_are_printed_once_below_the_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    yes = torch.tensor([True, True])
    monkeypatch.setattr(registry.SAMPLERS["TemperedSMC"], "reasons", lambda *args: {"one reason": yes, "another": yes})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sample("--measurement=y.npy", "--out=out")
    captured = capsys.readouterr()
    assert all(captured.out.count(f"1: {text};") == 1 for text in ("one reason", "another"))
    assert captured.out.index("| TemperedSMC") < captured.out.index("Warnings:") < captured.out.index("saved to")
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
        (["--measurement=x.npz"], "cannot read an npy array"),
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
        (["--image=pictures", "--num_samples=0"], "at least 1"),
        (["--image=pictures", "--batch_size=0"], "at least 1"),
        (["--image=pictures", "--out=large.png"], "large.png: File exists"),
        (["--num_samples=few"], "num_samples cannot be 'few'; see posterior sample --help"),
        (["--batch_size=2.5"], "batch_size cannot be '2.5'"),
        (["--samples=3"], "unrecognized arguments: --samples=3; see posterior sample --help"),
        (["--config=nowhere.yaml"], "does not exist"),
        (["--config=large.png"], "not text"),
    ],
)
def test_mistakes_of_sample(args: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(message, fails(capsys, sample, *args))


def test_other_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "takes a GeneratorPrior" in fails(capsys, solve, "--image=pictures", "--prior=./score")
    assert "posterior --help" in fails(capsys, main, ["smple"])
    assert "posterior train --help" in fails(capsys, main, ["train", "gan"])
    assert "required: data, out" in fails(capsys, main, ["train", "vae"])
    assert "required: name" in fails(capsys, main, ["priors", "show"])
    assert "did you mean 'digits-vae'" in fails(capsys, main, ["priors", "show", "digit-vae"])
    Path("bad.yaml").write_text("samples: 3\n")
    assert "'samples'" in fails(capsys, sample, "--config=bad.yaml")
    assert "fewer than the images" in fails(capsys, train, "vae", "--held_out=3")
    assert "multiples of patch = 3" in fails(capsys, train, "score", "--patch=3")
    assert "dropout" in fails(capsys, train, "score", "--dropout=1")
    assert "latent" in fails(capsys, train, "vae", "--latent=0")
    for arguments in ("--steps=0", "--batch_size=0", "--learning_rate=0"):
        assert "learning_rate" in (line := fails(capsys, train, "vae", arguments)) or "at least 1" in line


def test_train_score_then_sample(capsys: pytest.CaptureFixture[str]) -> None:
    train("score", "--widths=[8]", "--steps=2", "--held_out=1")
    assert "--prior out" in capsys.readouterr().out
    train("score", "--widths=[8]", "--steps=3", "--held_out=1")
    log = [json.loads(line) for line in Path("out/log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [2, 3]
    assert {"samples-2.png", "samples-3.png"} < {path.name for path in Path("out").iterdir()}
    sample("--image=pictures/0.png", "--prior=./out", "--out=drawn", "--num_samples=1")
    assert "another run: its method or model" in fails(capsys, train, "score", "--widths=[4]", "--steps=4")


def test_train_vae_then_solve() -> None:
    train("vae", "--latent=2", "--hidden=4", "--steps=2")
    assert Path("out/samples-2.png").exists()
    solve("--image=pictures/0.png", "--prior=./out", "--out=solved")


def test_priors(capsys: pytest.CaptureFixture[str]) -> None:
    main(["priors", "list"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("digits-vae ") and "Generator of handwritten digits" in line for line in lines)
    main(["priors", "show", "digits-vae"])
    assert capsys.readouterr().out.startswith("# digits-vae\n")


def test_demo(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Shrink(nn.Module):
        config: dict[str, Any] = {}  # noqa: RUF012

        def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    score = EDMPrior(Shrink(), (1, 28, 28), sigma_data=0.5)
    load = demo.load_prior
    monkeypatch.setattr(demo, "load_prior", lambda name, device: score if name == "digits" else load(name))
    monkeypatch.setattr(demo, "CSGM", lambda: registry.SOLVERS["CSGM"](restarts=1, steps=5))
    monkeypatch.setattr(
        demo, "TemperedSMC", lambda accuracy, population: registry.SAMPLERS["AnnealedLangevin"](levels=6)
    )
    monkeypatch.setattr(demo, "AnnealedLangevin", lambda: registry.SAMPLERS["AnnealedLangevin"](levels=5))
    main(["demo", "--out=shown", "--num_samples=3", *QUIET])
    assert Path("shown/table.md").read_text().strip() in capsys.readouterr().out
    assert {path.name for path in Path("shown").glob("*.png")} == {
        f"{name.replace(' ', '-')}{suffix}.png"
        for name in demo.problems()
        for suffix in ("", "-AnnealedLangevin-uncertainty")
    }


@pytest.mark.parametrize(
    ("kind", "weights", "options", "shape"),
    [
        ("stylegan2", {"g_ema": small_network(dtype=torch.float32).state_dict()}, [], (3, 32, 32)),
        ("ncsnv2", originals.state_dict("NCSNv2Deepest"), ["--size=[16,24]", "--value_range=[0,1]"], (2, 16, 24)),
        ("ncsnv2", originals.state_dict("NCSNv2"), ["--size=12", "--rescaled=true"], (1, 12, 12)),
        ("edm", originals.state_dict("ddpmpp-vp-class-4"), ["--preconditioning=vp", "--class_label=4"], (1, 8, 8)),
        ("score-sde", originals.state_dict("score-sde-ddpmpp"), ["--size=8", "--sde=vp"], (3, 8, 8)),
    ],
)
def test_checkpoints_become_priors(
    kind: str, weights: dict, options: list[str], shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(weights, "weights.pt")
    main(["priors", "convert", kind, "weights.pt", "faces", *options])
    assert capsys.readouterr().out == "saved to faces\n"
    assert load_prior("./faces").event_shape == shape
    assert "no.pt" in fails(capsys, main, ["priors", "convert", kind, "no.pt", "other", *options])
    assert not Path("other").exists()


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
        assert "takes a GeneratorPrior" in fails(
            capsys, sample, "--image=pictures/1.png", f"--sampler={sampler}", "--num_samples=8", "--out=out"
        )
