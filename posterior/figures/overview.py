"""Truth, measurement, estimate and samples of one image, on one page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError, check_finite
from posterior.figures.page import Page, Panel, house_style
from posterior.figures.panels import Range, check_range, show_heat, show_measurement, show_picture
from posterior.results import PointEstimate, Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL, FEWEST = 0.9, 19  # level of the interval, and the samples that it needs
GAUSSIAN_WIDTH = 3.29  # a Gaussian's 90 % interval in standard deviations


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
    """Truth, measurement, point estimate, posterior mean, spread and samples of one image.

    The spread is each pixel's standard deviation and the width of its equal-tailed 90 % credible interval, averaged
    over channels. Their colour scales are common to all samplers and stand in the ratio 1 : 3.29, so that a Gaussian
    posterior looks the same in both. The samples shown are evenly spaced among all, the first and the last included.
    Images with two channels are complex and shown by magnitude.

    Args:
        truth: True images (B, C, H, W), or None where they are unknown.
        measurement: Measurements (B, *measurement_shape): images of any size, complex k-space (shown as log magnitude,
            coils combined by root sum of squares) or vectors.
        samples: Samples (S, B, C, H, W), or those of several samplers by name, which get a block of the figure each;
            None for a figure of the point estimate alone.
        estimate: Point estimates (B, C, H, W).
        value_range: Values shown as black and white; beyond them pictures saturate.
        title: Heading of the figure.
        num_samples: How many samples to show.
        mask: Where something was measured, broadcastable to one measurement, or one for each; the rest is shown in
            blue, or in grey where the measurement is in colour.
        index: Which of the B measurements to show.

    Raises:
        ShapeError: Parts do not fit together, or images do not have 1, 2 or 3 channels.
        InvalidValueError: No measurement has that index, there are neither samples nor an estimate, or the value range
            is empty.
        NotFiniteError: A sample, the estimate or the truth holds NaN or infinity.
    """
    blocks = {"": samples} if isinstance(samples, Samples) else dict(samples or {})
    point = estimate.x if isinstance(estimate, PointEstimate) else estimate
    aspect = _check(truth, measurement, blocks, point, value_range, num_samples, index)
    y = measurement[index].detach().cpu()
    measured = None if mask is None else _mask_of(mask, y, index)
    given: list[tuple[str, Panel]] = [("measurement", partial(show_measurement, y, measured, value_range))]
    if truth is not None:
        given.insert(0, ("truth", partial(show_picture, truth[index], value_range)))
    if point is not None:
        given.append(("point estimate (MAP)", partial(show_picture, point[index], value_range)))

    chosen = {
        name: replace(block, x=block.x[:, index : index + 1].detach().cpu(), info={}, latent=None)
        for name, block in blocks.items()
    }
    spreads = {name: spread(block) for name, block in chosen.items()}
    peaks = [float(std.max()) for std, _ in spreads.values() if std is not None]
    peaks += [float(width.max()) / GAUSSIAN_WIDTH for _, width in spreads.values() if width is not None]
    scale = max(peaks, default=0.0) or 1.0
    summaries: dict[str, list[tuple[str, Panel]]] = {
        name: [
            ("posterior mean", partial(show_picture, block.mean()[0], value_range)),
            ("standard deviation", partial(show_heat, spreads[name][0], scale, 2)),
            ("width of 90 % interval", partial(show_heat, spreads[name][1], GAUSSIAN_WIDTH * scale, FEWEST)),
        ]
        for name, block in chosen.items()
    }
    tiles = {name: block.x[evenly(len(block), num_samples), 0] for name, block in chosen.items()}
    labels = {name: _of(len(tiles[name]), len(block)) for name, block in chosen.items()}

    with house_style():
        page = Page(6 if len(blocks) > 1 else len(given) + 3 * len(blocks), aspect)
        if len(blocks) <= 1:
            page.title(" · ".join(text for text in (title, *blocks) if text))
            page.panels(sum(summaries.values(), given))
            for name in blocks:
                page.band_of_tiles(labels[name], tiles[name], value_range)
        else:
            page.title(title)
            page.panels(given)
            for name, block in blocks.items():
                page.header(name, _cost(block, index))
                page.tiles_beside(3, labels[name], tiles[name], value_range)
                page.panels(summaries[name])
        return page.figure()


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
    check_range(value_range)
    if (not blocks and point is None) or num_samples < 1:
        raise InvalidValueError("a figure needs samples or an estimate, and num_samples ≥ 1")
    parts = {f"samples of {name!r}" if name else "samples": block.x for name, block in blocks.items()}
    parts |= {what: images for what, images in (("estimate", point), ("truth", truth)) if images is not None}
    first, leader = next(iter(parts.items()))
    shape = tuple(leader.shape)[-4:]
    if len(shape) != 4 or shape[1] not in (1, 2, 3):
        raise ShapeError(f"{first}: shape {tuple(leader.shape)}; expected ([S,] B, C, H, W), C 1, 2 or 3")
    for what, x in parts.items():
        lead = ("S",) if what.startswith("samples") else ()
        if x.ndim != len(lead) + 4 or tuple(x.shape[-4:]) != shape or 0 in x.shape:
            expected = ", ".join(map(str, (*lead, *shape)))
            raise ShapeError(f"{what}: shape {tuple(x.shape)}; expected ({expected}), as {first} say(s)")
        check_finite(what, x, "the method's settings may be at fault")
    if measurement.ndim == 0 or len(measurement) != shape[0]:
        raise ShapeError(
            f"measurement has shape {tuple(measurement.shape)}; expected ({shape[0]}, …), one for each image"
        )
    if not 0 <= index < shape[0]:
        raise InvalidValueError(f"index is one of 0 … {shape[0] - 1}, got {index}")
    return shape[2] / shape[3]


def spread(block: Samples) -> tuple[Tensor | None, Tensor | None]:
    """Standard deviation and width of the interval of each pixel, (H, W), where there are samples enough."""
    std = block.std()[0].mean(0) if len(block) > 1 else None
    if len(block) < FEWEST:
        return std, None
    lower, upper = block.credible_interval(LEVEL)
    return std, (upper - lower)[0].mean(0)


def _mask_of(mask: Tensor, y: Tensor, index: int) -> Tensor:
    mask = mask.detach().cpu() != 0
    if mask.ndim == y.ndim + 1:
        mask = mask[index if len(mask) > 1 else 0]
    try:
        return mask.expand(y.shape)
    except RuntimeError as error:
        raise ShapeError(f"mask {tuple(mask.shape)} does not broadcast to a measurement {tuple(y.shape)}") from error


def evenly(size: int, count: int) -> Tensor:
    """Numbers of at most `count` samples among `size`, as far apart as can be, the first and the last included."""
    return torch.linspace(0, size - 1, min(size, count), dtype=torch.float64).round().long()


def _of(shown: int, size: int) -> str:
    if shown < size:
        return f"{shown} of {size:,} samples"
    return "the only sample" if size == 1 else f"all {size} samples"


def _cost(block: Samples, index: int) -> str:
    forward, backward = (float(calls.flatten()[index]) for calls in (block.nfe, block.nfe_grad))
    calls = f"{forward:,.0f} network calls a sample"
    return calls + (f", {backward:,.0f} backward" if backward else "")
