"""Gaps and recalls of groups, on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from posterior.errors import InvalidValueError
from posterior.figures.page import SMALL_LETTER, Page, Panel, house_style
from posterior.figures.panels import FRAME, plot_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from posterior.fairness.report import FairnessReport, Finding

# Okabe & Ito's colour-blind-safe palette; marks tell groups apart in print. Of many groups colours come again with
# other marks.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼", "P": "✚", "X": "✖", "*": "★", "<": "◀", ">": "▶"}
_COLUMNS, _PANEL = 4, 2.0  # inches
_MARGIN, _BAND = 0.05, "#DDDDDD"
_LETTER, _TICK = 0.052, 0.08  # inches: width of a letter of a method's name, and of its tick


def fairness_figure(report: FairnessReport, title: str = "") -> Figure:
    """Each method's gaps by group with their 95 % intervals, problem by problem.

    Three blocks: PR gaps, P(X̂ ∈ a) − P(X ∈ a), positive where a group is made too often; recalls, P(X̂ ∈ a | X ∈ a);
    and CPR gaps, where P(X ∈ a | y) is known or estimated. The grey band is ±0.05. Each block has one scale.

    Args:
        report: The findings of a study.
        title: Heading of the figure.

    Raises:
        InvalidValueError: There is nothing to show.
    """
    if not report.findings:
        raise InvalidValueError("there are no findings to show")
    problems = _by_problem(report.findings)
    signs = list(_MARKS.values())
    legend = [(f"{signs[a % len(signs)]} {name}", _COLOURS[a % len(_COLOURS)]) for a, name in enumerate(report.groups)]
    methods = _methods(report.findings)
    with house_style():
        columns = math.ceil(len(problems) / math.ceil(len(problems) / _COLUMNS))  # rows as even as can be
        # names of problems stand above panels, those of methods left of the first
        panel = max(_PANEL if columns > 1 else 2 * _PANEL, SMALL_LETTER * max(map(len, problems)))
        page = Page(
            columns, _height(methods, report.groups) / panel, panel, margin=_LETTER * max(map(len, methods)) + _TICK
        )
        page.title(title)
        page.legend(legend)
        for heading, note, which in (
            ("PR gap", "P(X̂ ∈ a) − P(X ∈ a)", "representation"),
            ("Recall", "P(X̂ ∈ a | X ∈ a)", "recall"),
            ("CPR gap", "rms of P(X̂ ∈ a | y) − P(X ∈ a | y)", "conditional"),
        ):
            known = [one for one in report.findings if getattr(one.fairness, which) is not None]
            shown = _by_problem(known)
            if shown:
                page.header(heading, note)
                draw = partial(_show, which=which, label=heading, limits=_limits(shown, which), methods=_methods(known))
                panels: list[tuple[str, Panel]] = [
                    (name, partial(draw, found, i % columns == 0)) for i, (name, found) in enumerate(shown.items())
                ]
                for start in range(0, len(panels), columns):
                    page.panels(panels[start : start + columns])
        return page.figure()


def _by_problem(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    problems: dict[str, list[Finding]] = {}
    for one in findings:
        problems.setdefault(one.problem, []).append(one)
    return problems


def _methods(findings: Sequence[Finding]) -> list[str]:
    return list(dict.fromkeys(one.method for one in findings))


def _show(
    found: list[Finding],
    named: bool,
    axes: Axes,
    *,
    which: str,
    label: str,
    limits: tuple[float, float],
    methods: Sequence[str],
) -> str:
    """Draw a line a method, its groups beside each other, with the methods' names if the panel is the first."""
    if which != "recall":
        axes.axvspan(-_MARGIN, _MARGIN, color=_BAND, linewidth=0)
        axes.axvline(0, color=FRAME, linewidth=0.5)
    marks = list(_MARKS)
    for one in found:
        row = methods.index(one.method)
        gaps = getattr(one.fairness, which)
        count = len(gaps.value)
        for a in range(count):
            height = row + 0.7 * ((a + 0.5) / count - 0.5)
            colour, mark = _COLOURS[a % len(_COLOURS)], marks[a % len(marks)]
            axes.hlines(height, float(gaps.low[a]), float(gaps.high[a]), color=colour, linewidth=1)
            axes.plot(float(gaps.value[a]), height, mark, color=colour, markersize=3.6, markeredgewidth=0)
    axes.set(xlim=limits, ylim=(len(methods) - 0.5, -0.5))
    plot_axes(axes, label, "")
    axes.set_yticks(range(len(methods)), methods if named else [""] * len(methods))
    return ""


def _limits(problems: dict[str, list[Finding]], which: str) -> tuple[float, float]:
    if which == "recall":
        return -0.03, 1.03
    parts = [getattr(one.fairness, which) for found in problems.values() for one in found]
    low, high = min(float(p.low.min()) for p in parts), max(float(p.high.max()) for p in parts)
    low, high = min(low, -0.07), max(high, 0.07)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _height(methods: Sequence[str], groups: Sequence[str]) -> float:
    """Of a panel, in inches: a fifth a method, and more for more than three groups."""
    return 0.2 * max(1.0, len(groups) / 3) * len(methods) + 0.1
