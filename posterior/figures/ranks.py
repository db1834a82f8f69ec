"""How often readers gave each method each rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from posterior.errors import InvalidValueError
from posterior.figures.page import Page, Panel, house_style
from posterior.figures.panels import plot_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS, _PANEL = 3, 2.4  # inches
_LETTER, _BAR, _AROUND = 0.062, 0.24, 0.4  # inches: width of a letter, height of a bar, of ticks and label
_NARROWEST = 0.06  # share in which a rank can be written


def ranks_figure(groups: Mapping[str, Mapping[str, Sequence[float]]]) -> Figure:
    """A bar for each method, divided by the shares of its ranks, from the best at the left; a panel for each group.

    Args:
        groups: For each group of images and each method, the shares of rank 1, 2, ….

    Raises:
        InvalidValueError: There is nothing to show.
    """
    if not groups:
        raise InvalidValueError("there are no ranks to show")
    methods = list(next(iter(groups.values())))
    columns = min(_COLUMNS, len(groups))
    with house_style():
        aspect = (_AROUND + _BAR * len(methods)) / _PANEL
        page = Page(columns, aspect, _PANEL, margin=_LETTER * max(map(len, methods)) + 0.1)
        page.note("shares of readings by rank; 1 is best")
        panels: list[tuple[str, Panel]] = [
            (name, partial(_show, shares, number % columns == 0))
            for number, (name, shares) in enumerate(groups.items())
        ]
        for start in range(0, len(panels), columns):
            page.panels(panels[start : start + columns])
        return page.figure()


def _show(shares: Mapping[str, Sequence[float]], named: bool, axes: Axes) -> str:
    import matplotlib

    for row, of_method in enumerate(shares.values()):
        shades = matplotlib.colormaps["Blues_r"](np.linspace(0.15, 0.85, len(of_method)))
        left = 0.0
        for rank, share in enumerate(of_method, 1):
            axes.barh(row, share, 0.8, left, color=shades[rank - 1])
            if share >= _NARROWEST:
                ink = "white" if rank <= len(of_method) / 2 else "black"
                axes.text(left + share / 2, row, str(rank), ha="center", va="center_baseline", color=ink, fontsize=7)
            left += share
    plot_axes(axes, "share", "")
    axes.set(xlim=(0, 1), yticks=range(len(shares)), yticklabels=list(shares) if named else [])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return ""
