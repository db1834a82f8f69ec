"""How samples of one posterior differ, on one page."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from posterior.diagnostics.components import principal_components
from posterior.errors import InvalidValueError, ShapeError, check_finite
from posterior.figures.page import Page, Panel, house_style
from posterior.figures.panels import Range, check_range, plot_axes, show_heat, show_picture, show_signed
from posterior.figures.parts import FEWEST, GAUSSIAN_WIDTH, spread
from posterior.results import Samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from posterior.fairness.groups import Groups

_WALK = (-2, -1, 0, 1, 2)  # standard deviations
_GAUSSIAN = {0.674: "50%", 1.96: "95%"}  # standard deviations, and how often a Gaussian's error is smaller
_POINT, _BAR = "#0072B2", "#56B4E9"  # blue and sky blue of Okabe & Ito's colour-blind-safe palette


def uncertainty_figure(
    samples: Samples,
    truth: Tensor | None = None,
    *,
    groups: Groups | None = None,
    components: int = 3,
    value_range: Range = (-1.0, 1.0),
    title: str = "",
    index: int = 0,
) -> Figure:
    """Where the samples of one posterior differ, how, and whether by as much as their mean errs.

    First row: mean, standard deviation, width of the 90 % interval (on scales as in `posterior_figure`); with a truth
    its absolute difference from the mean, and that difference over the standard deviation of each entry, with lines
    below which a Gaussian's would lie for 50 and 95 % of entries; with groups their probabilities. Then each principal
    component, and the mean moved along it by up to two of its standard deviations either way: more likely a guide to
    the eye than an image of the posterior, which is no Gaussian. Maps are means over channels.

    Args:
        samples: Samples (S, B, C, H, W) with 1, 2 or 3 channels; two are complex, with pictures shown by magnitude.
        truth: True images (B, C, H, W).
        groups: Groups that the samples may show: a classifier's classes, or any rule.
        components: How many; fewer if there are few samples.
        value_range: Values shown as black and white; beyond them pictures saturate.
        title: Heading of the figure.
        index: Which of the B measurements to show.

    Raises:
        ShapeError: Samples are no images, or truths do not fit them.
        InvalidValueError: There are fewer than two samples, no such measurement, or the value range is empty.
        NotFiniteError: A sample or the truth holds NaN or infinity.
    """
    check_range(value_range)
    if samples.x.ndim != 5 or samples.x.shape[2] not in (1, 2, 3):
        raise ShapeError(f"samples have shape {tuple(samples.x.shape)}; expected (S, B, C, H, W) with C 1, 2 or 3")
    if truth is not None and truth.shape != samples.x.shape[1:]:
        raise ShapeError(f"truths have shape {tuple(truth.shape)}; the samples need {tuple(samples.x.shape[1:])}")
    if len(samples) < 2 or not 0 <= index < samples.x.shape[1]:
        raise InvalidValueError(
            f"needs two samples or more and an index below {samples.x.shape[1]}; got {len(samples)} and {index}"
        )
    if truth is not None:
        check_finite("truth", truth[index], "repair it")
    one = replace(samples, x=samples.x[:, index : index + 1].detach().cpu(), info={}, latent=None)
    mean, (std, width) = one.mean()[0], spread(one)
    assert std is not None
    high = max(float(std.max()), 0.0 if width is None else float(width.max()) / GAUSSIAN_WIDTH) or 1.0
    top: list[tuple[str, Panel]] = [
        ("posterior mean", partial(show_picture, mean, value_range)),
        ("standard deviation", partial(show_heat, std, high, 2)),
        ("width of 90 % interval", partial(show_heat, width, GAUSSIAN_WIDTH * high, FEWEST)),
    ]
    if truth is not None:
        error = (truth[index].detach().cpu() - mean).abs()
        largest = float(error.mean(0).max()) or 1.0
        top.append(("error of the mean", partial(show_heat, error.mean(0), largest, 1)))
        top.append(("error against std", partial(_show_errors, one.std()[0].flatten(), error.flatten())))
    if groups is not None:
        members = groups.of(samples.x[:, index], samples.x.shape[2:]).mean(0).cpu()
        top.append(("probabilities", partial(_show_bars, members, groups.names)))
    count = min(components, len(one) - 1, one.x[0, 0].numel())
    with house_style():
        page = Page(len(_WALK) + 1, samples.x.shape[3] / samples.x.shape[4])
        page.title(title)
        page.panels(top)
        if count:
            found = principal_components(one, count)
            page.header("Principal components", "the mean moved along each by so many of its standard deviations")
        for k in range(count):
            direction, step = found.directions[k, 0], found.std[k, 0]
            walk: list[tuple[str, Panel]] = [
                (
                    f"{t:+d} σ".replace("-", "−") if t else "mean",
                    partial(show_picture, mean + t * step * direction, value_range),
                )
                for t in _WALK
            ]
            label = f"{k + 1}: {float(found.share[k, 0]):.0%} of variance"
            page.panels([(label, partial(show_signed, direction.mean(0))), *walk])
        return page.figure()


def _show_errors(std: Tensor, error: Tensor, axes: Axes) -> str:
    """Draw |error| of each entry over its standard deviation."""
    wide, high = (1.05 * max(float(values.max()), 1e-12) for values in (std, error))
    for factor in _GAUSSIAN:
        axes.plot([0, wide], [0, factor * wide], color="#333333", linewidth=0.5, zorder=3)
    axes.plot(
        std.numpy(),
        error.numpy(),
        "o",
        color=_POINT,
        markersize=1,
        alpha=max(0.05, min(0.4, 400 / len(std))),
        markeredgewidth=0,
        rasterized=True,
    )
    for factor, share in _GAUSSIAN.items():
        at = 0.75 * min(wide, high / factor)  # on the part of the line that is seen
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
        axes.text(at, factor * at, share, fontsize=5.5, color="#333333", ha="center", va="center", bbox=box, zorder=4)
    axes.set(xlim=(0, wide), ylim=(0, high))
    plot_axes(axes, "standard deviation", "|truth − mean|")
    below = ", ".join(f"{float((error <= factor * std).double().mean()):.0%}" for factor in _GAUSSIAN)
    return f"below lines {below}\n(Gaussian: {', '.join(_GAUSSIAN.values())})"


def _show_bars(probabilities: Tensor, names: tuple[str, ...], axes: Axes) -> str:
    """Draw a bar for each group, with its name beside it."""
    rows = torch.arange(len(names)).tolist()
    axes.barh(rows, probabilities.tolist(), color=_BAR, height=0.8)
    for row, name, value in zip(rows, names, probabilities.tolist(), strict=True):
        axes.text(0.02, row, f"{name}  {value:.2f}", va="center", fontsize=max(4.0, min(7.0, 70 / len(names))))
    axes.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
    plot_axes(axes, "share of the samples", "")
    return ""
