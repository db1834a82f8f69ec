from pathlib import Path

import pytest
import torch

from posterior.app.cli import main
from posterior.priors.zoo import load_prior
from tests.app.commands.workplace import mistake
from tests.networks.stylegan2 import small_network
from tests.priors.checkpoints import originals


def test_priors_are_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    main(["priors", "list"])
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("digits-vae ") and "Generator of handwritten digits" in line for line in lines)
    main(["priors", "show", "digits-vae"])
    assert capsys.readouterr().out.startswith("# digits-vae\n")
    assert "required: name" in mistake(capsys, main, ["priors", "show"])
    assert "did you mean 'digits-vae'" in mistake(capsys, main, ["priors", "show", "digit-vae"])


@pytest.mark.parametrize(
    ("kind", "weights", "options", "shape"),
    [
        ("stylegan2", {"g_ema": small_network(dtype=torch.float32).state_dict()}, [], (3, 32, 32)),
        ("ncsnv2", originals.state_dict("NCSNv2Deepest"), ["--size=[16,24]", "--value_range=[0,1]"], (2, 16, 24)),
        ("ncsnv2", originals.state_dict("NCSNv2"), ["--size=12", "--rescaled=true"], (1, 12, 12)),
        ("ffdnet", originals.state_dict("ffdnet"), ["--size=[7,9]"], (3, 7, 9)),
        ("drunet", originals.state_dict("drunet"), ["--size=16", "--sigma_network=0.5"], (3, 16, 16)),
        ("edm", originals.state_dict("ddpmpp-vp-class-4"), ["--preconditioning=vp", "--class_label=4"], (1, 8, 8)),
        ("score-sde", originals.state_dict("score-sde-ddpmpp"), ["--size=8", "--sde=vp"], (3, 8, 8)),
    ],
)
def test_checkpoints_become_priors(
    kind: str,
    weights: dict,
    options: list[str],
    shape: tuple[int, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(weights, "weights.pt")
    main(["priors", "convert", kind, "weights.pt", "faces", *options])
    assert capsys.readouterr().out == "saved to faces\n"
    assert load_prior("./faces").event_shape == shape
    assert "no.pt" in mistake(capsys, main, ["priors", "convert", kind, "no.pt", "other", *options])
    assert not Path("other").exists()
