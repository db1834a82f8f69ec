"""What came of a job: a row for each measurement and method in a file, and a line for each method on the screen."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from statistics import fmean
from typing import Any

from posterior.app.table import Row, save_csv
from posterior.diagnostics.quality import Quality
from posterior.io.records import read_records
from posterior.io.store import Store
from posterior.tables import markdown_table
from posterior.verdict import LEVELS

_UNKNOWN = Quality(None, None, None, None, 0.0, None)
_MEANS = {
    "PSNR (dB)": ("psnr", "{:.1f}"),
    "90 % coverage": ("coverage", "{:.0%}"),
    "misfit (σ)": ("misfit", "{:.2f}"),
    "network calls": ("calls", "{:,.0f}"),
}
HEADS = ["method", "measurements", "failed", *_MEANS, "verdicts"]


def rows_of(store: Store, shards: Iterable[int] | None = None) -> Iterator[Row]:
    """A row for each measurement and method of the shards that are finished, of all unless some are named."""
    for shard in range(store.num_shards) if shards is None else shards:
        for name, records in (read_records(store, shard) or {}).items():
            for place, record in zip(store.places(shard), records, strict=True):
                found = _UNKNOWN if record.error else Quality(**record.quality)
                yield Row(store.ids[place], name, found, record.error)


def summarise(store: Store) -> str:
    """Write summary.csv, and say in a table what came of the job, method by method.

    Args:
        store: The results.
    """
    rows = list(rows_of(store))
    path = save_csv(rows, store.folder / "summary.csv")
    table = markdown_table(HEADS, method_rows(rows), "lrrrrrrl")
    return f"{table}\n\nsaved to {store.folder}: {path.name}, and arrays of Zarr"


def method_rows(rows: Iterable[Row]) -> list[list[str]]:
    """Of each method what came of its measurements, under the heads `HEADS`."""
    lines, of = [], defaultdict[str, list[Row]](list)
    for row in rows:
        of[row.method].append(row)
    for name, own in of.items():
        good = [row.quality for row in own if not row.error]
        levels = Counter(one.verdict for one in good)
        verdicts = ", ".join(f"{level} ({levels[level]})" for level in LEVELS if levels[level])
        means = [_mean([getattr(one, key) for one in good], form) for key, form in _MEANS.values()]
        lines.append([name, str(len(own)), str(len(own) - len(good)), *means, verdicts])
    return lines


def _mean(values: list[Any], form: str) -> str:
    known = [value for value in values if value is not None]
    return form.format(fmean(known)) if known else "–"
