"""Pages: rows of panels with their texts, laid out and written to a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from posterior.errors import FileFormatError
from posterior.figures.panels import FRAME, Range, show_picture
from posterior.io.writing import atomic_write

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

# A panel draws into axes and returns a caption, or the picture that needs a colour bar.
Panel = Callable[["Axes"], "str | AxesImage"]
Box = tuple[float, float, float, float]  # left, top or bottom, width, height

_PANEL, GAP, _SIDE = 1.45, 0.09, 0.12  # inches: width of a panel, between panels, around all
_TICKS = 0.44, 0.32  # inches left of a plot and below it: ticks and the label of an axis
_END = 0.1  # inches beside a plot: half of the last tick's number
_TITLE, _HEADER, _LABEL, _CAPTION = 0.28, 0.24, 0.19, 0.36  # inches: heights of the bands of text
_LETTER, SMALL_LETTER = 0.088, 0.072  # inches: width of a title's letter and of other text's, more or less
_SMALL = 7.5  # points: captions
_DPI = 200
_INK, PALE, ALARM = "#1a1a1a", "#666666", "#D55E00"  # the last is vermilion of Okabe & Ito's palette
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.edgecolor": FRAME,
    "axes.facecolor": "white",
    "axes.linewidth": 0.5,
    "figure.facecolor": "white",
    "text.color": _INK,
    "text.usetex": False,
    "text.parse_math": False,
    "svg.hashsalt": "posterior",
}


class Page:
    """A figure that grows downwards in rows of panels; lengths are in inches from the top left corner."""

    def __init__(self, columns: int, aspect: float, panel: float = _PANEL, margin: float = 0.0) -> None:
        self.aspect, self.panel, self.margin = aspect, panel, margin
        self.width = margin + columns * (panel + GAP) - GAP
        self.cursor = 0.0
        self._parts: list[tuple[Box, Panel, str | None]] = []
        self._texts: list[tuple[float, float, str, dict[str, Any]]] = []

    def title(self, text: str) -> None:
        if text:
            self.width = max(self.width, _LETTER * len(text))
            self.text(0.0, self.cursor + 0.4 * _TITLE, text, fontsize=10.5, fontweight="bold")
            self.cursor += _TITLE

    def note(self, text: str, colour: str = PALE) -> None:
        """A line below the title."""
        if text:
            self.width = max(self.width, SMALL_LETTER * len(text))
            self.text(0.0, self.cursor + 0.4 * _LABEL, text, color=colour)
            self.cursor += _LABEL

    def header(self, name: str, note: str, colour: str = PALE) -> None:
        self.text(0.0, self.cursor + 0.55 * _HEADER, name, fontsize=9.5, fontweight="bold")
        self.text(self.width, self.cursor + 0.55 * _HEADER, note, ha="right", color=colour)
        self.cursor += _HEADER

    def legend(self, entries: Sequence[tuple[str, str]]) -> None:
        """Texts in colours of their own beside each other, in as many lines as it takes."""
        left = 0.0
        for text, colour in entries:
            wide = SMALL_LETTER * (len(text) + 3)
            if left and left + wide > self.width:
                left, self.cursor = 0.0, self.cursor + _LABEL
            self.text(left, self.cursor + 0.5 * _LABEL, text, color=colour)
            left += wide
        self.cursor += _LABEL if entries else 0.0

    def panels(self, panels: list[tuple[str, Panel]], wide: float | None = None) -> None:
        """A row of panels, as wide as the page's unless told, with their labels above and captions below."""
        top, wide = self.cursor + _LABEL, wide or self.panel
        for column, (label, panel) in enumerate(panels):
            self.place((self.margin + column * (wide + GAP), top, wide, wide * self.aspect), panel, label)
        self.cursor = top + wide * self.aspect + _CAPTION

    def band_of_tiles(self, label: str, images: Tensor, value_range: Range) -> None:
        """Tiles of about half a panel, over the full width."""
        half = 2 * round((self.width + GAP) / (self.panel + GAP))
        rows = 1 if len(images) <= 1.25 * half else math.ceil(len(images) / half)
        columns = math.ceil(len(images) / rows)
        tile = min(0.75 * self.panel, (self.width + GAP) / columns - GAP)
        self._label((columns * (tile + GAP) - GAP) / 2, label)
        self.cursor += _LABEL
        self.tiles(0.0, images, columns, tile, value_range)

    def tiles_beside(self, column: int, label: str, images: Tensor, value_range: Range) -> None:
        """Tiles, as large as they can be, beside the row of panels that comes next."""
        left, count, top = column * (self.panel + GAP), len(images), self.cursor
        sizes = {}
        for rows in range(1, count + 1):
            across = (self.width - left + GAP) / math.ceil(count / rows) - GAP
            down = ((self.panel * self.aspect + GAP) / rows - GAP) / self.aspect
            sizes[rows] = min(across, down)
        rows = max(sizes, key=lambda r: sizes[r])
        columns = math.ceil(count / rows)
        self._label(left + (columns * (sizes[rows] + GAP) - GAP) / 2, label)
        self.cursor += _LABEL
        self.tiles(left, images, columns, sizes[rows], value_range)
        self.cursor = top

    def tiles(self, left: float, images: Tensor, columns: int, tile: float, value_range: Range) -> None:
        """A grid of images, `tile` wide each."""
        for i, image in enumerate(images):
            row, column = divmod(i, columns)
            corner = left + column * (tile + GAP), self.cursor + row * (tile * self.aspect + GAP)
            self.place((*corner, tile, tile * self.aspect), partial(show_picture, image, value_range))
        self.cursor += math.ceil(len(images) / columns) * (tile * self.aspect + GAP) - GAP

    def place(self, box: Box, panel: Panel, label: str | None = None) -> None:
        """A panel anywhere: with its label, and with a caption or a colour bar below; without these if it is None."""
        self._parts.append((box, panel, label))

    def text(self, left: float, top: float, text: str, **style: Any) -> None:
        """A text anywhere; `top` is the middle of its letters."""
        self._texts.append((left, top, text, style))

    def figure(self) -> Figure:
        from matplotlib.figure import Figure

        width, height = self.width + 2 * _SIDE, self.cursor + 2 * _SIDE
        figure = Figure(figsize=(width, height), dpi=_DPI)

        def box(left: float, top: float, wide: float, tall: float) -> Box:
            return (left + _SIDE) / width, 1 - (top + tall + _SIDE) / height, wide / width, tall / height

        for (left, top, wide, tall), panel, label in self._parts:
            axes = figure.add_axes(box(left, top, wide, tall))
            axes.set(xticks=[], yticks=[])
            shown = panel(axes)
            if label is None:
                axes.set(xticks=[], yticks=[], xlabel="", ylabel="")
            # ticks take room within the panel, or below it where there is no caption
            end = _END if axes.get_xlabel() else 0.0
            ticks = _TICKS[0] if axes.get_ylabel() else end
            below = _TICKS[1] if axes.get_xlabel() and shown else 0.0
            axes.set_position(box(left + ticks, top, wide - ticks - end, tall - below))
            middle = left + (wide + ticks - end) / 2
            if label:
                x, y, *_ = box(middle, top - 0.5 * _LABEL, 0, 0)
                figure.text(x, y, label, ha="center", va="center_baseline")
            if isinstance(shown, str) and label is not None:
                x, y, *_ = box(middle, top + tall + 0.04, 0, 0)
                figure.text(x, y, shown, ha="center", va="top", fontsize=_SMALL, color=PALE, linespacing=1.1)
            elif not isinstance(shown, str) and label is not None:
                _colour_bar(figure, box(left, top + tall + 0.05, wide, 0.06), shown)
        for left, top, text, style in self._texts:
            x, y, *_ = box(left, top, 0, 0)
            figure.text(x, y, text, va="center_baseline", **style)
        return figure

    def _label(self, centre: float, text: str) -> None:
        self.text(centre, self.cursor + 0.5 * _LABEL, text, ha="center")


def house_style() -> AbstractContextManager[None]:
    """The look of every page, while it is laid out and while it is written."""
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the ending of the path (.png, .pdf, .svg …) says how. Equal figures give equal files.

    Raises:
        FileFormatError: The ending is not one that matplotlib writes.
        FileWriteError: The file cannot be written.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    kinds = figure.canvas.get_supported_filetypes()
    if kind not in kinds:
        raise FileFormatError(f"{path} does not end in a format that can be written: {', '.join(sorted(kinds))}")
    unstable = {"png": "Software", "pdf": "CreationDate", "svg": "Date"}
    with house_style(), atomic_write(path) as stream:
        figure.savefig(stream, format=kind, dpi=_DPI, metadata={unstable[kind]: None} if kind in unstable else None)
    return path


def _colour_bar(figure: Figure, box: Box, image: AxesImage) -> None:
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    ticks, numbers = MaxNLocator(3, steps=[1, 2, 5, 10]), StrMethodFormatter("{x:g}")
    bar = figure.colorbar(image, cax=figure.add_axes(box), orientation="horizontal", ticks=ticks, format=numbers)
    bar.ax.tick_params(length=2, width=0.5, pad=1.5, labelsize=_SMALL, labelcolor=PALE)
    label = str(image.get_label())
    if not label.startswith("_"):  # matplotlib's own, of an image without a label
        bar.ax.set_xlabel(label, fontsize=_SMALL, color=PALE, labelpad=0)
