"""Odd input, drawn at random: named errors or right results, and neither hangs, foreign exceptions nor silence.

`make test` draws the same few each time; `make fuzz` many others, as many times more as the variable FUZZ says.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posterior.app.cli import main
from tests.fuzz.calls import CALLS
from tests.fuzz.commands import COMMANDS, MISTYPED, NEVER, WORDS, altered
from tests.fuzz.constructors import CONSTRUCTORS
from tests.fuzz.files import DAMAGES, READERS, check_file, fill
from tests.fuzz.functions import FUNCTION_CALLS
from tests.fuzz.judgements import JUDGEMENTS
from tests.fuzz.mri import MRI
from tests.fuzz.oracle import Call, check_call, watched
from tests.fuzz.scans import SCANS
from tests.fuzz.settings import METHODS
from tests.fuzz.values import ODD

EVERY = {**CALLS, **JUDGEMENTS, **MRI, **SCANS}
FUZZ = int(os.environ.get("FUZZ", "1"))


def times(count: int) -> settings:
    """So many examples, or FUZZ times as many."""
    return settings(
        max_examples=count * FUZZ, derandomize=FUZZ == 1, deadline=None, suppress_health_check=[*HealthCheck]
    )


def arguments_of(calls: Mapping[str, Call]) -> st.SearchStrategy[tuple[str, str]]:
    return st.sampled_from([(name, argument) for name, call in calls.items() for argument in call.allowed])


odd_values = st.sampled_from(list(ODD))
shares = st.floats(0, 0.99)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with a good file of every kind."""
    before, path = Path.cwd(), tmp_path_factory.mktemp("fuzz")
    os.chdir(path)
    fill()
    yield path
    os.chdir(before)


@times(200)
@given(which=arguments_of(METHODS), value=odd_values)
def test_settings_of_methods(which: tuple[str, str], value: str) -> None:
    check_call(METHODS[which[0]], which[1], ODD[value]())


@times(300)
@given(which=arguments_of(CONSTRUCTORS), value=odd_values)
def test_arguments_of_constructors(which: tuple[str, str], value: str) -> None:
    check_call(CONSTRUCTORS[which[0]], which[1], ODD[value]())


@times(500)
@given(which=arguments_of(EVERY), value=odd_values)
def test_arguments_of_calls(folder: Path, which: tuple[str, str], value: str) -> None:
    check_call(EVERY[which[0]], which[1], ODD[value]())


@pytest.mark.parametrize(
    ("name", "function"),
    [(name, function) for name, (_, functions) in FUNCTION_CALLS.items() for function in functions],
)
def test_functions_of_users(name: str, function: str) -> None:
    call, functions = FUNCTION_CALLS[name]
    (argument,) = call.allowed
    check_call(call, argument, functions[function])


@times(120)
@given(reader=st.sampled_from(list(READERS)), damage=st.sampled_from(list(DAMAGES)), share=shares)
def test_damaged_files(folder: Path, reader: str, damage: str, share: float) -> None:
    check_file(READERS[reader], damage, share)


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> bool:
    """Whether a command ends well; else it ends in one line of what is wrong and the code of a mistake."""
    capsys.readouterr()
    try:
        with watched():
            main(words)
    except SystemExit as stop:
        code = stop.code
    else:
        code = 0
    if code == 0:  # of --help too
        return True
    said = capsys.readouterr().err
    assert code in (1, 2) and said.startswith("posterior: ") and said.count("\n") == 1, said
    return False


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures take longer than all else, and are not what is tried."""
    monkeypatch.setattr("posterior.app.commands.answer.draw", lambda out, *others: [out / "none"])
    monkeypatch.setattr("posterior.app.commands.mri.save_figure", lambda figure, path: path)
    monkeypatch.setattr("posterior.app.commands.study.save_figure", lambda figure, path: path)


@times(60)
@given(command=st.sampled_from(list(COMMANDS)), place=st.integers(0, 15), word=st.sampled_from(WORDS))
def test_odd_words(
    folder: Path, undrawn: None, capsys: pytest.CaptureFixture[str], command: str, place: int, word: str
) -> None:
    words = altered(COMMANDS[command], place, word)
    ended_well = run(words, capsys)
    taken = ended_well and word in NEVER and not any(part in words for part in (f"--out={word}", "--help"))
    assert not taken, f"taken in silence: {words}"


@times(30)
@given(command=st.sampled_from(list(COMMANDS)), place=st.integers(0, 15), mistake=st.sampled_from(list(MISTYPED)))
def test_mistyped_commands(
    folder: Path, undrawn: None, capsys: pytest.CaptureFixture[str], command: str, place: int, mistake: str
) -> None:
    run(MISTYPED[mistake](COMMANDS[command], place), capsys)
