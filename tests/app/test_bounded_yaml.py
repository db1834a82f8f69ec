"""YAML that stands for too much is refused before it is made, wherever YAML is read."""

import time
from pathlib import Path

import pytest
import yaml

from posterior.app.bounded_yaml import check_size, load_yaml
from posterior.app.parsing import parse
from posterior.app.specification import build
from posterior.errors import InvalidValueError

LAUGHS = "{a: &a [x,x,x,x,x,x,x,x,x], " + ", ".join(
    f"{name}: &{name} [{','.join(9 * [f'*{before}'])}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
BOMBS = {
    "aliases": LAUGHS + "}",
    "quoted": f"words: '{LAUGHS}}}'",
    "merged": "{a: &a {k: 1}, b: &b {<<: [" + "*a, " * 200 + "*a]}, c: {<<: [" + "*b, " * 200 + "*b]}}",
    "endless": "&a [*a]",
    "endless map": "&a {k: *a}",
    "long": "- a\n" * 30_000,
    "many": f"[{'1,' * 10_001}]",
}


@pytest.mark.parametrize("text", BOMBS.values(), ids=BOMBS)
def test_bombs_are_refused_quickly(text: str) -> None:
    start = time.monotonic()
    for read in (check_size, load_yaml):
        with pytest.raises(yaml.YAMLError, match="more than 100000 characters or 10000 values"):
            read(text)
    assert time.monotonic() - start < 10  # or memory runs out


@pytest.mark.parametrize(
    "text", ["1e-3", "[1, 2]", "{a: &a [1, 2], b: *a, c: {<<: {d: 1}}}", "a&b", "'a & b'", "x: |\n  a & b\n", ""]
)
def test_what_is_of_a_reasonable_size_is_read(text: str) -> None:
    check_size(text)
    assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize("text", ["[" * 2000, "{a: " * 2000, "2024-99-99", "1" * 5000, "*a", "\x00", "\udcff"])
def test_what_is_no_yaml_is_one_kind_of_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml(text)


def command(number: int = 1, numbers: list[int] = [1], path: Path = Path("x"), text: str = "") -> str:  # noqa: B006
    """Do something.

    Args:
        number: One.
        numbers: Several.
        path: A file.
        text: Words.
    """
    return f"{number} {numbers} {path} {text}"


@pytest.mark.parametrize("bomb", ["aliases", "endless", "quoted"])
@pytest.mark.parametrize("option", ["number", "numbers", "path", "text", "config"])
def test_options_and_config_files(bomb: str, option: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quoted = BOMBS[bomb] if bomb != "quoted" else "'" + BOMBS["aliases"] + "'"
    (tmp_path / "job.yaml").write_text(f"{'text' if option == 'config' else option}: {quoted}\n")
    for words in ([f"--{option}={quoted}"], [f"--{option}", quoted], [f"--config={tmp_path / 'job.yaml'}"]):
        with pytest.raises(SystemExit):
            parse(["do", *words], {"do": command}, "What it does.")()
        assert "YAML of more than 100000 characters or 10000 values is not read" in capsys.readouterr().err


def test_short_options_are_as_they_were(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text("number: 3\nnumbers: &n [1, 2]\ntext: a & b\n")
    words = [f"--config={tmp_path / 'job.yaml'}", "--path=a&b"]
    assert parse(["do", *words], {"do": command}, "What it does.")() == "3 [1, 2] a&b a & b"


def test_specifications() -> None:
    for text in (f"random:fraction={BOMBS['aliases']}", f"blur:kernel='{BOMBS['aliases']}'", "half:keep=&a [*a]"):
        with pytest.raises(InvalidValueError, match="YAML of more than 100000 characters"):
            build("operator", text, event_shape=(1, 4, 4))
