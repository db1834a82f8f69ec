"""Files that one run at a time may use."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from posterior.errors import FileWriteError

try:
    import fcntl
except ImportError:  # Windows, where files are not locked
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(path: Path, advice: str = "wait until it ends, or name another file") -> Iterator[None]:
    """Keep other runs from a file as long as the block lasts.

    `<path>.lock` says whose it is. The system locks that file, and forgets the locks of processes that have died.

    Args:
        path: The file.
        advice: What to do where another run has it, at the end of the message.

    Raises:
        FileWriteError: Another run has the file, or the lock file cannot be written.
    """
    if fcntl is None:
        yield
        return
    lock = path.with_name(f"{path.name}.lock")
    stream = _acquired(path, lock, advice)
    try:
        yield
    finally:
        with suppress(OSError):
            lock.unlink()  # before the lock is given up, or it may be another's
        stream.close()


def _acquired(path: Path, lock: Path, advice: str) -> TextIO:
    while True:
        try:
            stream = lock.open("a+", encoding="utf-8")
        except OSError as error:
            raise FileWriteError(f"{lock} cannot be written: {error.strerror}") from error
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            with stream:
                stream.seek(0)
                raise FileWriteError(
                    f"{path} is in use by another run ({stream.read() or 'that has just begun'}); {advice}"
                ) from error
        except OSError:
            pass  # a file system without locks
        try:
            if os.path.samestat(os.stat(lock), os.fstat(stream.fileno())):
                stream.truncate(0)
                os.write(stream.fileno(), f"process {os.getpid()} on {platform.node()}".encode())
                return stream
        except FileNotFoundError:
            pass
        except OSError as error:  # no room
            stream.close()
            raise FileWriteError(f"{lock} cannot be written: {error.strerror}") from error
        stream.close()  # its last owner removed it after it was opened
