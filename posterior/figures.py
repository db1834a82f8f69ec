"""Every picture the library draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, ShapeError
from posterior.results import PointEstimate, Samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

Range = tuple[float, float]
# What a panel shows: it draws into axes and returns a caption, or the picture that needs a colour bar.
Panel = Callable[["Axes"], "str | AxesImage"]

_PANEL, _GAP, _SIDE = 1.45, 0.09, 0.12  # inches: width of a panel, between panels, around all
_TITLE, _HEADER, _LABEL, _CAPTION = 0.28, 0.24, 0.19, 0.36  # inches: heights of the bands of text
_LETTER = 0.088  # inches: width of a title's letter, more or less
_SPREAD = "viridis"  # perceptually uniform, and safe for colour-blind readers
_BLUE = (0.337, 0.706, 0.914)  # not measured: sky blue of Okabe & Ito's colour-blind-safe palette
_GREY = (0.5, 0.5, 0.5)  # the same where blue may be a colour of the picture
_LINE, _FRAME, _INK, _PALE = "#0072B2", "#999999", "#1a1a1a", "#666666"
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.edgecolor": _FRAME,
    "axes.facecolor": "white",
    "axes.linewidth": 0.5,
    "figure.facecolor": "white",
    "text.color": _INK,
    "text.usetex": False,
    "text.parse_math": False,
    "svg.hashsalt": "posterior",
}
_LEVEL, _FEWEST = 0.9, 19  # level of the interval, and the draws that it needs
_GAUSSIAN_WIDTH = 3.29  # a Gaussian's 90 % interval in standard deviations
_DECADES = 4  # of k-space magnitude that are shown
_STEMS = 60  # vectors up to this length are drawn entry by entry
_SMALL = 7.5  # points: captions
_DPI = 200


def posterior_figure(
    truth: Tensor | None,
    measurement: Tensor,
    samples: Samples | Mapping[str, Samples] | None,
    estimate: PointEstimate | Tensor | None = None,
    value_range: Range = (-1.0, 1.0),
    title: str = "",
    num_samples: int = 12,
    *,
    mask: Tensor | None = None,
    index: int = 0,
) -> Figure:
    """What is known about one image: truth, measurement, point estimate, posterior mean, spread, and draws.

    The spread is each pixel's standard deviation and the width of its equal-tailed 90 % credible interval, averaged
    over channels. Their colour scales are common to all samplers and stand in the ratio 1 : 3.29, so that a Gaussian
    posterior looks the same in both. The draws shown are evenly spaced among all, the first and the last included.
    Images with two channels are complex and shown by magnitude.

    Args:
        truth: True images (B, C, H, W), or None where they are unknown.
        measurement: Measurements (B, *measurement_shape): images of any size, complex k-space (shown as log magnitude,
            coils combined by root sum of squares) or vectors.
        samples: Draws (S, B, C, H, W), or those of several samplers by name, which get a block of the figure each;
            None for a figure of the point estimate alone.
        estimate: Point estimates (B, C, H, W).
        value_range: Values shown as black and white; beyond them pictures saturate.
        title: Heading of the figure.
        num_samples: How many draws to show.
        mask: Where something was measured, broadcastable to one measurement, or one for each; the rest is shown in
            blue, or in grey where the measurement is in colour.
        index: Which of the B measurements to show.

    Raises:
        ShapeError: Parts do not fit together, or images do not have 1, 2 or 3 channels.
        InvalidValueError: No measurement has that index, there are neither draws nor an estimate, or the value range
            is empty.
        NotFiniteError: A draw, the estimate or the truth holds NaN or infinity.
    """
    blocks = {"": samples} if isinstance(samples, Samples) else dict(samples or {})
    point = estimate.x if isinstance(estimate, PointEstimate) else estimate
    aspect = _check(truth, measurement, blocks, point, value_range, num_samples, index)
    y = measurement[index].detach().cpu()
    measured = None if mask is None else _mask_of(mask, y, index)
    given: list[tuple[str, Panel]] = [("measurement", partial(_measurement, y, measured, value_range))]
    if truth is not None:
        given.insert(0, ("truth", partial(_picture, truth[index], value_range)))
    if point is not None:
        given.append(("point estimate (MAP)", partial(_picture, point[index], value_range)))

    chosen = {
        name: replace(block, x=block.x[:, index : index + 1].detach().cpu(), info={}, latent=None)
        for name, block in blocks.items()
    }
    spreads = {name: _spread(block) for name, block in chosen.items()}
    peaks = [float(std.max()) for std, _ in spreads.values() if std is not None]
    peaks += [float(width.max()) / _GAUSSIAN_WIDTH for _, width in spreads.values() if width is not None]
    scale = max(peaks, default=0.0) or 1.0
    summaries: dict[str, list[tuple[str, Panel]]] = {
        name: [
            ("posterior mean", partial(_picture, block.mean()[0], value_range)),
            ("standard deviation", partial(_heat, spreads[name][0], scale, 2)),
            ("width of 90 % interval", partial(_heat, spreads[name][1], _GAUSSIAN_WIDTH * scale, _FEWEST)),
        ]
        for name, block in chosen.items()
    }
    tiles = {name: block.x[_evenly(len(block), num_samples), 0] for name, block in chosen.items()}
    labels = {name: _of(len(tiles[name]), len(block)) for name, block in chosen.items()}

    with _style():
        page = _Page(6 if len(blocks) > 1 else len(given) + 3 * len(blocks), aspect)
        if not blocks:
            page.title(title)
            page.panels(given)
        elif len(blocks) == 1:
            (name,) = blocks
            page.title(" · ".join(text for text in (title, name) if text))
            page.panels(given + summaries[name])
            page.band_of_tiles(labels[name], tiles[name], value_range)
        else:
            page.title(title)
            page.panels(given)
            for name, block in blocks.items():
                page.header(name, _cost(block, index))
                page.tiles_beside(3, labels[name], tiles[name], value_range)
                page.panels(summaries[name])
        return page.figure()


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
    _check_range(value_range)
    columns = min(len(images), columns or math.ceil(math.sqrt(len(images))))
    with _style():
        page = _Page(columns, images.shape[2] / images.shape[3], panel=max(0.7, 2.6 / columns))
        page.title(title)
        page.tiles(0.0, images, columns, page.panel, value_range)
        return page.figure()


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the ending of the path (.png, .pdf, .svg …) says how. Equal figures give equal files.

    Raises:
        FileFormatError: The ending is not one that matplotlib writes.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    kinds = figure.canvas.get_supported_filetypes()
    if kind not in kinds:
        raise FileFormatError(f"{path} does not end in a format that can be written: {', '.join(sorted(kinds))}")
    path.parent.mkdir(parents=True, exist_ok=True)
    unstable = {"png": "Software", "pdf": "CreationDate", "svg": "Date"}
    with _style():
        figure.savefig(path, dpi=_DPI, metadata={unstable[kind]: None} if kind in unstable else None)
    return path


class _Page:
    """A figure that grows downwards in rows of panels; lengths are in inches from the top left corner."""

    def __init__(self, columns: int, aspect: float, panel: float = _PANEL) -> None:
        self.aspect, self.panel = aspect, panel
        self.width = columns * (panel + _GAP) - _GAP
        self.cursor = 0.0
        self._parts: list[tuple[tuple[float, float, float, float], Panel]] = []
        self._texts: list[tuple[float, float, str, dict[str, Any]]] = []

    def title(self, text: str) -> None:
        if text:
            self.width = max(self.width, _LETTER * len(text))
            self._text(0.0, self.cursor + 0.4 * _TITLE, text, fontsize=10.5, fontweight="bold")
            self.cursor += _TITLE

    def header(self, name: str, note: str) -> None:
        self._text(0.0, self.cursor + 0.55 * _HEADER, name, fontsize=9.5, fontweight="bold")
        self._text(self.width, self.cursor + 0.55 * _HEADER, note, ha="right", color=_PALE)
        self.cursor += _HEADER

    def panels(self, panels: list[tuple[str, Panel]]) -> None:
        """A row of panels with their labels above and captions below."""
        for column, (label, panel) in enumerate(panels):
            left = column * (self.panel + _GAP)
            self._label(left + self.panel / 2, label)
            self._parts.append(((left, self.cursor + _LABEL, self.panel, self.panel * self.aspect), panel))
        self.cursor += _LABEL + self.panel * self.aspect + _CAPTION

    def band_of_tiles(self, label: str, images: Tensor, value_range: Range) -> None:
        """Tiles of about half a panel, over the full width."""
        half = 2 * round((self.width + _GAP) / (self.panel + _GAP))
        rows = 1 if len(images) <= 1.25 * half else math.ceil(len(images) / half)
        columns = math.ceil(len(images) / rows)
        tile = min(0.75 * self.panel, (self.width + _GAP) / columns - _GAP)
        self._label((columns * (tile + _GAP) - _GAP) / 2, label)
        self.cursor += _LABEL
        self.tiles(0.0, images, columns, tile, value_range)

    def tiles_beside(self, column: int, label: str, images: Tensor, value_range: Range) -> None:
        """Tiles, as large as they can be, beside the row of panels that comes next."""
        left, count, top = column * (self.panel + _GAP), len(images), self.cursor
        sizes = {}
        for rows in range(1, count + 1):
            across = (self.width - left + _GAP) / math.ceil(count / rows) - _GAP
            down = ((self.panel * self.aspect + _GAP) / rows - _GAP) / self.aspect
            sizes[rows] = min(across, down)
        rows = max(sizes, key=lambda r: sizes[r])
        columns = math.ceil(count / rows)
        self._label(left + (columns * (sizes[rows] + _GAP) - _GAP) / 2, label)
        self.cursor += _LABEL
        self.tiles(left, images, columns, sizes[rows], value_range)
        self.cursor = top

    def tiles(self, left: float, images: Tensor, columns: int, tile: float, value_range: Range) -> None:
        """A grid of images, `tile` wide each."""
        for i, image in enumerate(images):
            row, column = divmod(i, columns)
            corner = left + column * (tile + _GAP), self.cursor + row * (tile * self.aspect + _GAP)
            self._parts.append(((*corner, tile, tile * self.aspect), partial(_picture, image, value_range)))
        self.cursor += math.ceil(len(images) / columns) * (tile * self.aspect + _GAP) - _GAP

    def figure(self) -> Figure:
        from matplotlib.figure import Figure

        width, height = self.width + 2 * _SIDE, self.cursor + 2 * _SIDE
        figure = Figure(figsize=(width, height), dpi=_DPI)

        def box(left: float, top: float, wide: float, tall: float) -> tuple[float, float, float, float]:
            return (left + _SIDE) / width, 1 - (top + tall + _SIDE) / height, wide / width, tall / height

        for (left, top, wide, tall), panel in self._parts:
            axes = figure.add_axes(box(left, top, wide, tall))
            axes.set(xticks=[], yticks=[])
            shown = panel(axes)
            if isinstance(shown, str):
                x, y, *_ = box(left + wide / 2, top + tall + 0.04, 0, 0)
                figure.text(x, y, shown, ha="center", va="top", fontsize=_SMALL, color=_PALE, linespacing=1.1)
            else:
                _colour_bar(figure, box(left, top + tall + 0.05, wide, 0.06), shown)
        for left, top, text, style in self._texts:
            x, y, *_ = box(left, top, 0, 0)
            figure.text(x, y, text, va="center_baseline", **style)
        return figure

    def _label(self, centre: float, text: str) -> None:
        self._text(centre, self.cursor + 0.5 * _LABEL, text, ha="center")

    def _text(self, left: float, top: float, text: str, **style: Any) -> None:
        self._texts.append((left, top, text, style))


def _colour_bar(figure: Figure, box: tuple[float, float, float, float], image: AxesImage) -> None:
    low, high = image.get_clim()
    bar = figure.colorbar(image, cax=figure.add_axes(box), orientation="horizontal")
    bar.ax.set_xticks([low, high], [f"{low:.2g}", f"{high:.2g}"])
    bar.ax.tick_params(length=0, pad=1.5, labelsize=_SMALL, labelcolor=_PALE)
    left, right = bar.ax.get_xticklabels()
    left.set_horizontalalignment("left")
    right.set_horizontalalignment("right")


def _picture(image: Tensor, value_range: Range, axes: Axes) -> str:
    axes.imshow(_rgb(image, value_range), interpolation="nearest", aspect="equal")
    return ""


def _heat(values: Tensor | None, high: float, fewest: int, axes: Axes) -> str | AxesImage:
    if values is None:
        axes.text(0.5, 0.5, f"needs at least\n{fewest} draws", ha="center", va="center", transform=axes.transAxes)
        return ""
    return axes.imshow(values.numpy(), cmap=_SPREAD, vmin=0, vmax=high, interpolation="nearest", aspect="equal")


def _measurement(y: Tensor, measured: Tensor | None, value_range: Range, axes: Axes) -> str:
    """Draw one measurement as what it is: k-space, a picture, or a vector."""
    if y.ndim < 2 or min(y.shape[-2:]) == 1:
        return _vector(y.flatten(), None if measured is None else measured.flatten(), axes)
    planes = y.reshape(-1, *y.shape[-2:])
    captions = []
    if y.is_complex():
        magnitude = planes.abs().square().sum(0).sqrt()
        decades = (magnitude / magnitude.max().clamp_min(1e-30)).clamp_min(10.0 ** -(_DECADES + 1)).log10()
        picture = _rgb(decades[None], (-_DECADES, 0.0))
        captions.append("log magnitude" + ("" if len(planes) == 1 else f" of {len(planes)} coils"))
    else:
        if len(planes) not in (1, 2, 3):
            captions.append(f"first of {len(planes)}")
            planes = planes[:1]
        limits = _limits(planes, value_range)
        if limits != value_range:
            captions.append(f"black {_number(limits[0])}, white {_number(limits[1])}")
        picture = _rgb(planes, limits)
    if measured is not None:
        missing = ~measured.reshape(-1, *y.shape[-2:]).any(0).numpy()
        colour, paint = ("grey", _GREY) if len(planes) == 3 and not y.is_complex() else ("blue", _BLUE)
        picture[missing] = paint
        if missing.any():
            captions.append(f"{colour}: not measured")
    axes.imshow(picture, interpolation="nearest", aspect="equal")
    return "\n".join(captions) or f"{y.shape[-2]} × {y.shape[-1]} pixels"


def _vector(values: Tensor, measured: Tensor | None, axes: Axes) -> str:
    places = torch.arange(len(values)) if measured is None else measured.nonzero()[:, 0]
    heights = (values.abs() if values.is_complex() else values)[places].numpy()
    axes.axhline(0, color=_FRAME, linewidth=0.5)
    if len(places) <= _STEMS:
        axes.vlines(places.numpy(), 0, heights, color=_LINE, linewidth=0.8)
        axes.plot(places.numpy(), heights, "o", color=_LINE, markersize=2)
    else:
        axes.plot(places.numpy(), heights, color=_LINE, linewidth=0.5)
    axes.margins(0.04, 0.08)
    what = "magnitudes" if values.is_complex() else "numbers"
    ends = f"{_number(heights.min())} … {_number(heights.max())}" if len(places) else "nothing measured"
    return f"{len(places):,} {what}\n{ends}"


def _number(value: float) -> str:
    return f"{value:.2g}".replace("-", "−")


def _rgb(image: Tensor, value_range: Range) -> NDArray[np.float64]:
    """An image (C, H, W) as red, green and blue in [0, 1], (H, W, 3); two channels are a complex number."""
    low, high = value_range
    values = image.detach().cpu().double()
    if len(values) == 2:
        values, low = values.norm(dim=0, keepdim=True), 0.0
    grey: NDArray[np.float64] = ((values - low) / (high - low)).clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return grey.copy()


def _limits(planes: Tensor, value_range: Range) -> Range:
    """The images' range of values if a measurement is in their units, or else its own."""
    low, high = value_range
    values = planes.double().flatten()
    inner = values.kthvalue(1 + len(values) // 100).values, values.kthvalue(len(values) - len(values) // 100).values
    margin = (high - low) / 2
    if low - margin <= float(inner[0]) and float(inner[1]) <= high + margin:
        return value_range
    least, most = float(values.min()), float(values.max())
    return (least, most) if least < most else (least, least + 1)


def _spread(block: Samples) -> tuple[Tensor | None, Tensor | None]:
    """Standard deviation and width of the interval of each pixel, (H, W), where there are draws enough."""
    std = block.std()[0].mean(0) if len(block) > 1 else None
    if len(block) < _FEWEST:
        return std, None
    lower, upper = block.credible_interval(_LEVEL)
    return std, (upper - lower)[0].mean(0)


def _mask_of(mask: Tensor, y: Tensor, index: int) -> Tensor:
    mask = mask.detach().cpu() != 0
    if mask.ndim == y.ndim + 1:
        mask = mask[index if len(mask) > 1 else 0]
    try:
        return mask.expand(y.shape)
    except RuntimeError as error:
        raise ShapeError(f"mask {tuple(mask.shape)} does not broadcast to a measurement {tuple(y.shape)}") from error


def _evenly(size: int, count: int) -> Tensor:
    return torch.linspace(0, size - 1, min(size, count), dtype=torch.float64).round().long()


def _of(shown: int, size: int) -> str:
    if shown < size:
        return f"{shown} of {size:,} draws"
    return "the only draw" if size == 1 else f"all {size} draws"


def _cost(block: Samples, index: int) -> str:
    forward, backward = (float(calls.flatten()[index]) for calls in (block.nfe, block.nfe_grad))
    calls = f"{forward:,.0f} network calls a draw"
    return calls + (f", {backward:,.0f} backward" if backward else "")


def _style() -> AbstractContextManager[None]:
    import matplotlib

    return matplotlib.rc_context(_STYLE)


def _check(
    truth: Tensor | None,
    measurement: Tensor,
    blocks: Mapping[str, Samples],
    point: Tensor | None,
    value_range: Range,
    num_samples: int,
    index: int,
) -> float:
    """Raise unless the parts fit together; the images' height over width."""
    _check_range(value_range)
    if (not blocks and point is None) or num_samples < 1:
        raise InvalidValueError("a figure needs samples or an estimate, and num_samples ≥ 1")
    parts = {f"draws of {name!r}" if name else "draws": block.x for name, block in blocks.items()}
    parts |= {what: images for what, images in (("estimate", point), ("truth", truth)) if images is not None}
    first, leader = next(iter(parts.items()))
    shape = tuple(leader.shape)[-4:]
    if len(shape) != 4 or shape[1] not in (1, 2, 3):
        raise ShapeError(f"{first}: shape {tuple(leader.shape)}; expected ([S,] B, C, H, W), C 1, 2 or 3")
    for what, x in parts.items():
        lead = ("S",) if what.startswith("draws") else ()
        if x.ndim != len(lead) + 4 or tuple(x.shape[-4:]) != shape or 0 in x.shape:
            expected = ", ".join(map(str, (*lead, *shape)))
            raise ShapeError(f"{what}: shape {tuple(x.shape)}; expected ({expected}), as {first} say(s)")
        if not bool(x.isfinite().all()):
            raise NotFiniteError(f"{what}: NaN or infinity; the method's settings may be at fault")
    if measurement.ndim == 0 or len(measurement) != shape[0]:
        raise ShapeError(
            f"measurement has shape {tuple(measurement.shape)}; expected ({shape[0]}, …), one for each image"
        )
    if not 0 <= index < shape[0]:
        raise InvalidValueError(f"index is one of 0 … {shape[0] - 1}, got {index}")
    return shape[2] / shape[3]


def _check_range(value_range: Range) -> None:
    if not value_range[0] < value_range[1]:
        raise InvalidValueError(f"value_range is (value of black, value of white), got {value_range}")
