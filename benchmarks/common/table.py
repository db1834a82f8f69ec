"""What the benchmarks share: arguments, Markdown tables, bootstrap intervals."""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike

DOCS = Path(__file__).resolve().parents[2] / "docs/measured"


def run(main: Callable[[bool], str], path: str, description: str) -> None:
    """Parse arguments, run `main(quick)`, print its Markdown, and write it to docs/measured/ unless quick."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a smoke run of seconds; writes nothing")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    start = time.perf_counter()
    text = main(arguments.quick)
    machine = f"{arguments.threads} threads of {platform.machine()}, torch {torch.__version__.split('+')[0]}"
    text += f"\n\nMeasured in {(time.perf_counter() - start) / 60:.1f} minutes on {machine}.\n"
    print(text)
    if not arguments.quick:
        (DOCS / path).write_text(text, encoding="utf-8")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column to the left and the others to the right."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [list(header), rule, *map(list, rows)])


def bootstrap(values: ArrayLike, resamples: int = 4000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean."""
    array = np.asarray(values, dtype=float)
    generator = np.random.default_rng(0)
    means = generator.choice(array, (resamples, len(array))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
