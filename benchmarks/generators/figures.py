"""Figures of the generators' benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from posterior.figures.page import house_style
from posterior.results import Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS = {
    "CSGM": "#D55E00", "ILO": "#009E73", "posterior mean": "#0072B2", "Lasso, dct": "#999999", "Lasso, haar": "#CC79A7",
    "total variation": "#000000",
}  # Okabe & Ito  # fmt: skip


def curves(found: Mapping[str, Mapping[str, Mapping[int, float]]]) -> Figure:
    """Error against the number of measurements, one panel a set of images."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, 3.0), dpi=150, layout="constrained")
        for axes, (title, methods) in zip(figure.subplots(1, len(found)), found.items(), strict=True):
            for name, values in methods.items():
                style = {"linestyle": "none"} if name == "posterior mean" else {}
                axes.plot(
                    list(values), list(values.values()), marker="o", markersize=3, linewidth=1.2, color=COLOURS[name],
                    label=name, **style,
                )  # fmt: skip
            axes.set(title=title, xscale="log", yscale="log", xlabel="number of measurements m")
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.grid(linewidth=0.3)
        figure.supylabel("mean squared error, images in [0, 1]", fontsize=8.5)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), fontsize=7, loc="outside right upper")
        return figure


def panels(truth: Tensor, pictures: list[tuple[str, Tensor]]) -> Figure:
    """A row of images for each method, the truth first."""
    rows = [("truth", truth), *pictures]
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, 0.85 * len(rows)), dpi=80, layout="constrained")
        grid = figure.subplots(len(rows), len(truth), squeeze=False)
        for line, (name, images) in zip(grid, rows, strict=True):
            for axes, picture in zip(line, images, strict=True):
                axes.imshow(((picture + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy())
                axes.set(xticks=[], yticks=[])
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
        return figure


def spread(truth: Tensor, samples: Samples) -> Figure:
    """Truth, mean, three samples and the standard deviation, one column a digit."""
    mean, std = samples.mean(), samples.std()
    rows = [("truth", truth), ("mean", mean), *((f"sample {i + 1}", samples.x[i]) for i in range(3)), ("std", std)]
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, 0.75 * len(rows)), dpi=150, layout="constrained")
        grid = figure.subplots(len(rows), len(truth), squeeze=False)
        for line, (name, images) in zip(grid, rows, strict=True):
            for axes, picture in zip(line, images, strict=True):
                if name == "std":
                    shown = axes.imshow(picture[0].numpy(), cmap="viridis", vmin=0, vmax=float(std.max()))
                else:
                    axes.imshow(picture[0].numpy(), cmap="gray", vmin=-1, vmax=1)
                axes.set(xticks=[], yticks=[])
            line[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7)
        bar = figure.colorbar(shown, ax=grid, location="bottom", aspect=60, shrink=0.5, pad=0.02)
        bar.set_label("standard deviation (std), images in [−1, 1]", fontsize=7)
        bar.ax.tick_params(labelsize=7)
        return figure
