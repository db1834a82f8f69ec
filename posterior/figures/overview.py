"""Many measurements and what a method made of them, on one page."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from posterior.diagnostics.quality import quality
from posterior.errors import InvalidValueError
from posterior.figures.page import GAP, Page, Panel, house_style
from posterior.figures.panels import Range, legend, show_heat, show_picture, show_scale
from posterior.figures.parts import check_parts, colour_of, given_panels, measured_of, of_measurement, spread
from posterior.likelihoods import Likelihood
from posterior.results import PointEstimate, Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TILE, _BETWEEN, _APART, _LINE = 0.44, 0.03, 0.18, 0.15  # inches: a picture, between two, between groups, and a text
_WIDTH = 7.5  # inches of the page, more or less
_FONT = 6.0  # points


def overview_figure(
    truth: Tensor | None,
    measurement: Tensor,
    result: Samples | PointEstimate,
    value_range: Range = (-1.0, 1.0),
    title: str = "",
    num_measurements: int = 50,
    *,
    mask: Tensor | None = None,
    likelihood: Likelihood | None = None,
    ids: Sequence[int | str] | None = None,
) -> Figure:
    """Truth, measurement, mean or estimate and standard deviation of each of many measurements.

    Below each stand its id, its PSNR where the truth is known, its misfit, and the level of its verdict unless that is
    "sound". Standard deviations, averaged over channels, have one colour scale.

    Args:
        truth: True images (B, C, H, W), or None where they are unknown.
        measurement: Measurements (B, *measurement_shape).
        result: Samples (S, B, C, H, W) or estimates (B, C, H, W).
        value_range: Values shown as black and white; beyond them pictures saturate.
        title: Heading of the figure.
        num_measurements: How many measurements to show at the most, the first ones.
        mask: Where something was measured, as for `posterior_figure`.
        likelihood: What the measurements were made by, from which misfits are known.
        ids: Names of the measurements, 0 … B−1 unless given.

    Raises:
        ShapeError: Parts do not fit together, or images do not have 1, 2 or 3 channels.
        InvalidValueError: No measurements are to be shown, or the value range is empty.
        NotFiniteError: The result or the truth holds NaN or infinity.
    """
    aspect = check_parts(truth, measurement, {"result": result}, value_range, 1, 0)
    if num_measurements < 1:
        raise InvalidValueError(f"num_measurements is at least 1, got {num_measurements}")
    shown = min(len(measurement), num_measurements)
    names = range(shown) if ids is None else ids
    blocks = [of_measurement(result, b) if isinstance(result, Samples) else None for b in range(shown)]
    points = [result.x[b].detach().cpu() if block is None else block.mean()[0] for b, block in enumerate(blocks)]
    stds = [None if block is None else spread(block)[0] for block in blocks]
    known = [std for std in stds if std is not None]
    high = max((float(std.max()) for std in known), default=0.0) or 1.0

    heads = [*([] if truth is None else ["truth"]), "measured", "estimate" if blocks[0] is None else "mean"]
    heads += ["std"] if known else []
    group = len(heads) * (_TILE + _BETWEEN) - _BETWEEN
    rows = math.ceil(shown / max(1, round((_WIDTH + _APART) / (group + _APART))))
    columns = math.ceil(shown / rows)
    with house_style():
        page = Page(columns, aspect, panel=group + _APART - GAP)
        page.title(title)
        if shown < len(measurement):
            page.note(f"the first {shown} of {len(measurement):,} measurements")
        for column in range(columns):
            for i, head in enumerate(heads):
                left = column * (group + _APART) + i * (_TILE + _BETWEEN)
                page.text(left + _TILE / 2, page.cursor + 0.4 * _LINE, head, ha="center", fontsize=_FONT)
        top = page.cursor + _LINE
        for b in range(shown):
            column, row = divmod(b, rows)
            corner = column * (group + _APART), top + row * (_TILE * aspect + _LINE)
            panels: list[Panel] = [panel for _, panel in given_panels(truth, measurement, mask, value_range, b)]
            panels.append(partial(show_picture, points[b], value_range))
            panels += [] if (std := stds[b]) is None else [partial(show_heat, std, high, 1)]
            for i, panel in enumerate(panels):
                page.place((corner[0] + i * (_TILE + _BETWEEN), corner[1], _TILE, _TILE * aspect), panel)
            found = quality(result, b, measurement, truth=truth, likelihood=likelihood, value_range=value_range)
            words = [str(names[b]), *(part for part in found.parts() if part.startswith(("PSNR", "misfit")))]
            words += [found.verdict] if found.verdict not in (None, "sound") else []
            page.text(
                corner[0], corner[1] + _TILE * aspect + 0.45 * _LINE, " · ".join(words), fontsize=_FONT - 0.5,
                color=colour_of(found),
            )  # fmt: skip
        page.cursor = top + rows * (_TILE * aspect + _LINE)
        y = measurement[0].detach().cpu()
        page.text(page.width, page.cursor + 0.5 * _LINE, legend(y, measured_of(mask, y, 0)), fontsize=_FONT, ha="right")
        if known:
            page.place((_LINE, page.cursor + 0.04, group, 0.07), partial(show_scale, high, "standard deviation"), "")
        page.cursor += 0.38 if known else _LINE
        return page.figure()
