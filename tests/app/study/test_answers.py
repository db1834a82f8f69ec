"""The database: whose it is, what it outlives, and what is wrong with it in one line."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from posterior.app.study import answers, database
from posterior.app.study.answers import Answers
from posterior.app.study.plan import read_plan
from posterior.app.study.schedule import schedule
from posterior.errors import CheckpointMismatchError, FileFormatError, FileWriteError, InvalidValueError
from tests.app.study.workplace import LEVELS, Study, write_study


def test_a_study_goes_on_where_it_was(tmp_path: Path) -> None:
    study = Study(tmp_path)
    ada = study.reader()
    ada.post(ada.trial()["images"])
    before = ada.trial()
    again = Answers.create(study.plan)
    assert again.invite() == {}
    assert again.reader_of(study.tokens["ada"]) == "ada"
    assert list(again.current("ada").images) == before["images"]
    assert len(again.readings()) == 1


def test_readers_may_join_and_tokens_may_be_replaced(tmp_path: Path) -> None:
    study = Study(tmp_path)
    ada = study.reader()
    ada.post(ada.trial()["images"])
    plan = read_plan(write_study(tmp_path, readers=["ada", "grace", "rosalind"]))
    again = Answers.create(plan)
    new = again.invite(["ada"])
    assert sorted(new) == ["ada", "rosalind"]
    assert again.reader_of(study.tokens["ada"]) is None
    assert again.reader_of(new["ada"]) == "ada"
    assert again.reader_of(study.tokens["grace"]) == "grace"
    assert again.current("ada").number == 2
    with pytest.raises(InvalidValueError, match="no reader 'adda'; there are ada"):
        again.invite(["adda"])


def test_readers_are_laid_out_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = read_plan(write_study(tmp_path))
    whole = schedule(plan, "ada")
    orders = iter([whole, [*whole[:2], None]])  # the second reader's trials fail at the third
    monkeypatch.setattr(answers, "schedule", lambda plan, reader: next(orders))
    opened = Answers.create(plan)
    with pytest.raises(AttributeError):
        opened.invite()
    monkeypatch.undo()
    assert sorted(opened.invite()) == ["ada", "grace"]
    assert [opened.current(reader).total for reader in plan.readers] == [6, 6]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"window": "[0, 2]"}, "another study: window differ"),
        ({"seed": "1"}, "seed"),
        ({"repeats": "1"}, "repeats"),
        ({"question": "Which?"}, "question"),
        ({"reference": None}, "images of the reference"),
        ({"methods": {name: f"vault/{name}" for name in list(LEVELS)[:2]}}, "images of Xylomethod, methods"),
        ({"readers": "[grace]"}, "answers of ada; name them"),
    ],
)
def test_answers_of_another_study_are_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    Study(tmp_path)
    plan = read_plan(write_study(tmp_path, **changes))
    with pytest.raises(CheckpointMismatchError, match=told):
        Answers.create(plan)
    with pytest.raises(CheckpointMismatchError, match=told):
        Answers(plan)


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    plan = read_plan(write_study(tmp_path))
    with pytest.raises(FileFormatError, match="no answers in"):
        Answers(plan)
    plan.out.mkdir()
    plan.answers.write_text("not a database" * 100)
    with pytest.raises(FileFormatError, match=r"answers\.sqlite is corrupt, or no database"):
        Answers.create(plan)
    plan.answers.unlink()
    with database.connected(plan.answers) as connection:
        connection.execute("CREATE TABLE other (x)")
    with pytest.raises(FileFormatError, match="of something else"):
        Answers.create(plan)


def test_a_locked_database_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a command begins, and when a reader answers; the answer is saved when it is sent again."""
    monkeypatch.setattr(database, "_PATIENCE", 0.01)
    study = Study(tmp_path)
    ada = study.reader()
    tokens = ada.trial()["images"]
    with closing(sqlite3.connect(study.plan.answers, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(FileWriteError, match=r"answers\.sqlite is locked by another program"):
            study.answers.invite()
        assert ada.post(tokens).status_code == 503
        other.execute("ROLLBACK")
    assert study.answers.readings() == []
    assert ada.post(tokens).status_code == 200


def test_answers_are_written_through(tmp_path: Path) -> None:
    """WAL, and a commit that waits for the disk (synchronous = FULL is 2)."""
    study = Study(tmp_path)
    with database.connected(study.plan.answers) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
