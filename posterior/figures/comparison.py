"""Many methods on one measurement, on one page."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from posterior.diagnostics.quality import Quality, quality
from posterior.figures.page import GAP, PALE, Page, Panel, house_style
from posterior.figures.panels import Range, show_heat, show_picture, show_scale
from posterior.figures.parts import check_parts, colour_of, evenly, given_panels, of_measurement, spread
from posterior.likelihoods import Likelihood
from posterior.results import PointEstimate, Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TILE, _NAMES, _LINE = 0.85, 1.6, 0.135  # inches: a picture, room for what is said of a method, and from line to line
_GIVEN = 1.3  # inches: width of the truth and of the measurement
_LETTERS = 24  # of a name, a line


def comparison_figure(
    truth: Tensor | None,
    measurement: Tensor,
    results: Mapping[str, Samples | PointEstimate],
    value_range: Range = (-1.0, 1.0),
    title: str = "",
    num_samples: int = 5,
    *,
    mask: Tensor | None = None,
    likelihood: Likelihood | None = None,
    index: int = 0,
) -> Figure:
    """A row a method: what is to be said of it, its mean or estimate, standard deviation, error, and some samples.

    Standard deviations and errors, both averaged over channels, have one colour scale for all methods.

    Args:
        truth: True images (B, C, H, W), or None where they are unknown.
        measurement: Measurements (B, *measurement_shape).
        results: Samples (S, B, C, H, W) or estimates (B, C, H, W) of each method, by name.
        value_range: Values shown as black and white; beyond them pictures saturate.
        title: Heading of the figure.
        num_samples: How many samples to show, evenly spaced among all.
        mask: Where something was measured, as for `posterior_figure`.
        likelihood: What the measurements were made by, from which misfits are known.
        index: Which of the B measurements to show.

    Raises:
        ShapeError: Parts do not fit together, or images do not have 1, 2 or 3 channels.
        InvalidValueError: No measurement has that index, there are no results, or the value range is empty.
        NotFiniteError: A result or the truth holds NaN or infinity.
    """
    aspect = check_parts(truth, measurement, results, value_range, num_samples, index)
    blocks = {name: of_measurement(part, index) for name, part in results.items() if isinstance(part, Samples)}
    points = {
        name: blocks[name].mean()[0] if name in blocks else part.x[index].detach().cpu()
        for name, part in results.items()
    }
    maps = {name: [spread(blocks[name])[0] if name in blocks else None] for name in results}
    if truth is not None:
        for name, point in points.items():
            maps[name].append((point - truth[index].detach().cpu()).abs().mean(0))
    high = max((float(heat.max()) for heats in maps.values() for heat in heats if heat is not None), default=0.0) or 1.0
    heads = ["mean" if len(blocks) == len(results) else "mean, MAP", "std", *([] if truth is None else ["|error|"])]
    judge = partial(quality, index=index, y=measurement, truth=truth, likelihood=likelihood, value_range=value_range)
    with house_style():
        page = Page(len(heads) + (num_samples if blocks else 0), aspect, panel=_TILE, margin=_NAMES)
        page.title(title)
        page.panels(given_panels(truth, measurement, mask, value_range, index), _GIVEN)
        for column, head in enumerate([*heads, *(["samples"] if blocks else [])]):
            page.text(_left(column) + _TILE / 2, page.cursor, head, ha="center")
        page.cursor += 0.7 * _LINE
        for name, part in results.items():
            row: list[Panel | None] = [partial(show_picture, points[name], value_range)]
            row += [None if heat is None else partial(show_heat, heat, high, 1) for heat in maps[name]]
            if name in blocks:
                shown = blocks[name].x[evenly(len(blocks[name]), num_samples), 0]
                row += [partial(show_picture, x, value_range) for x in shown]
            for column, panel in enumerate(row):
                if panel is not None:
                    page.place((_left(column), page.cursor, _TILE, _TILE * aspect), panel)
            page.cursor += max(_TILE * aspect, _describe(page, name, judge(part))) + GAP
        wide = (len(heads) - 1) * (_TILE + GAP) - GAP
        page.place((_left(1), page.cursor, wide, 0.07), partial(show_scale, high, " and ".join(heads[1:])), "")
        page.cursor += 0.35
        return page.figure()


def _left(column: int) -> float:
    return _NAMES + column * (_TILE + GAP)


def _describe(page: Page, name: str, found: Quality) -> float:
    """Say what is to be said of a method, from the page's cursor downwards; the height that this takes."""
    lines = [(text, {"fontweight": "bold"}) for text in textwrap.wrap(name, _LETTERS)]
    lines += [(text, {"color": PALE}) for text in found.parts()]
    lines += [(found.verdict, {"color": colour_of(found)})] if found.verdict else []
    for row, (text, style) in enumerate(lines):
        page.text(0.0, page.cursor + (row + 0.6) * _LINE, text, fontsize=7, **style)
    return len(lines) * _LINE
