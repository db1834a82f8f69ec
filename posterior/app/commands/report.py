"""The command that shows the results of a job on one page: `posterior report`."""

from __future__ import annotations

from pathlib import Path

from posterior.app.report.report import report as make_report
from posterior.app.report.source import Source
from posterior.io.writing import check_writable, write_text


def report(
    results: Path, *, out: Path = Path("report.html"), ids: list[int] | None = None, allow_code: bool = False
) -> None:
    """Show what posterior run made on one page, which a browser opens without a server and without a network.

    Args:
        results: Folder of the results.
        out: File of the page.
        ids: Measurements to show, as in [3,17]; the first hundred unless given.
        allow_code: Whether the operator may be a function of a Python file, which is run.
    """
    check_writable(out)
    text, notes = make_report(Source(results, allow_code=allow_code), ids)
    write_text(out, text)
    print(f"saved to {out}: {len(text.encode()) / 1e6:.1f} MB")
    for note in notes:
        print(f"  {note}")
