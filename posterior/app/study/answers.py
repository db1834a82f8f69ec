"""The answers of a reader study, in one SQLite file: who reads, what was shown in which order, and the ranks."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from posterior.app.study.plan import Plan
from posterior.app.study.schedule import schedule
from posterior.errors import CheckpointMismatchError, FileFormatError, FileWriteError, InvalidValueError

_TABLES = """
CREATE TABLE study (part TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE readers (reader TEXT PRIMARY KEY, token_hash BLOB NOT NULL);
CREATE TABLE trials (
    id INTEGER PRIMARY KEY, reader TEXT NOT NULL REFERENCES readers, number INTEGER NOT NULL, image TEXT NOT NULL,
    repeat INTEGER NOT NULL, answered_at TEXT, milliseconds INTEGER, UNIQUE (reader, number)
);
CREATE TABLE shown (
    token TEXT PRIMARY KEY, trial INTEGER NOT NULL REFERENCES trials, place INTEGER NOT NULL, method TEXT, rank INTEGER,
    UNIQUE (trial, place), UNIQUE (trial, rank)
);
"""  # the reference has place 0 and no method
_PATIENCE = 5.0  # seconds that a write waits for another


@dataclass(frozen=True)
class Shown:
    """What a reader has before them: image tokens in the order of the screen.

    Attributes:
        number: Which of the reader's trials this is, from 1.
        total: How many there are.
        images: Tokens of the reconstructions; none when all trials are done.
        reference: Token of the reference, if there is one.
    """

    number: int
    total: int
    images: tuple[str, ...] = ()
    reference: str | None = None


@dataclass(frozen=True)
class Reading:
    """One answer: the methods from the best to the worst.

    Attributes:
        reader: Who gave it.
        number: Which of the reader's trials it was, from 1.
        image: File name of the image.
        repeat: Whether the reader ranked this image before.
        shown: The methods in the order of the screen.
        ranking: The methods from the best to the worst.
        seconds: From the sight of the images to the answer.
    """

    reader: str
    number: int
    image: str
    repeat: bool
    shown: tuple[str, ...]
    ranking: tuple[str, ...]
    seconds: float


class Answers:
    """The database of a study; each answer is on the disk before a call returns. Calls may come from any thread."""

    def __init__(self, path: Path, plan: Plan) -> None:
        """Open the answers of a plan.

        Raises:
            FileFormatError: There is no such file, or it is no database of answers.
            CheckpointMismatchError: It belongs to another study, or settings or images have changed.
        """
        self.path = path
        if not path.is_file():
            raise FileFormatError(f"there are no answers in {path}; `posterior study serve` collects them")
        with self._database() as database:
            _check_same(path, plan, database)

    @classmethod
    def create(cls, plan: Plan) -> Answers:
        """A new database, unless there is one: then that, if it is of the same study.

        Raises:
            FileFormatError: There is a file that is no database of answers.
            CheckpointMismatchError: There are answers of another study.
            FileWriteError: The file cannot be written.
        """
        path = plan.answers
        if not path.exists():
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                partial = path.with_name(f"{path.name}.partial")
                partial.unlink(missing_ok=True)
            except OSError as error:
                raise FileWriteError(f"{path} cannot be written: {error.strerror}") from error
            with _connected(partial) as database:
                database.executescript(_TABLES)
                database.executemany("INSERT INTO study VALUES (?, ?)", plan.identity().items())
            partial.rename(path)
        with _connected(path) as database:
            database.execute("PRAGMA journal_mode = WAL")  # the analysis may read while answers come
        return cls(path, plan)

    def invite(self, plan: Plan, again: Sequence[str] = ()) -> dict[str, str]:
        """Lay out the trials of readers who are new, and make their access tokens; only hashes of these are kept.

        Args:
            plan: The plan that names the readers.
            again: Readers whose tokens are replaced, because they were lost.

        Returns:
            The new tokens by reader.

        Raises:
            InvalidValueError: The plan does not name such a reader.
        """
        if strangers := set(again) - set(plan.readers):
            raise InvalidValueError(f"there is no reader {sorted(strangers)[0]!r}; there are {', '.join(plan.readers)}")
        with self._writing() as database:
            known = {reader for (reader,) in database.execute("SELECT reader FROM readers")}
            tokens = {r: secrets.token_urlsafe(24) for r in plan.readers if r not in known or r in again}
            for reader, token in tokens.items():
                database.execute(
                    "INSERT INTO readers VALUES (?1, ?2) ON CONFLICT DO UPDATE SET token_hash = ?2",
                    (reader, _hash(token)),
                )
                if reader not in known:
                    _lay_out(database, plan, reader)
        return tokens

    def reader_of(self, token: str) -> str | None:
        """Whose access token this is; the time does not depend on how much of it is right."""
        with self._database() as database:
            hashes = database.execute("SELECT reader, token_hash FROM readers").fetchall()
        given = _hash(token)
        found = [reader for reader, known in hashes if hmac.compare_digest(known, given)]
        return found[0] if found else None

    def current(self, reader: str) -> Shown:
        """The first trial that the reader has not answered."""
        with self._database() as database:
            return _current(database, reader)

    def image(self, reader: str, token: str) -> tuple[str, str | None] | None:
        """The image and the method of a token (None for the reference), if it is one of this reader's."""
        with self._database() as database:
            row: tuple[str, str | None] | None = database.execute(
                "SELECT image, method FROM shown JOIN trials ON trial = id WHERE token = ? AND reader = ?",
                (token, reader),
            ).fetchone()
        return row

    def save(self, reader: str, ranking: Sequence[str], milliseconds: int) -> bool:
        """Save an answer to the current trial.

        Args:
            reader: Who answers.
            ranking: Image tokens from the best to the worst.
            milliseconds: From the sight of the images to the answer.

        Returns:
            Whether it is saved now, or was before; else it is none for the reader's current trial.
        """
        with self._writing() as database:
            if sorted(ranking) == sorted(_current(database, reader).images):
                database.executemany("UPDATE shown SET rank = ? WHERE token = ?", list(enumerate(ranking, 1)))
                database.execute(
                    "UPDATE trials SET answered_at = ?, milliseconds = ? "
                    "WHERE id = (SELECT trial FROM shown WHERE token = ?)",
                    (datetime.now(UTC).isoformat(timespec="milliseconds"), milliseconds, ranking[0]),
                )
                return True
            saved = database.execute(  # the same answer again, because its reply was lost
                "SELECT token FROM shown JOIN trials ON trial = id WHERE reader = ?1 AND rank NOT NULL AND trial = "
                "(SELECT trial FROM shown WHERE token = ?2) ORDER BY rank",
                (reader, ranking[0]),
            ).fetchall()
            return [token for (token,) in saved] == list(ranking)

    def readings(self) -> list[Reading]:
        """All answers, by reader and in their order."""
        with self._database() as database:
            trials = database.execute(
                "SELECT id, reader, number, image, repeat, milliseconds FROM trials WHERE answered_at NOT NULL "
                "ORDER BY reader, number"
            ).fetchall()
            rows = database.execute(
                "SELECT trial, method, rank FROM shown WHERE rank NOT NULL ORDER BY place"
            ).fetchall()
        places: dict[int, list[str]] = {}
        ranks: dict[int, dict[int, str]] = {}
        for trial, method, rank in rows:
            places.setdefault(trial, []).append(method)
            ranks.setdefault(trial, {})[rank] = method
        return [
            Reading(
                reader,
                number,
                image,
                bool(repeat),
                tuple(places[trial]),
                tuple(ranks[trial][rank] for rank in sorted(ranks[trial])),
                milliseconds / 1000,
            )
            for trial, reader, number, image, repeat, milliseconds in trials
        ]

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with _connected(self.path) as database:
            yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction, which is on the disk when the block has ended, or has changed nothing."""
        with self._database() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")


@contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of its own for each use, so that threads share nothing."""
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


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()  # a token is random and long: no salt or slow hash is needed


def _check_same(path: Path, plan: Plan, database: sqlite3.Connection) -> None:
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not {"study", "readers", "trials", "shown"} <= tables:
        raise FileFormatError(f"{path} is a database of something else; move it away")
    saved = dict(database.execute("SELECT part, value FROM study").fetchall())
    now = plan.identity()
    if changed := sorted(part for part in saved.keys() | now.keys() if saved.get(part) != now.get(part)):
        raise CheckpointMismatchError(
            f"{path} holds answers of another study: {', '.join(changed)} differ; name another folder as `out`, or put "
            "them back"
        )
    readers = {reader for (reader,) in database.execute("SELECT reader FROM readers")}
    if gone := sorted(readers - set(plan.readers)):
        raise CheckpointMismatchError(f"{path} holds answers of {', '.join(gone)}; name them among the readers again")


def _lay_out(database: sqlite3.Connection, plan: Plan, reader: str) -> None:
    for number, trial in enumerate(schedule(plan, reader), 1):
        row = database.execute(
            "INSERT INTO trials (reader, number, image, repeat) VALUES (?, ?, ?, ?)",
            (reader, number, trial.image, trial.repeat),
        )
        places: list[tuple[int, str | None]] = list(enumerate(trial.methods, 1))
        if plan.reference is not None:
            places.append((0, None))
        database.executemany(
            "INSERT INTO shown (token, trial, place, method) VALUES (?, ?, ?, ?)",
            [(secrets.token_urlsafe(16), row.lastrowid, place, method) for place, method in places],
        )


def _current(database: sqlite3.Connection, reader: str) -> Shown:
    (total,) = database.execute("SELECT count(*) FROM trials WHERE reader = ?", (reader,)).fetchone()
    row = database.execute(
        "SELECT id, number FROM trials WHERE reader = ? AND answered_at IS NULL ORDER BY number LIMIT 1", (reader,)
    ).fetchone()
    if row is None:
        return Shown(total, total)
    trial, number = row
    shown = database.execute("SELECT token, method FROM shown WHERE trial = ? ORDER BY place", (trial,)).fetchall()
    images = tuple(token for token, method in shown if method is not None)
    references = [token for token, method in shown if method is None]
    return Shown(number, total, images, references[0] if references else None)
