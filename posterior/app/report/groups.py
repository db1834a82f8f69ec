"""What a page says of groups: how well each is reconstructed, and whether it is represented."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from posterior.app.report.source import Source
from posterior.app.table import Row
from posterior.fairness import Interval, by_group, fairness

_MEASURES = {
    "PSNR (dB)": ("psnr", "{:.1f}"),
    "90 % coverage": ("coverage", "{:.0%}"),
    "misfit (σ)": ("misfit", "{:.2f}"),
}
_FEWEST = 10  # members that a bootstrap needs
_RESAMPLED = 20_000_000  # measurements of all resamples together

Cells = list[dict[str, Any] | None]


def groups(source: Source, rows: Sequence[Row]) -> dict[str, Any] | None:
    """What methods do to groups, as JSON has it, with 95 % intervals; None where there are no groups.

    All measurements that are answered count, whether a page shows them or not.

    Args:
        source: The results.
        rows: What is known of each measurement and method.
    """
    if not source.groups:
        return None
    truth = source.memberships("groups")
    found = {
        name: _errors(truth, [row for row in rows if row.method == name])
        | _representation(source, truth, f"{name}/groups")
        for name in source.methods
    }
    if source.has("classified"):
        found["True images"] = _representation(source, truth, "classified")
    heads = [head for head in (*_MEASURES, "PR gap", "recall") if any(head in one for one in found.values())]
    counts = truth.nansum(0)
    return {
        "names": source.groups,
        "counts": [f"{count:.0f} ({count / counts.sum():.0%})" for count in counts.tolist()],
        "heads": heads,
        "scales": [_scale(head, [cell for one in found.values() for cell in one.get(head, [])]) for head in heads],
        "methods": [
            {"name": name, "words": one.get("words", ""), "cells": [one.get(head) for head in heads]}
            for name, one in found.items()
        ],
        "notes": _notes(source, counts),
    }


def _errors(truth: Tensor, rows: Sequence[Row]) -> dict[str, Cells]:
    """Cells of the means of a method's figures over each group."""
    found = {}
    for head, (name, form) in _MEASURES.items():
        values = [getattr(row.quality, name) for row in rows]
        known = torch.tensor([value is not None for value in values])
        if bool(known.any()):
            some = torch.tensor([value for value, there in zip(values, known.tolist(), strict=True) if there])
            found[head] = _cells(by_group(some, truth[known], resamples=_resamples(some)), form, truth[known].sum(0))
    return found


def _representation(source: Source, truth: Tensor, name: str) -> dict[str, Any]:
    """Cells of who is in the reconstructions that an array is of, and its gaps in words."""
    if not source.has(name):
        return {}
    made = source.memberships(name)
    known = ~(truth + made).isnan().any(1)
    truth, made = truth[known], made[known]
    if len(truth) < 2:
        return {}
    # two halves of a method's draws need not be independent: what takes two runs, CPR and calibration gaps, is left out
    found = fairness(truth, made, made, resamples=_resamples(truth))
    pairs = list(combinations(source.groups, 2))
    one, other = pairs[int(found.symmetry.value.abs().argmax())]
    words = f"RDP gap {found.parity}; largest SPE gap {found.symmetry.worst()}"
    return {
        "PR gap": _cells(found.representation, "{:+z.3f}"),
        "recall": _cells(found.recall, "{:.3f}", truth.sum(0)),
        "words": f"{words.replace('-', '−')}, {other} for {one}",
    }


def _cells(interval: Interval, form: str, counts: Tensor | None = None) -> Cells:
    """A cell for each group, None where there is nothing to tell; a mean over one member has no interval.

    Args:
        interval: The figures (K,).
        form: How a figure is written.
        counts: Of means over members, how many these are, (K,).
    """
    cells: Cells = []
    for k, value in enumerate(interval.value):
        ends = [float(end) for end in (interval.low[k], value, interval.high[k])]
        low, middle, high = (form.format(end).replace("-", "−") for end in ends)
        text = middle if counts is not None and counts[k] < 2 else f"{middle} [{low}, {high}]"
        cells.append(None if any(map(math.isnan, ends)) else {"text": text, "ends": ends})
    return cells


def _scale(head: str, cells: Cells) -> list[float]:
    """The ends of what a column is drawn over."""
    if head in ("90 % coverage", "recall"):
        return [0.0, 1.0]
    ends = [end for cell in cells if cell for end in cell["ends"]] or [0.0]
    low, high = min(ends), max(ends)
    if head == "PR gap":
        low, high = min(low, -0.05), max(high, 0.05)
    margin = 0.05 * (high - low) or 1.0
    return [low - margin, high + margin]


def _notes(source: Source, counts: Tensor) -> list[str]:
    classifier = source.settings.get("classifier")
    if classifier is None:
        who = "Labels say who is in a true image. Who is in a reconstruction a classifier would say: name one."
    elif source.has("classified"):
        who = f"Labels say who is in a true image, and the classifier {classifier} who is in a reconstruction."
        who += " It errs: how much is shown by what it makes of the true images."
    else:
        who = f"The classifier {classifier} says who is in an image, true or not, and no better than its card says."
    notes = [who, "All measurements that are answered count. Intervals are of 95 %, by a bootstrap over measurements."]
    if any(source.has(f"{name}/groups") for name in source.methods):
        notes.append(
            "PR gap: the share of a group among reconstructions, less that among true images. Recall: the share of the "
            "true images of a group that are reconstructed as such; the RDP gap is the largest less the smallest. SPE "
            "gap: how much more often one group is turned into another than the other way round."
        )
    few = [name for name, count in zip(source.groups, counts.tolist(), strict=True) if count < _FEWEST]
    if few:
        notes.append(f"There are fewer than {_FEWEST} of {', '.join(few)}: these intervals are too narrow.")
    return notes


def _resamples(values: Tensor) -> int:
    """As many as there is memory for, 2,000 at most."""
    return min(2000, max(200, _RESAMPLED // len(values)))
