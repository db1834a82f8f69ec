"""A report that fits: which measurements and how many samples of each a page holds, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

from posterior.app.jobs.summary import HEADS, method_rows, rows_of
from posterior.app.report.content import MOST_SAMPLES, content
from posterior.app.report.encoding import encode
from posterior.app.report.notes import left_out, shown
from posterior.app.report.page import block, page
from posterior.app.report.source import INTERVAL, Source
from posterior.errors import InvalidValueError
from posterior.figures.parts import FEWEST
from posterior.verdict import LEVELS

MOST_MEASUREMENTS = 100
_MOST_BYTES = 19_500_000  # of all measurements: a page stays below 20 MB
_FEWEST_SAMPLES = 8  # rather than these, it leaves out measurements
_TRIED = 3  # measurements whose size is taken for that of all


def report(source: Source, ids: Sequence[int] | None = None) -> tuple[str, list[str]]:
    """The HTML of a report, and what it says that it leaves out.

    Args:
        source: The results.
        ids: Names of measurements to show; the first hundred of those answered unless given.

    Raises:
        InvalidValueError: A measurement is not there, or none is answered.
    """
    places = _places(source, ids)
    fits, num_samples = _fit(source, places)
    blocks: list[str] = []
    index: list[dict[str, Any]] = []
    size = 0
    for place in fits:
        one = content(source, place, num_samples)
        text = block(f"measurement-{len(blocks)}", one)
        size += len(text.encode())
        if size > _MOST_BYTES and blocks:
            break
        blocks.append(text)
        index.append({"id": one["id"], "levels": [_level(row) for row in one["methods"]]})
    missing = left_out(source, len(blocks), len(places), num_samples)
    about = {
        "measurements": index,
        "notes": [*missing, *shown(source, len(blocks), num_samples)],
        **_about(source),
    }
    return page(f"Posterior report: {about['name']}", about, blocks), missing


def _about(source: Source) -> dict[str, Any]:
    """What does not change from one measurement to the next."""
    config = source.settings
    return {
        "name": source.store.folder.resolve().name,
        "methods": source.methods,
        "table": [HEADS, *method_rows(rows_of(source.store))],
        "settings": [[key, _words(config.get(key))] for key in ("prior", "operator", "likelihood", "data", "methods")]
        + [["samples of each measurement", str(source.num_samples)], ["seed", str(config.get("seed"))]]
        + [[name, str(version)] for name, version in source.store.manifest.get("versions", {}).items()],
        "black": 0.0 if source.event_shape[0] == 2 else source.value_range[0],
        "white": source.value_range[1],
        "interval": list(INTERVAL),
        "fewest": FEWEST,
        "samples": source.num_samples,
        "colours": encode(_colours(), 0, 255)["data"],
        "levels": list(LEVELS),
    }


def _places(source: Source, ids: Sequence[int] | None) -> list[int]:
    if not source.answered:
        raise InvalidValueError(f"{source.store.folder}: no measurement is answered yet; let posterior run go on")
    if ids is None:
        return source.answered
    answered = {source.store.ids[place]: place for place in source.answered}
    if missing := [name for name in ids if name not in answered]:
        raise InvalidValueError(f"{source.store.folder} has no answer for measurement {missing[0]}")
    return [answered[name] for name in dict.fromkeys(ids)]


def _fit(source: Source, places: list[int]) -> tuple[list[int], int]:
    """Measurements, and samples of each, that a page is not too large for, by the sizes of some of them."""
    wanted = places[:MOST_MEASUREMENTS]
    tried = wanted[:: -(-len(wanted) // _TRIED)]
    with_none, with_few = (max(_size(source, place, count) for place in tried) for count in (0, 4))
    each = max(1.0, (with_few - with_none) / 4)
    fitting = int((_MOST_BYTES / len(wanted) - with_none) / (1.02 * each))
    return wanted, min(source.num_samples, max(_FEWEST_SAMPLES, min(MOST_SAMPLES, fitting)))


def _size(source: Source, place: int, num_samples: int) -> int:
    return len(block("measurement-00", content(source, place, num_samples)).encode())


def _level(row: dict[str, Any]) -> str:
    return "failed" if "error" in row else (row["verdict"] or {}).get("level", "")


def _words(value: Any) -> str:
    """A part of a config as the command line has it."""
    if isinstance(value, list):
        return "; ".join(map(_words, value))
    if isinstance(value, dict):
        rest = ", ".join(f"{key} {_short(one)}" for key, one in value.items() if key != "name")
        return f"{value.get('name', '')}: {rest}" if rest else str(value.get("name", ""))
    return str(value)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _colours() -> Any:
    """The colours of maps of spread, (1, 1, 256, 3)."""
    shades = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    return np.array(shades)[None, None]
