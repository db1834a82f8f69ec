import re

import pytest

from posterior.app import cli
from posterior.app.cli import main
from posterior.app.registry import REGISTERED
from tests.app.commands.workplace import mistake


@pytest.mark.parametrize("args", [[], ["--help"], ["train"], ["priors", "--help"]])
def test_help(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    if "--help" in args:
        with pytest.raises(SystemExit, match="0"):
            main(args)
    else:
        main(args)
    text = capsys.readouterr().out
    commands = {"train": cli.COMMANDS["train"], "priors": cli.COMMANDS["priors"]}.get((args or [""])[0], cli.COMMANDS)
    assert text.startswith("usage: posterior")
    assert all(name in text for name in commands if name != "_help")


@pytest.mark.parametrize("command", ["demo", "sample", "solve", "train score", "train vae"])
def test_help_of_commands(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([*command.split(), "--help"])
    text = capsys.readouterr().out
    assert text.startswith(f"usage: posterior {command} [options]\n")
    for noise in ("type:", "<class", "Path |", "default: null"):
        assert noise not in text


@pytest.mark.parametrize(
    ("command", "kinds"),
    [
        ("sample", ("sampler", "operator", "prior")),
        ("solve", ("solver", "operator", "prior")),
        ("run", ("method", "operator", "prior", "data")),
        ("calibrate", ("sampler", "operator", "prior")),
        ("check", ("sampler", "operator", "prior")),
        ("fairness", ("method", "operator", "prior")),
    ],
)
def test_help_names_all_that_can_be_built(
    command: str, kinds: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    text = capsys.readouterr().out
    for name in (name for kind in kinds for name in REGISTERED[kind]):
        assert re.search(rf"[ (]{re.escape(name)}[,:[\n (]", text), name


def test_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    assert "posterior --help" in mistake(capsys, main, ["smple"])
