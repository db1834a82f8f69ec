"""A report that fits: which measurements and how many samples of each a page holds, and what it says of the rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posterior.app.jobs.summary import HEADS, method_rows, rows_of
from posterior.app.report.content import MOST_SAMPLES, content
from posterior.app.report.encoding import encode
from posterior.app.report.groups import groups
from posterior.app.report.notes import left_out, shown
from posterior.app.report.page import block, page
from posterior.app.report.source import INTERVAL, Source
from posterior.errors import InvalidValueError
from posterior.figures.parts import FEWEST
from posterior.verdict import LEVELS

MOST_MEASUREMENTS = 100
_MOST_BYTES = 18_000_000  # of all measurements: a larger page opens slowly
_FEWEST_SAMPLES = 8  # if these do not fit, images are shrunk
_MOST_SHRUNK = 4  # if they do not fit even so, there are fewer measurements
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
    wanted = places[:MOST_MEASUREMENTS]
    num_samples, factor = _fit(source, wanted)
    blocks: list[str] = []
    index: list[dict[str, Any]] = []
    size = 0
    for place in wanted:
        one = content(source, place, num_samples, factor)
        text = block(f"measurement-{len(blocks)}", one)
        size += len(text.encode())
        if size > _MOST_BYTES and blocks:
            break
        blocks.append(text)
        index.append({"id": one["id"], "levels": [_level(row) for row in one["methods"]]})
    missing = left_out(source, len(blocks), len(places), num_samples, factor)
    about = {
        "measurements": index,
        "notes": [*missing, *shown(source, len(blocks), num_samples)],
        **_about(source),
    }
    return page(f"Posterior report: {about['name']}", about, blocks), missing


def _about(source: Source) -> dict[str, Any]:
    """What does not change from one measurement to the next."""
    config, rows = source.settings, list(rows_of(source.store))
    return {
        "name": source.store.folder.resolve().name,
        "methods": source.methods,
        "table": [HEADS, *method_rows(rows)],
        "groups": groups(source, rows),
        "settings": [[key, _words(config.get(key))] for key in ("prior", "operator", "likelihood", "data", "methods")]
        + _who(config)
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


def _who(config: Mapping[str, Any]) -> list[list[str]]:
    """What groups are of, as the settings of a page have it."""
    groups = config.get("groups") or {}
    words = {
        "classifier": config.get("classifier") or "",
        "groups": "; ".join(f"{name}: {', '.join(members)}" for name, members in groups.items()),
    }
    return [[key, text] for key, text in words.items() if text]


def _places(source: Source, ids: Sequence[int] | None) -> list[int]:
    if not source.answered:
        raise InvalidValueError(f"{source.store.folder}: no measurement is answered yet; let posterior run go on")
    if ids is None:
        return source.answered
    answered = {source.store.ids[place]: place for place in source.answered}
    if missing := [name for name in ids if name not in answered]:
        raise InvalidValueError(f"{source.store.folder} has no answer for measurement {missing[0]}")
    return [answered[name] for name in dict.fromkeys(ids)]


def _fit(source: Source, places: Sequence[int]) -> tuple[int, int]:
    """How many samples, and of which size, fit on a page with all these measurements, by the sizes of some of them.

    Returns:
        The number of samples, and the factor by which images are shrunk.
    """
    tried = places[:: -(-len(places) // _TRIED)]
    fewest = min(_FEWEST_SAMPLES, source.num_samples)
    for factor in range(1, _MOST_SHRUNK + 1):
        none, few = (max(_size(content(source, place, count, factor)) for place in tried) for count in (0, fewest))
        fitting = int((_MOST_BYTES / len(places) - none) / (1.03 * max(1.0, (few - none) / fewest)))
        if fitting >= fewest:
            break
    return min(source.num_samples, MOST_SAMPLES, max(fewest, fitting)), factor


def _size(one: dict[str, Any]) -> int:
    return len(block("measurement-00", one).encode())


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
    import matplotlib

    shades = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)[:, :3]
    return np.array(shades)[None, None]
