"""How far a calibration study's curves are from the diagonal, on one page."""

from __future__ import annotations

import textwrap
from functools import partial
from typing import TYPE_CHECKING

from posterior.diagnostics.calibration_table import Calibration, Check
from posterior.errors import InvalidValueError
from posterior.figures.page import Page, house_style
from posterior.figures.panels import FRAME, plot_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 5
_PANEL = 1.8  # inches
_CALM, _FAULT = "#0072B2", "#D55E00"  # blue and vermilion of Okabe & Ito's colour-blind-safe palette
_BAND = "#DDDDDD"
_LETTERS = 28  # of a caption, a line


def calibration_figure(calibration: Calibration, title: str | None = None) -> Figure:
    """The curves of a study less the diagonal, which exact samples follow within the grey band in 95 % of studies.

    First row: distribution functions of the ranks of each functional. A curve above zero on the left and below it on
    the right means that samples are too narrow, the reverse that they are too wide, one sign that they are too high
    (above) or too low. Second row: expected coverage after TARP, and coverage of the joint region and of the pixels'
    intervals; a curve below zero says that regions hold the truth less often than they claim. Curves are vermilion
    where the study finds a fault, all checks taken together, and p-values are adjusted for that.
    One scale serves each block.

    Args:
        calibration: The result of `posterior.diagnostics.calibrate`.
        title: Heading of the figure; the study's own unless given.

    Raises:
        InvalidValueError: The study has no checks.
    """
    ranks = [check for check in calibration.checks if check.kind == "rank"]
    regions = [check for check in calibration.checks if check.kind != "rank"]
    if not calibration.checks:
        raise InvalidValueError("the study has no checks to show")
    rows = [ranks[i : i + _COLUMNS] for i in range(0, len(ranks), _COLUMNS)]
    with house_style():
        page = Page(max(3, min(_COLUMNS, len(ranks))), 1.0, panel=_PANEL)
        page.title(calibration.title if title is None else title)
        for heading, labels, group in (
            ("Ranks of the truth", ("rank of the truth", "distribution − uniform"), rows),
            ("Coverage", ("nominal coverage", "observed − nominal"), [regions] if regions else []),
        ):
            scale = _scale([check for row in group for check in row])
            if group:
                page.header(heading, "grey: 95 % of studies of exact samples")
            for row in group:
                page.panels([(check.name, partial(_show, check, scale, labels)) for check in row])
        return page.figure()


def _show(check: Check, scale: float, labels: tuple[str, str], axes: Axes) -> str:
    """Draw a curve less the diagonal; the caption is the finding of the check."""
    colour = _CALM if check.passed else _FAULT
    levels = check.levels.numpy()
    lower, upper, curve = ((part - check.levels).numpy() for part in (check.lower, check.upper, check.observed))
    axes.fill_between(levels, lower, upper, color=_BAND, linewidth=0)
    axes.axhline(0, color=FRAME, linewidth=0.5)
    axes.plot(levels, curve, color=colour, linewidth=1.1)
    axes.set(xlim=(0, 1), ylim=(-scale, scale))
    plot_axes(axes, *labels)
    p = f"p = {check.adjusted:.2g}"
    return p if check.passed else "\n".join([p, *textwrap.wrap(check.reading(), _LETTERS)])


def _scale(checks: list[Check]) -> float:
    """Half the height of the axes: all curves and bands, and a little more."""
    parts = [part - check.levels for check in checks for part in (check.observed, check.lower, check.upper)]
    return 1.1 * max((float(part.abs().max()) for part in parts), default=1.0)
