"""Panels: a picture, a heat map, a measurement of any kind, and the axes of a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.errors import InvalidValueError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

Range = tuple[float, float]

FRAME = "#999999"  # of panels, and the zero line of vectors
_LINE = "#0072B2"
_SPREAD = "viridis"  # perceptually uniform, and safe for colour-blind readers
_SIGNED = "PuOr"  # both sides are told apart by colour-blind readers, and 0 is white
_BLUE = (0.337, 0.706, 0.914)  # not measured: sky blue of Okabe & Ito's colour-blind-safe palette
_GREY = (0.5, 0.5, 0.5)  # the same where blue may be a colour of the picture
_TICK = 6.5  # points
_DECADES = 4  # of k-space magnitude that are shown
_STEMS = 60  # vectors up to this length are drawn entry by entry


def check_range(value_range: Range) -> None:
    """Raise unless black lies below white."""
    if not value_range[0] < value_range[1]:
        raise InvalidValueError(f"value_range is (value of black, value of white), got {value_range}")


def plot_axes(axes: Axes, x: str, y: str) -> None:
    """Give axes ticks and labels; none where there is no label."""
    from matplotlib.ticker import MaxNLocator

    for axis, label in ((axes.xaxis, x), (axes.yaxis, y)):
        if label:
            axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
            axis.set_label_text(label, fontsize=_TICK)
            axis.labelpad = 1.5
    axes.tick_params(labelsize=_TICK, length=2, width=0.5, pad=1.5)


def show_picture(image: Tensor, value_range: Range, axes: Axes, caption: str = "") -> str:
    """Draw an image (C, H, W)."""
    axes.imshow(rgb(image, value_range), interpolation="nearest", aspect="equal")
    return caption


def show_heat(values: Tensor | None, high: float, fewest: int, axes: Axes) -> str | AxesImage:
    """Draw a map (H, W) in colours from 0 to `high`; None stands for one that too few samples leave unknown."""
    if values is None:
        axes.text(0.5, 0.5, f"needs at least\n{fewest} samples", ha="center", va="center", transform=axes.transAxes)
        return ""
    return axes.imshow(values.numpy(), cmap=_SPREAD, vmin=0, vmax=high, interpolation="nearest", aspect="equal")


def show_signed(values: Tensor, axes: Axes) -> AxesImage:
    """Draw a map (H, W) in colours on either side of white, which is 0."""
    high = float(values.abs().max()) or 1.0
    return axes.imshow(values.numpy(), cmap=_SIGNED, vmin=-high, vmax=high, interpolation="nearest", aspect="equal")


def show_scale(high: float, label: str, axes: Axes) -> str:
    """Draw the colours of `show_heat` from 0 to `high` as a strip with ticks."""
    axes.imshow(np.linspace(0, 1, 256)[None], cmap=_SPREAD, extent=(0, high, 0, 1), aspect="auto")
    plot_axes(axes, label, "")
    return ""


def show_measurement(y: Tensor, measured: Tensor | None, value_range: Range, axes: Axes) -> str | AxesImage:
    """Draw one measurement as what it is: k-space, a picture, or a vector."""
    if y.ndim < 2 or min(y.shape[-2:]) == 1:
        return _vector(y.flatten(), None if measured is None else measured.flatten(), axes)
    planes = y.reshape(-1, *y.shape[-2:])
    captions = []
    missing = _missing(y, measured)
    note = [text] if (text := legend(y, measured)) else []
    if y.is_complex():
        magnitude = planes.abs().square().sum(0).sqrt()
        decades = (magnitude / magnitude.max().clamp_min(1e-30)).clamp_min(10.0 ** -(_DECADES + 1)).log10()
        picture = rgb(decades[None], (-_DECADES, 0.0))
        captions.append("log magnitude" + ("" if len(planes) == 1 else f" of {len(planes)} coils"))
    else:
        if len(planes) not in (1, 2, 3):
            captions.append(f"first of {len(planes)}")
            planes = planes[:1]
        limits = display_range(planes, value_range)
        if limits != value_range:
            if len(planes) == 1:
                return _scaled(planes[0], missing, limits, "; ".join([*captions, *note]), axes)
            captions.append(f"black {number(limits[0])}, white {number(limits[1])}")
        picture = rgb(planes, limits)
    picture[missing] = _paint(y)[1]
    axes.imshow(picture, interpolation="nearest", aspect="equal")
    return "\n".join([*captions, *note]) or f"{y.shape[-2]} × {y.shape[-1]} pixels"


def legend(y: Tensor, measured: Tensor | None) -> str:
    """What the colour of pixels without a value means, if there are such in a measurement."""
    if y.ndim < 2 or min(y.shape[-2:]) == 1 or not _missing(y, measured).any():
        return ""
    return f"{_paint(y)[0]}: not measured"


def _missing(y: Tensor, measured: Tensor | None) -> NDArray[np.bool_]:
    """Which pixels (H, W) have no value."""
    if measured is None:
        return np.zeros(y.shape[-2:], bool)
    missing: NDArray[np.bool_] = ~measured.reshape(-1, *y.shape[-2:]).any(0).numpy()
    return missing


def _paint(y: Tensor) -> tuple[str, tuple[float, float, float]]:
    """Name and values of their colour."""
    in_colour = y.numel() == 3 * y.shape[-2] * y.shape[-1] and not y.is_complex()
    return ("grey", _GREY) if in_colour else ("blue", _BLUE)


def _scaled(values: Tensor, missing: NDArray[np.bool_], limits: Range, label: str, axes: Axes) -> AxesImage:
    """Draw a measurement (H, W) in units of its own, in grey, with what was not measured in blue."""
    import matplotlib

    shades = matplotlib.colormaps["gray"].with_extremes(bad=_BLUE)
    shown = np.ma.masked_array(values.numpy(), missing)
    image = axes.imshow(shown, cmap=shades, vmin=limits[0], vmax=limits[1], interpolation="nearest", aspect="equal")
    image.set_label(label)
    return image


def _vector(values: Tensor, measured: Tensor | None, axes: Axes) -> str:
    places = torch.arange(len(values)) if measured is None else measured.nonzero()[:, 0]
    heights = (values.abs() if values.is_complex() else values)[places].numpy()
    axes.axhline(0, color=FRAME, linewidth=0.5)
    if len(places) <= _STEMS:
        axes.vlines(places.numpy(), 0, heights, color=_LINE, linewidth=0.8)
        axes.plot(places.numpy(), heights, "o", color=_LINE, markersize=2)
    else:
        axes.plot(places.numpy(), heights, color=_LINE, linewidth=0.5)
    axes.margins(0.04, 0.08)
    plot_axes(axes, "entry", "magnitude" if values.is_complex() else "value")
    return f"{len(places):,} entries" if len(places) else "nothing measured"


def number(value: float) -> str:
    """Two digits of a number, with a true minus."""
    return f"{value:.2g}".replace("-", "−")


def rgb(image: Tensor, value_range: Range) -> NDArray[np.float64]:
    """An image (C, H, W) as red, green and blue in [0, 1], (H, W, 3); two channels are a complex number."""
    low, high = value_range
    values = image.detach().cpu().double()
    if len(values) == 2:
        values, low = values.norm(dim=0, keepdim=True), 0.0
    grey: NDArray[np.float64] = ((values - low) / (high - low)).clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return grey.copy()


def display_range(planes: Tensor, value_range: Range) -> Range:
    """Values of black and white for a measurement: those of images if it is in their units, or else its own range."""
    low, high = value_range
    values = planes.double().flatten()
    inner = values.kthvalue(1 + len(values) // 100).values, values.kthvalue(len(values) - len(values) // 100).values
    margin = (high - low) / 2
    if low - margin <= float(inner[0]) and float(inner[1]) <= high + margin:
        return value_range
    least, most = float(values.min()), float(values.max())
    return (least, most) if least < most else (least, least + 1)
