from pathlib import Path

import pytest

from posterior.app.cli import main
from tests.app.commands.workplace import QUIET, mistake, save_priors
from tests.tables import cells


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    save_priors()


def theory(*args: str) -> None:
    small = ("--num_measurements=[4,9]", "--num_pairs=3", "--num_problems=2", "--steps=2", "--restarts=1")
    main(["theory", "--prior=./generator", *small, "--out=out", QUIET, *args])


def test_it_writes_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    theory()
    text = Path("out/theory.md").read_text(encoding="utf-8")
    assert text.startswith("# Compressed sensing with ./generator\n")
    assert Path("out/theory.png").stat().st_size > 10_000
    table = cells(text)
    assert [row[:2] for row in table[1:10:3]] == [
        ["Gaussian", "random"],
        ["Fourier", "random"],
        ["inpainting", "random"],
    ]
    assert [row[0] for row in table[-2:]] == ["m = 4", "m = 9"]
    assert table[1][2:] != table[3][2:]
    assert "saved to out/theory.md" in capsys.readouterr().out


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "theory is about generators" in mistake(capsys, theory, "--prior=./score")
    assert "numbers of measurements from 2 to" in mistake(capsys, theory, "--num_measurements=[1]")
