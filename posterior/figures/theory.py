"""How well operators keep the differences of a generator's images, and the bound of errors with its terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from torch import Tensor

from posterior.diagnostics import Recovery, RestrictedEigenvalue
from posterior.figures.page import house_style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000")  # Okabe & Ito
_LINES = {"random": ":", "near": "--", "adversarial": "-"}
_TERMS: dict[tuple[str, str, str], Callable[[Recovery], Tensor]] = {
    ("error", "-", "#D55E00"): lambda one: one.error,
    ("bound", "-", "#000000"): lambda one: one.bound,
    ("6 · representation", "--", "#0072B2"): lambda one: 6 * one.representation,
    ("3 · noise", "--", "#009E73"): lambda one: 3 * one.noise,
    ("2 · optimisation", "--", "#CC79A7"): lambda one: 2 * one.optimisation,
}


def theory_figure(
    eigenvalues: Mapping[str, Mapping[int, RestrictedEigenvalue]], recoveries: Mapping[int, Recovery]
) -> Figure:
    """The least ratios of pairs, and mean errors beside the terms of their bound, against m; zeros are left out.

    Args:
        eigenvalues: By family of operators and number of measurements m.
        recoveries: By m.
    """
    with house_style():
        from matplotlib.figure import Figure
        from matplotlib.ticker import NullLocator

        figure = Figure(figsize=(7.4, 3.6), dpi=150, layout="constrained")
        left, right = figure.subplots(1, 2)
        for (family, found), colour in zip(eigenvalues.items(), _COLOURS, strict=False):
            for kind, line in _LINES.items():
                values = [float(getattr(one, kind).min()) for one in found.values()]
                _curve(left, list(found), values, line, colour, f"{family}, {kind}")
        left.set(title="restricted eigenvalue γ, at most", ylabel="‖A(x₁ − x₂)‖ / ‖x₁ − x₂‖")
        for (name, line, colour), term in _TERMS.items():
            values = [float(term(one).mean()) for one in recoveries.values()]
            _curve(right, list(recoveries), values, line, colour, name)
        right.set(title="error of an image, and its bound", ylabel="norm, in units of images")
        for axes in (left, right):
            axes.set(xscale="log", yscale="log", xlabel="number of measurements m")
            axes.set_xticks(list(recoveries), map(str, recoveries), minor=False)
            axes.xaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            axes.yaxis.set_minor_formatter(lambda value, _: f"{value:g}" if f"{value:e}"[0] in "25" else "")
            axes.tick_params(which="both", labelsize=7)
            axes.grid(linewidth=0.3)
            axes.legend(fontsize=6.5, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=3)
        return figure


def _curve(axes: Axes, x: list[int], y: list[float], line: str, colour: str, label: str) -> None:
    shown = [value if value > 0 else float("nan") for value in y]  # the axis is logarithmic
    axes.plot(x, shown, line, marker="o", markersize=2.5, linewidth=1.1, color=colour, label=label)
