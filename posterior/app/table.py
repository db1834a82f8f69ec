"""Results in a table, a row for each measurement and each method."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import Tensor

from posterior.diagnostics.quality import Quality, quality
from posterior.io.writing import write_text
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from posterior.tables import markdown_table

_COLUMNS = {  # heads of a printed table and of a file, and how a number is printed
    "PSNR (dB)": ("psnr_db", "psnr", "{:.1f}"),
    "90 % coverage": ("coverage_90", "coverage", "{:.0%}"),
    "misfit (σ)": ("misfit", "misfit", "{:.2f}"),
    "effective samples": ("effective_samples", "effective_samples", "{:,.0f}"),
    "network calls": ("network_calls", "calls", "{:,.0f}"),
    "verdict": ("verdict", "verdict", "{}"),
}

_HEAD = ["measurement", "method", *(head for head, *_ in _COLUMNS.values())]


@dataclass(frozen=True)
class Row:
    """What one method made of one measurement; an error where it failed."""

    measurement: int | str
    method: str
    quality: Quality
    error: str = ""


def rows(problem: Posterior, method: str, result: Samples | PointEstimate, truth: Tensor | None = None) -> list[Row]:
    """A row for each measurement.

    Args:
        problem: What was asked.
        method: What the table calls the method.
        result: Its answer.
        truth: True images (B, *event_shape), where they are known.
    """
    judge = partial(
        quality, y=problem.y, truth=truth, likelihood=problem.likelihood, value_range=problem.prior.value_range
    )
    return [Row(name, method, judge(result, b)) for b, name in enumerate(problem.ids)]


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown, without columns of which nothing is known."""
    known = {
        head: (name, form)
        for head, (_, name, form) in _COLUMNS.items()
        if any(getattr(row.quality, name) is not None for row in rows)
    }
    cells = [
        [str(row.measurement), row.method, *(_cell(getattr(row.quality, name), form) for name, form in known.values())]
        for row in rows
    ]
    return markdown_table(["measurement", "method", *known], cells, "ll" + "r" * (len(known) - 1) + "l")


def save_csv(rows: Sequence[Row], path: Path) -> Path:
    """Write the rows to a file, all digits of them.

    Raises:
        FileWriteError: It cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    errors = any(row.error for row in rows)
    writer.writerow([*_HEAD, *["error"] * errors])
    for row in rows:
        values = [getattr(row.quality, name) for _, name, _ in _COLUMNS.values()]
        cells = ["" if value is None else value for value in values]
        writer.writerow([row.measurement, row.method, *cells, *[row.error] * errors])
    write_text(path, text.getvalue())
    return path


def is_table(path: Path) -> bool:
    """Whether a file is one that `save_csv` wrote."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return file.readline().startswith(",".join(_HEAD))


def _cell(value: float | str | None, form: str) -> str:
    return "–" if value is None else form.format(value)
