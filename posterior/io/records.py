"""What is known of each answer in the results of a job, beside its arrays: read, and looked at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from posterior.errors import FileFormatError
from posterior.io.store import Store
from posterior.verdict import LEVELS, Verdict


@dataclass(frozen=True)
class Record:
    """What is known of a method's answer to one measurement.

    Attributes:
        error: Why it failed; empty where it did not, and where it did there is nothing else.
        quality: How good it is, by the names of `posterior.diagnostics.quality.Quality`.
        verdict: Whether it may be trusted; None where nothing is checked.
        nfe, nfe_grad: Network evaluations a draw, forward and backward.
        info: What the method says of itself.
        seconds: Its share of the time that its shard took.
    """

    error: str = ""
    quality: Mapping[str, Any] = field(default_factory=dict)
    verdict: Verdict | None = None
    nfe: float = 0.0
    nfe_grad: float = 0.0
    info: Mapping[str, float | bool | None] = field(default_factory=dict)
    seconds: float = 0.0


def read_records(store: Store, shard: int) -> dict[str, list[Record]] | None:
    """The answers of each method to the measurements of a shard; None where it is unfinished.

    Raises:
        FileFormatError: The shard's record is damaged.
    """
    known = store.known(shard)
    if known is None:
        return None
    count = len(store.places(shard))
    try:
        seconds = _number(known["seconds"]) / count
        found = {name: [_record(row, seconds) for row in known["methods"][name]] for name in store.manifest["methods"]}
        if any(len(rows) != count for rows in found.values()):
            raise ValueError(f"it is not of {count} measurements")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(
            f"{store.record(shard)} is damaged: {error or type(error).__name__}; run the job again, which repairs it"
        ) from error
    return found


def _record(row: Mapping[str, Any], seconds: float) -> Record:
    if "error" in row:
        return Record(_text(row["error"]))
    verdict, quality = row["verdict"], dict(row["quality"])
    level = quality.pop("verdict")
    if verdict is not None:
        findings = tuple(map(_text, verdict["findings"]))
        verdict = Verdict(_level(verdict["level"]), findings, _text(verdict["remedy"]))
    quality = {name: _maybe(value) for name, value in quality.items()}
    return Record(
        quality=quality | {"verdict": None if level is None else _level(level)},
        verdict=verdict,
        nfe=_number(row["nfe"]),
        nfe_grad=_number(row["nfe_grad"]),
        info={name: value if isinstance(value, bool) else _maybe(value) for name, value in row["info"].items()},
        seconds=seconds,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is no text")
    return value


def _level(value: Any) -> Any:
    if value not in LEVELS:
        raise ValueError(f"{value!r} is no level of a verdict")
    return value


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _maybe(value: Any) -> float | None:
    return None if value is None else _number(value)
