"""The SQLite file of a reader study: its tables, and connections whose errors say what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from posterior.errors import FileFormatError, FileWriteError

TABLES = {
    "study": "part TEXT PRIMARY KEY, value TEXT NOT NULL",
    "readers": "reader TEXT PRIMARY KEY, token_hash BLOB NOT NULL",
    "trials": "id INTEGER PRIMARY KEY, reader TEXT NOT NULL REFERENCES readers, number INTEGER NOT NULL, "
    "image TEXT NOT NULL, repeat INTEGER NOT NULL, answered_at TEXT, milliseconds INTEGER, UNIQUE (reader, number)",
    # the reference has place 0 and no method
    "shown": "token TEXT PRIMARY KEY, trial INTEGER NOT NULL REFERENCES trials, place INTEGER NOT NULL, method TEXT, "
    "rank INTEGER, UNIQUE (trial, place), UNIQUE (trial, rank)",
}
_PATIENCE = 5.0  # seconds that one waits for another


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection for one use, so that threads share none; it makes the file if there is none.

    Raises:
        FileFormatError: The file is no database.
        FileWriteError: It is locked, or cannot be written.
    """
    try:
        with closing(sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None)) as database:
            database.execute("PRAGMA synchronous = FULL")  # a commit outlives a power cut
            database.execute("PRAGMA foreign_keys = ON")
            yield database
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise FileWriteError(f"{path} is locked by another program; close it and try again") from error
        raise FileWriteError(f"{path} cannot be used: {error}") from error
    except sqlite3.DatabaseError as error:
        raise FileFormatError(f"{path} is corrupt, or no database of answers: {error}; move it away") from error


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection in one transaction: it is on the disk when the block has ended, or has changed nothing.

    Raises:
        FileFormatError: The file is no database.
        FileWriteError: It is locked, or cannot be written.
    """
    with connected(path) as database:
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")
