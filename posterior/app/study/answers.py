"""The answers of a reader study, in one SQLite file: who reads, what was shown in which order, and the ranks."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from posterior.app.study.database import TABLES, connected, writing
from posterior.app.study.plan import Plan
from posterior.app.study.schedule import schedule
from posterior.errors import CheckpointMismatchError, FileFormatError, InvalidValueError


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

    def __init__(self, plan: Plan) -> None:
        """Open the answers of a plan.

        Raises:
            FileFormatError: There is no such file, or it is no database of answers.
            CheckpointMismatchError: It belongs to another study, or settings or images have changed.
        """
        self.plan, self.path = plan, plan.answers
        if not self.path.is_file():
            raise FileFormatError(f"there are no answers in {self.path}; `posterior study serve` collects them")
        with connected(self.path) as database:
            _check_same(self.path, plan, database)

    @classmethod
    def create(cls, plan: Plan) -> Answers:
        """Those that there are, or none yet.

        Raises:
            FileFormatError: There is a file that is no database of answers.
            CheckpointMismatchError: There are answers of another study.
            FileWriteError: The file is locked, or cannot be written.
        """
        plan.out.mkdir(parents=True, exist_ok=True)
        with connected(plan.answers) as database:
            database.execute("PRAGMA journal_mode = WAL")  # the analysis may read while answers come
        with writing(plan.answers) as database:
            if not _tables(database):
                for name, columns in TABLES.items():
                    database.execute(f"CREATE TABLE {name} ({columns})")
                database.executemany("INSERT INTO study VALUES (?, ?)", plan.identity().items())
        return cls(plan)

    def invite(self, again: Sequence[str] = ()) -> dict[str, str]:
        """Lay out the trials of readers who are new, and make their access tokens; only hashes of these are kept.

        Args:
            again: Readers whose tokens are replaced, because they were lost.

        Returns:
            The new tokens by reader.

        Raises:
            InvalidValueError: The plan does not name such a reader.
        """
        readers = self.plan.readers
        if strangers := set(again) - set(readers):
            raise InvalidValueError(f"there is no reader {sorted(strangers)[0]!r}; there are {', '.join(readers)}")
        with writing(self.path) as database:
            known = {reader for (reader,) in database.execute("SELECT reader FROM readers")}
            tokens = {r: secrets.token_urlsafe(24) for r in readers if r not in known or r in again}
            for reader, token in tokens.items():
                database.execute(
                    "INSERT INTO readers VALUES (?1, ?2) ON CONFLICT DO UPDATE SET token_hash = ?2",
                    (reader, _hash(token)),
                )
                if reader not in known:
                    _lay_out(database, self.plan, reader)
        return tokens

    def reader_of(self, token: str) -> str | None:
        """Whose access token this is; the time does not depend on how much of it is right."""
        with connected(self.path) as database:
            hashes = database.execute("SELECT reader, token_hash FROM readers").fetchall()
        given = _hash(token)
        found = [reader for reader, known in hashes if hmac.compare_digest(known, given)]
        return found[0] if found else None

    def current(self, reader: str) -> Shown:
        """The first trial that the reader has not answered."""
        with connected(self.path) as database:
            return _current(database, reader)

    def image(self, reader: str, token: str) -> tuple[str, str | None] | None:
        """The image and the method of a token (None for the reference), if it is one of this reader's."""
        with connected(self.path) as database:
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
        with writing(self.path) as database:
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
        """All answers, by reader and in their order.

        Raises:
            FileFormatError: An answer does not rank each method once.
        """
        with connected(self.path) as database:
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
        methods = sorted(self.plan.methods)
        for trial, reader, number, *_, milliseconds in trials:
            if sorted(map(str, places.get(trial, []))) != methods or type(milliseconds) is not int:
                raise FileFormatError(
                    f"{self.path} is corrupt: answer {number} of {reader} does not rank each method once"
                )
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


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()  # a token is random and long: no salt or slow hash is needed


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _check_same(path: Path, plan: Plan, database: sqlite3.Connection) -> None:
    if _tables(database) != set(TABLES):
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
