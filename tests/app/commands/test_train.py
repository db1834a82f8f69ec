import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from posterior.app.cli import main
from posterior.mri import complex_images
from posterior.noise import Noise
from posterior.priors.zoo import load_prior
from samplers.baselines import UNet
from tests.app.commands.workplace import QUIET, SHAPE, mistake, sample, solve
from tests.mri.phantom import head


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder with images."""
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", x=(2 * Noise.of(0).uniform((3, *SHAPE))[0, 0] - 1).numpy())


def train(what: str, *args: str) -> None:
    main(["train", what, "--data=x.npz", "--out=out", "--batch_size=2", QUIET, *args])


def test_train_score_then_sample(capsys: pytest.CaptureFixture[str]) -> None:
    train("score", "--widths=[8]", "--steps=2", "--held_out=1")
    said = capsys.readouterr().out
    assert said.startswith("step 2, loss ")
    assert "the prior is in out, its log in out/log.jsonl, samples of it in out/samples-2.png" in said
    assert "use it with posterior sample --prior out --image FILE, or load_prior('out')" in said
    train("score", "--widths=[8]", "--steps=3", "--held_out=1")
    log = [json.loads(line) for line in Path("out/log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [2, 3]
    assert {"samples-2.png", "samples-3.png"} < {path.name for path in Path("out").iterdir()}
    sample("--image=x.npz", "--prior=./out", "--out=drawn", "--num_samples=1")
    message = mistake(capsys, train, "score", "--widths=[4]", "--steps=4")
    assert "another run: different model, training data; name another file" in message


def test_train_score_from_another_prior(capsys: pytest.CaptureFixture[str]) -> None:
    train("score", "--widths=[8]", "--steps=1")
    train("score", "--widths=[8]", "--steps=1", "--learning_rate=1e-12", "--start=out", "--out=finer")
    x = torch.zeros(1, *SHAPE)
    assert torch.allclose(load_prior("finer").denoise(x, 1.0), load_prior("out").denoise(x, 1.0), atol=1e-6)
    message = mistake(capsys, train, "score", "--widths=[4]", "--start=out", "--out=other")
    assert "start has widths [8], not [4]" in message
    message = mistake(capsys, train, "score", "--start=digits-vae", "--out=other")
    assert "needs start to be an EDMPrior or None; got NetworkGenera" in message


def test_train_score_of_classes(capsys: pytest.CaptureFixture[str]) -> None:
    Path("shown.txt").write_text("10\n9\n10\n")
    train("score", "--widths=[8]", "--steps=1", "--held_out=1", "--labels=shown.txt", "--mirror=true")
    assert capsys.readouterr().out.startswith("classes: 0 9, 1 10\n")
    assert load_prior("out", class_label=1).num_classes == 2
    message = mistake(capsys, train, "score", "--labels=none.txt", "--out=other")
    assert "there is no file none.txt" in message
    Path("shown.txt").write_text("10\n9\n")
    message = mistake(capsys, train, "score", "--labels=shown.txt", "--out=other")
    assert "shown.txt holds 2 labels, one a line, for 3 images" in message


def test_a_folder_is_told_from_a_shipped_prior(capsys: pytest.CaptureFixture[str]) -> None:
    train("vae", "--latent=2", "--hidden=4", "--steps=1", "--out=digits")
    assert "--prior ./digits --image FILE, or load_prior('./digits')" in capsys.readouterr().out


def test_train_vae_then_solve() -> None:
    train("vae", "--latent=2", "--hidden=4", "--steps=2")
    assert Path("out/samples-2.png").exists()
    solve("--image=x.npz", "--prior=./out", "--out=solved")


def test_train_mri_then_reconstruct(capsys: pytest.CaptureFixture[str]) -> None:
    slices = (255 * head(32, 24)).byte().numpy()
    np.save("slices.npy", np.stack([slices, slices[:, ::-1]])[:, None])
    command = ["train", "mri", "--data=slices.npy", "--validation=slices.npy", "--out=net", "--network=unet", QUIET]
    command += ["--num_coils=2", "--acceleration=2", "--calibration=5", "--evaluate_every=1"]
    for steps in (1, 2):
        main([*command, f"--steps={steps}"])
    log = [json.loads(line) for line in Path("net/log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in log] == [1, 2]
    said = capsys.readouterr().out
    assert f"validation nmse {min(entry['validation nmse'] for entry in log):.4g}" in said
    assert "use it as samplers.baselines.UNet('net')" in said
    assert UNet("net").network.config == {"width": 16, "pools": 4}
    np.save("odd.npy", np.zeros((2, 1, 30, 24), dtype=np.uint8))
    assert "multiples of 4" in mistake(capsys, main, [*command, "--validation=odd.npy", "--out=other"])
    assert "mask cannot be 'spiral'" in mistake(capsys, main, [*command, "--mask=spiral"])


def test_slices_are_magnitudes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def noted(images: Tensor, folder: Path, *, validation: Tensor, **options: object) -> None:
        seen.extend([images, validation])
        raise KeyboardInterrupt

    monkeypatch.setattr("posterior.training.train_reconstruction", noted)
    slices = (255 * head(32, 24)).byte()[None, None]
    np.save("slices.npy", slices.numpy())
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        main(["train", "mri", "--data=slices.npy", "--validation=slices.npy", "--out=net"])
    assert torch.allclose(seen[0], slices / 255, atol=1e-6)
    assert torch.equal(seen[1], complex_images(seen[0], Noise.of(0, 1)))


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "posterior train --help" in mistake(capsys, main, ["train", "gan"])
    assert "required: data, out" in mistake(capsys, main, ["train", "vae"])
    assert "fewer than the images" in mistake(capsys, train, "vae", "--held_out=3")
    assert "multiples of patch = 3" in mistake(capsys, train, "score", "--patch=3")
    assert "dropout" in mistake(capsys, train, "score", "--dropout=1")
    assert "latent" in mistake(capsys, train, "vae", "--latent=0")
    for arguments in ("--steps=0", "--batch_size=0", "--learning_rate=0"):
        option = arguments.removeprefix("--").removesuffix("=0")
        assert f"needs {option} to be" in mistake(capsys, train, "vae", arguments)
