import os
from typing import Any

import pytest

from posterior.app.parsing import one_line_errors, parse
from posterior.errors import InvalidValueError


def add(a: int, b: int = 2) -> int:
    """Add two numbers.

    Args:
        a: First number.
        b: Second number.
    """
    return a + b


def show(name: str) -> str:
    """Show something.

    Args:
        name: Its name.
    """
    return name


def choose(
    names: str | list[str] = "a", loud: bool = False, clear: bool | None = None, size: int = 0
) -> tuple[Any, ...]:
    """Choose.

    Args:
        names: Some names.
        loud: Whether to be loud.
        clear: Whether to be clear.
        size: How much.
    """
    return names, loud, clear, size


COMMANDS: dict[str, Any] = {"add": add, "choose": choose, "more": {"_help": "More of it.", "show": show}}


def call(*args: str) -> object:
    return parse(args, COMMANDS, "What it does.")()


def fails(capsys: pytest.CaptureFixture[str], error: BaseException) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as stop, one_line_errors():
        raise error
    return stop.value.code, capsys.readouterr().err


def test_words_become_a_call() -> None:
    assert call("add", "--a=1") == 3
    assert call("add", "--a=1", "--b=4") == 5
    assert call("more", "show", "word") == "word"  # a function without optional arguments takes plain words


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], "a"),
        (["--names=x:k=1,l=[2]"], "x:k=1,l=[2]"),
        (["--names=x", "--names=y:k=1,l=2", "--size=1", "--names", "z"], ["x", "y:k=1,l=2", "z"]),
        (["--names=[x,y]"], ["x", "y"]),
        (["--names=x", "--names+=y"], ["x", "y"]),
    ],
)
def test_a_list_is_given_word_by_word(words: list[str], names: object) -> None:
    assert call("choose", *words) == (names, False, None, int("--size=1" in words))


def test_switches_need_no_value() -> None:
    assert call("choose", "--loud", "--clear", "--size=1") == ("a", True, True, 1)
    assert call("choose", "--loud=false", "--clear", "false") == ("a", False, False, 0)
    assert call("choose", "--size=1", "--size=2") == ("a", False, None, 2)  # the last word counts


def test_options_may_have_hyphens() -> None:
    def count(at_most: str = "none") -> str:
        """Count.

        Args:
            at_most: What to count to.
        """
        return at_most

    assert parse(["count", "--at-most=a-b"], {"count": count}, "A test.")() == "a-b"


def test_a_command_may_read_a_config_of_its_own() -> None:
    def job(config: str, *, seed: int = 0, print_config: bool = False) -> tuple[str, int, bool]:
        """Do a job.

        Args:
            config: A file, which the parser does not open.
            seed: A number.
            print_config: Whether to print it.
        """
        return config, seed, print_config

    assert parse(["job", "no-such.yaml", "--seed=3", "--print-config"], {"job": job}, "")() == ("no-such.yaml", 3, True)


def test_groups_explain_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    for args, text in (((), "What it does."), (("more",), "More of it.")):
        call(*args)
        assert text in capsys.readouterr().out


def test_wrong_words(capsys: pytest.CaptureFixture[str]) -> None:
    for args, message in (
        (("add", "--a=x"), "a cannot be 'x'; see posterior add --help"),
        (("add",), "the following arguments are required: a; see posterior --help"),
    ):
        with pytest.raises(SystemExit, match="2"):
            call(*args)
        assert capsys.readouterr().err == f"posterior: {message}\n"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InvalidValueError("this is\nwrong"), 1, "this is wrong"),
        (FileExistsError(17, "File exists", "here"), 1, "here: File exists"),
        (OSError("no such thing"), 1, "no such thing"),
        (MemoryError("Unable to allocate 3 TiB"), 1, "there is too little memory: Unable to allocate 3 TiB"),
        (
            RuntimeError("[x.cpp:1] y: can't allocate memory. Error"),
            1,
            "the machine has failed: y: can't allocate memory",
        ),
        (RuntimeError("CUDA error: no device\nCompile it anew."), 1, "the machine has failed: CUDA error: no device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
    ids=str,
)
def test_errors_are_one_line(error: BaseException, code: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, error) == (code, f"posterior: {message}\n")


def test_ctrl_c_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    error = KeyboardInterrupt()
    error.add_note("run the same again to go on")
    assert fails(capsys, error) == (130, "posterior: interrupted; run the same again to go on\n")


@pytest.mark.parametrize("words", [("more", "show", "\udcff"), ("choose", "--names=\udcff"), ("add", "\udcff.yaml")])
def test_names_of_files_that_are_no_text_are_refused(words: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        call(*words)
    line = capsys.readouterr().err
    assert "\\udcff" in line and "is not UTF-8; if it is the name of a file, rename that" in line


@pytest.mark.parametrize("size", [1, 100_000])
def test_output_that_nobody_reads_ends_quietly(
    size: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read, write = os.pipe()
    os.close(read)
    with open(write, "w") as closed:
        monkeypatch.setattr("sys.stdout", closed)
        with pytest.raises(SystemExit, match="141"), one_line_errors():
            print("x" * size)
        monkeypatch.undo()
    assert capsys.readouterr().err == ""
