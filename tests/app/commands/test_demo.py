from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from posterior.app.cli import main
from posterior.app.commands import demo
from posterior.priors.edm import EDMPrior
from samplers import AnnealedLangevin
from samplers.map import CSGM
from tests.app.commands.workplace import QUIET


def test_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)

    class Shrink(nn.Module):
        config: dict[str, Any] = {}  # noqa: RUF012

        def forward(self, x: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x)

    score = EDMPrior(Shrink(), (1, 28, 28), sigma_data=0.5).eval()
    load = demo.load_prior
    monkeypatch.setattr(demo, "load_prior", lambda name, device: score if name == "digits" else load(name))
    monkeypatch.setattr(demo, "CSGM", lambda: CSGM(restarts=1, steps=5))
    monkeypatch.setattr(demo, "TemperedSMC", lambda accuracy, population: AnnealedLangevin(levels=6))
    monkeypatch.setattr(demo, "AnnealedLangevin", lambda: AnnealedLangevin(levels=5))
    main(["demo", "--out=shown", "--num_samples=3", QUIET])
    assert Path("shown/table.md").read_text().strip() in capsys.readouterr().out
    assert {path.name for path in Path("shown").glob("*.png")} == {
        f"{name.replace(' ', '-')}{suffix}.png"
        for name in demo.problems()
        for suffix in ("", "-AnnealedLangevin-uncertainty")
    }


def test_an_interrupt_advises_no_option_that_there_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(CSGM, "solve", stopped)
    with pytest.raises(SystemExit, match="130"):
        main(["demo", "--out=shown", QUIET])
    assert capsys.readouterr().err == "posterior: interrupted\n"
