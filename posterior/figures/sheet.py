"""Images side by side, such as samples of a prior."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.figures.page import Page, house_style
from posterior.figures.panels import Range, check_range

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def sample_sheet(
    images: Tensor, value_range: Range = (-1.0, 1.0), columns: int | None = None, title: str = ""
) -> Figure:
    """Images side by side, row after row.

    Args:
        images: Images (N, C, H, W) with 1, 2 or 3 channels.
        value_range: Values shown as black and white; beyond them pictures saturate.
        columns: Images a row; as many as rows unless given.
        title: Heading of the figure.

    Raises:
        ShapeError: images is not such a batch.
        InvalidValueError: columns < 1, or the value range is empty.
    """
    if images.ndim != 4 or 0 in images.shape or images.shape[1] not in (1, 2, 3):
        raise ShapeError(f"images has shape {tuple(images.shape)}; expected (N, C, H, W) with 1, 2 or 3 channels")
    if columns is not None and columns < 1:
        raise InvalidValueError(f"columns is at least 1, got {columns}")
    check_range(value_range)
    columns = min(len(images), columns or math.ceil(math.sqrt(len(images))))
    with house_style():
        page = Page(columns, images.shape[2] / images.shape[3], panel=max(0.7, 2.6 / columns))
        page.title(title)
        page.tiles(0.0, images, columns, page.panel, value_range)
        return page.figure()
