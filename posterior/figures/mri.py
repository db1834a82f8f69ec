"""What was made of one slice of a scan, on one page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.figures.page import ALARM, PALE, Page, Panel, house_style
from posterior.figures.panels import number, show_heat, show_measurement, show_picture
from posterior.figures.parts import FEWEST, GAUSSIAN_WIDTH, LEVEL, evenly
from posterior.reconstruction import Reconstruction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WHITE = 0.995  # quantile of the mean that is shown as white


def mri_figure(
    one: Reconstruction, title: str = "", others: Mapping[str, Tensor] | None = None, num_samples: int = 4
) -> Figure:
    """Zero-filled image, posterior mean, spread, samples and k-space of one slice, images as magnitudes.

    Pictures have one scale of grey, in the unit of the file; the colours of standard deviation and interval stand in
    the ratio 1 : 3.29, so that a Gaussian posterior looks the same in both, and reach to the largest value where a coil
    sees the image.

    Args:
        one: The slice, as `reconstruct` yields it.
        title: Heading of the figure.
        others: Images (2, H, W) of other methods, by name.
        num_samples: How many samples to show.

    Raises:
        InvalidValueError: num_samples < 1.
    """
    if num_samples < 1:
        raise InvalidValueError(f"num_samples is at least 1, got {num_samples}")
    prepared, mean, draws = one.prepared, one.mean(), one.draws
    white = float(mean.flatten().quantile(_WHITE)) or 1.0
    std = one.std() if len(draws) > 1 else None
    width = None
    if len(draws) >= FEWEST:
        lower, upper = one.interval(LEVEL)
        width = upper - lower
    seen = prepared.maps.abs().sum(0) > 0  # elsewhere the spread is the prior's
    spreads = [part[seen] for part in (std, None if width is None else width / GAUSSIAN_WIDTH) if part is not None]
    scale = max((float(part.max()) for part in spreads), default=0.0) or 1.0

    def picture(image: Tensor, caption: str = "") -> Panel:
        return partial(show_picture, image[None], (0.0, white), caption=caption)

    captions = f"black 0\nwhite {number(white)}", f"true R {prepared.acceleration:.2g}"
    measured = prepared.mask.expand(prepared.y.shape)
    upper_row: list[tuple[str, Panel]] = [
        ("zero-filled", picture(_magnitude(prepared.zero_filled()), captions[0])),
        *((name, picture(_magnitude(image))) for name, image in (others or {}).items()),
        ("posterior mean", picture(mean)),
        ("standard deviation", partial(show_heat, std, scale, 2)),
        ("width of 90 % interval", partial(show_heat, width, GAUSSIAN_WIDTH * scale, FEWEST)),
    ]
    chosen = evenly(len(draws), num_samples).tolist()
    lower_row = [(f"sample {i + 1} of {len(draws)}", picture(draws[i])) for i in chosen]
    lower_row.append(("k-space", partial(_kspace, prepared.y, measured, captions[1])))
    colour = ALARM if one.verdict.level in ("doubtful", "not the posterior") else PALE
    with house_style():
        page = Page(max(len(upper_row), len(lower_row)), mean.shape[0] / mean.shape[1])
        page.title(title)
        page.note(f"misfit {one.misfit:.2f} σ · network calls {one.calls:,.0f} · {one.verdict.level}", colour)
        page.panels(upper_row)
        page.panels(lower_row)
        return page.figure()


def _kspace(y: Tensor, measured: Tensor, caption: str, axes: Axes) -> str:
    return f"{show_measurement(y, measured, (-1.0, 1.0), axes)}\n{caption}"


def _magnitude(image: Tensor) -> Tensor:
    return torch.linalg.vector_norm(image, dim=0)
