"""Observed frequencies against stated probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from posterior.errors import ShapeError
from posterior.figures.page import Page, Panel, house_style
from posterior.figures.panels import FRAME, plot_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from posterior.fairness.reliability import Reliability

_LINE, _BAR = "#0072B2", "#56B4E9"  # blue and sky blue of Okabe & Ito's colour-blind-safe palette
_COLUMNS, _PANEL = 5, 1.8


def reliability_figure(studies: Mapping[str, Reliability], names: Sequence[str], title: str = "") -> Figure:
    """Observed frequency over stated probability, a row for each method and a panel for each class.

    Points on the diagonal are right. Lines are 95 % intervals; the bars below say how often so much was stated.

    Args:
        studies: Results of `posterior.fairness.reliability`, by method.
        names: Names of the classes, (K,).
        title: Heading of the figure.

    Raises:
        ShapeError: There are not as many names as classes.
    """
    for method, found in studies.items():
        if len(found.stated) != len(names):
            raise ShapeError(f"{method}: {len(found.stated)} classes need as many names, got {len(names)}")
    with house_style():
        page = Page(min(_COLUMNS, max(3, len(names))), 1.0, panel=_PANEL)
        page.title(title)
        for method, found in studies.items():
            page.header(method, "bars: how often each was stated")
            panels: list[tuple[str, Panel]] = [(name, partial(_show, found, a)) for a, name in enumerate(names)]
            for start in range(0, len(panels), _COLUMNS):
                page.panels(panels[start : start + _COLUMNS])
        return page.figure()


def _show(found: Reliability, group: int, axes: Axes) -> str:
    count = found.count[group]
    some = (count > 0).nonzero()[:, 0].tolist()
    stated = found.stated[group, some].tolist()
    ends = [(float(found.observed.low[group, i]), float(found.observed.high[group, i])) for i in some]
    width = 1 / found.count.shape[1]
    heights = (0.25 * count / count.max().clamp_min(1)).tolist()
    axes.bar([(i + 0.5) * width for i in range(len(heights))], heights, width=0.9 * width, color=_BAR, alpha=0.5)
    axes.plot([0, 1], [0, 1], color=FRAME, linewidth=0.5)
    axes.vlines(stated, *zip(*ends, strict=True), color=_LINE, linewidth=0.8)
    axes.plot(stated, found.observed.value[group, some].tolist(), "o", color=_LINE, markersize=2.5)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    plot_axes(axes, "stated probability", "observed frequency")
    return f"{int(count.sum()):,} measurements\nhighest bar: {int(count.max()):,}"
