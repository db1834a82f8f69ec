"""`posterior study serve` and `analyse`: a server that is killed, and mistakes in one line."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posterior.app.cli import main
from posterior.app.study import database
from posterior.app.study.plan import read_plan
from posterior.io.locking import locked
from tests.app.commands.workplace import mistake
from tests.app.study.workplace import LEVELS, Reader, Study, write_study

httpx2 = pytest.importorskip("httpx2")
pytest.importorskip("uvicorn")


@contextmanager
def served(path: Path) -> Iterator[tuple[subprocess.Popen[str], str, dict[str, str]]]:
    """The command in a process of its own: the process, its address, and the tokens that it printed."""
    command = [sys.executable, "-m", "posterior.app.cli", "study", "serve", str(path), "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            while not re.search(r"not shown again\.|have a link", said):
                line = process.stdout.readline()
                assert line, process.stderr and process.stderr.read()
                said += line
            (address,) = re.findall(r"twice, at (http://127\.0\.0\.1:\d+)/", said)
            yield process, address, dict(re.findall(rf"^  (\w+): {address}/#(\S+)$", said, flags=re.M))
        finally:
            process.kill()


def test_a_killed_server_has_lost_nothing_that_it_acknowledged(tmp_path: Path) -> None:
    """kill −9 while answers come in; the reader goes on at the trial after the last that was saved."""
    path = write_study(tmp_path, 200, repeats=0, readers=["ada"])
    acknowledged: list[tuple[str, ...]] = []
    with served(path) as (process, address, tokens), httpx2.Client(base_url=address, trust_env=False) as client:
        ada = Reader(client, tokens["ada"])
        trial: dict[str, Any] = ada.trial()

        def answer() -> None:
            nonlocal trial
            try:
                while trial["images"]:
                    ranking = trial["images"][::-1]
                    trial = ada.post(ranking).json()
                    acknowledged.append(tuple(ranking))
                    if len(acknowledged) == 5:
                        enough.set()
            except httpx2.TransportError:
                pass  # the server is gone

        enough = threading.Event()
        thread = threading.Thread(target=answer)
        thread.start()
        assert enough.wait(60)
        os.kill(process.pid, signal.SIGKILL)
        thread.join()
    count = len(acknowledged)
    assert 5 <= count < 200
    with database.connected(tmp_path / "results/answers.sqlite") as connection:
        rows = connection.execute(
            "SELECT token FROM shown JOIN trials ON trial = id WHERE rank NOT NULL ORDER BY number, rank"
        ).fetchall()
    saved = [tuple(token for (token,) in rows[i : i + 3]) for i in range(0, len(rows), 3)]
    assert saved[:count] == acknowledged
    assert len(saved) <= count + 1  # one may be saved whose reply was on its way
    with served(path) as (process, address, new):
        assert new == {}
        with httpx2.Client(base_url=address, trust_env=False) as client:
            ada = Reader(client, tokens["ada"])
            trial = ada.trial()
            assert trial["number"] == len(saved) + 1
            assert ada.post(trial["images"]).json()["number"] == len(saved) + 2
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert "stopped; all answers are in" in process.stdout.read()


def test_serve_says_who_may_come(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each link once; a warning where others can come in. The server is stopped before it begins."""

    def stop(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", stop)
    serve = ["study", "serve", str(write_study(tmp_path)), "--port=0"]

    def readers(*options: str) -> tuple[list[str], str]:
        main([*serve, *options])
        said = capsys.readouterr()
        assert "stopped; all answers are in" in said.out
        return re.findall(r"^  (\w+): http://[\w.:\[\]]+/#[\w-]{32}$", said.out, flags=re.M), said.err

    assert readers() == (["ada", "grace"], "")
    assert readers() == ([], "")
    assert readers("--new-token=[grace]", "--host=localhost") == (["grace"], "")
    assert readers("--host=0.0.0.0")[1].startswith("posterior: others can reach this address")


def test_analyse_writes_what_it_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study(tmp_path)
    for name in ("ada", "grace"):
        study.reader(name).read_all(lambda methods: sorted(methods, key=list(LEVELS).index))
    main(["study", "analyse", str(tmp_path / "study.yaml")])
    said = capsys.readouterr().out
    assert re.search(r"groupone \| +8 \| 1\.00 \(0\.00\) \| +2\.00 \(0\.00\) \| +3\.00 \(0\.00\) \| 1\.00", said)
    assert "preliminary" not in said
    assert (study.plan.out / "analysis.md").read_text() in said
    result = json.loads((study.plan.out / "analysis.json").read_text())
    assert result["groups"][0]["mean_rank"] == dict(zip(LEVELS, (1, 2, 3), strict=True))
    assert (study.plan.out / "answers.csv").read_text().count("\n") == 1 + 2 * 6 * 3
    assert (study.plan.out / "ranks.png").read_bytes().startswith(b"\x89PNG")


def test_analyse_says_where_readers_have_not_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = Study(tmp_path)
    path = str(tmp_path / "study.yaml")
    assert "no answers yet" in mistake(capsys, main, ["study", "analyse", path])
    ada = study.reader()
    ada.post(ada.trial()["images"])
    main(["study", "analyse", path])
    assert "preliminary" in capsys.readouterr().out


def test_mistakes_end_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path)
    serve = ["study", "serve", str(path), "--port=0"]
    assert "no answers in" in mistake(capsys, main, ["study", "analyse", str(path)])
    assert "there is no file" in mistake(capsys, main, ["study", "serve", "none.yaml"])
    assert "port" in mistake(capsys, main, [*serve[:3], "--port=65536"])
    assert "no reader 'eve'" in mistake(capsys, main, [*serve, "--new_token=[eve]"])
    with locked(read_plan(path).answers):
        assert "in use by another run" in mistake(capsys, main, serve)
    monkeypatch.setattr(database, "_PATIENCE", 0.01)
    other = sqlite3.connect(tmp_path / "results/answers.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    assert "is locked by another program" in mistake(capsys, main, serve)
    other.close()
    write_study(tmp_path, seed=1)
    assert "another study: seed" in mistake(capsys, main, serve)
    np.save(tmp_path / "vault/Yakmethod/groupone/sliceq0.npy", np.zeros((6, 6)))
    assert "crop or resize" in mistake(capsys, main, serve)
