"""Two runs do not share a file."""

import os
import signal
from pathlib import Path

import pytest

from posterior.errors import FileWriteError
from posterior.io import locking
from posterior.io.locking import locked

pytestmark = pytest.mark.skipif(locking.fcntl is None, reason="the system has no such locks")


def test_the_second_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with locked(path):
        with (
            pytest.raises(FileWriteError, match=rf"run\.pt is in use by another run \(process {os.getpid()} on"),
            locked(path),
        ):
            pass
        with locked(tmp_path / "other.pt"):
            assert {file.name for file in tmp_path.iterdir()} == {"run.pt.lock", "other.pt.lock"}
    with locked(path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_is_killed_gives_its_file_up(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:  # never returns to pytest
        with locked(path):
            os.write(begun, b"1")
            signal.pause()
    try:
        os.read(ready, 1)
        with pytest.raises(FileWriteError, match=f"process {child} on"), locked(path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert (tmp_path / "run.pt.lock").exists()  # what it left is no lock any more
    with locked(path):
        assert f"process {os.getpid()} on" in (tmp_path / "run.pt.lock").read_text()


def test_a_lock_file_that_was_removed_meanwhile_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, real, removed = tmp_path / "run.pt", locking.fcntl.flock, []

    def late(stream, how):  # its last owner goes between its being opened and locked
        if not removed:
            removed.append((tmp_path / "run.pt.lock").unlink())
        return real(stream, how)

    monkeypatch.setattr(locking.fcntl, "flock", late)
    with locked(path), pytest.raises(FileWriteError, match="in use"), locked(path):
        pass


def test_file_systems_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_):
        raise OSError("no locks available")

    monkeypatch.setattr(locking.fcntl, "flock", unsupported)
    with locked(tmp_path / "run.pt"):
        pass
    with pytest.raises(FileWriteError, match=r"run\.pt\.lock cannot be written"), locked(tmp_path / "none" / "run.pt"):
        pass
