"""A report that fits: which measurements and how many samples of each a page holds, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np

from posterior.app.jobs.summary import HEADS, method_rows, rows_of
from posterior.app.report.content import MOST_SAMPLES, content
from posterior.app.report.encoding import encode
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
    notes = _notes(source, len(blocks), len(places), num_samples)
    config = source.settings
    about = {
        "name": source.store.folder.resolve().name,
        "methods": source.methods,
        "measurements": index,
        "table": [HEADS, *method_rows(rows_of(source.store))],
        "notes": notes,
        "settings": [[key, _words(config.get(key))] for key in ("prior", "operator", "likelihood", "data", "methods")]
        + [["samples of each measurement", str(source.num_samples)], ["seed", str(config.get("seed"))]]
        + [[name, str(version)] for name, version in source.store.manifest.get("versions", {}).items()],
        "black": 0.0 if source.event_shape[0] == 2 else source.value_range[0],
        "white": source.value_range[1],
        "channels": source.event_shape[0],
        "interval": list(INTERVAL),
        "fewest": FEWEST,
        "samples": source.num_samples,
        "colours": encode(_colours(), 0, 255)["data"],
        "levels": list(LEVELS),
    }
    return page(f"Posterior report: {about['name']}", about, blocks), notes


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


def _notes(source: Source, shown: int, asked: int, num_samples: int) -> list[str]:
    """What is not on the page, and why."""
    notes, total = [], len(source.store.ids)
    if len(source.answered) < total:
        notes.append(
            f"{total - len(source.answered)} of {total} measurements are not answered yet: "
            "let posterior run go on, and write the report again."
        )
    if shown < asked:
        why = "a page holds 100 at the most" if shown == MOST_MEASUREMENTS else "more would make it larger than 20 MB"
        notes.append(f"It shows the first {shown} of {asked} measurements: {why}. Name others by --ids.")
    samplers = [name for name in source.methods if not source.has(f"{name}/estimate")]
    without = [name for name in samplers if not source.has(f"{name}/samples")]
    if without:
        notes.append(
            f"Samples of {', '.join(without)} were not kept, so that there is nothing to flicker through, no principal "
            "component and no histogram: run the job with keep_samples: true."
        )
    if len(without) < len(samplers) and num_samples < source.num_samples:
        notes.append(
            f"Of {source.num_samples} samples {num_samples} are shown, evenly spaced, so that the page stays small. Mean, "
            "standard deviation, interval and principal components are those of all."
        )
    if samplers and source.num_samples < FEWEST:
        notes.append(f"A 90 % interval needs {FEWEST} samples; there are {source.num_samples}.")
    if not source.has("truth"):
        notes.append("The true images are not known, so that there are no errors, no PSNR and no coverage.")
    if source.event_shape[0] == 2:
        notes.append("Images are complex and shown by magnitude; their spread is the mean over both parts.")
    if isinstance(source.job, str):
        notes.append(f"What was not measured is not marked: the job could not be built, since {source.job}.")
    return notes


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


