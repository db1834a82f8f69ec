"""Pages of measurements: their parts in one order, and the command that writes them under docs/measured/."""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

DOCS = Path(__file__).resolve().parents[2] / "docs/measured"


def page(title: str, finding: str, parts: Sequence[str], doc: str) -> str:
    """Return a page in Markdown: what was found, in two sentences, the tables and figures, and how they were measured.

    Args:
        title: A noun.
        finding: What a full run found.
        parts: Sections, tables and paragraphs.
        doc: A docstring that says how it was measured; its first paragraph, which says what, is left out.
    """
    method = doc.split("\n\n", 1)[1].strip()
    return "\n\n".join([f"# {title}", finding, *parts, "## How it was measured", method])


def met_or_missed(holds: bool) -> str:
    """Whether a target is met, in a word."""
    return "met" if holds else "MISSED"


def run(main: Callable[[bool], str], path: str, description: str) -> None:
    """Parse arguments, run `main(quick)`, print its Markdown, and write it to docs/measured/ unless quick."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds; writes nothing")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    text = main(arguments.quick)
    minutes, threads = (time.perf_counter() - start) / 60, f"{arguments.threads} thread{'s'[: arguments.threads != 1]}"
    text += (
        f"\n\nMeasured by `python -m {sys.modules['__main__'].__spec__.name}` in {minutes:.1f} minutes on {threads} of "
        f"{platform.machine()}, torch {torch.__version__.split('+')[0]}.\n"
    )
    print(text)
    if not arguments.quick:
        (DOCS / path).write_text(text, encoding="utf-8")
