"""Truth, measurement, estimate and samples of one image, on one page."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from torch import Tensor

from posterior.diagnostics.quality import Quality, quality
from posterior.figures.page import Page, Panel, house_style
from posterior.figures.panels import Range, show_heat, show_picture
from posterior.figures.parts import (
    FEWEST,
    GAUSSIAN_WIDTH,
    check_parts,
    colour_of,
    evenly,
    given_panels,
    of_measurement,
    spread,
)
from posterior.likelihoods import Likelihood
from posterior.results import PointEstimate, Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    likelihood: Likelihood | None = None,
    index: int = 0,
) -> Figure:
    """Truth, measurement, point estimate, posterior mean, spread and samples of one image.

    Beside each method stand the PSNR of its mean or estimate, where the truth is known, its misfit, how many
    independent samples its samples are worth, its network calls and the level of its verdict.

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
        likelihood: What the measurements were made by, from which misfits are known.
        index: Which of the B measurements to show.

    Raises:
        ShapeError: Parts do not fit together, or images do not have 1, 2 or 3 channels.
        InvalidValueError: No measurement has that index, there are neither samples nor an estimate, or the value range
            is empty.
        NotFiniteError: A sample, the estimate or the truth holds NaN or infinity.
    """
    blocks = {"": samples} if isinstance(samples, Samples) else dict(samples or {})
    parts: dict[str, Samples | PointEstimate | Tensor] = {
        f"samples of {name!r}" if name else "samples": block for name, block in blocks.items()
    }
    parts |= {} if estimate is None else {"estimate": estimate}
    aspect = check_parts(truth, measurement, parts, value_range, num_samples, index)
    judge = partial(quality, index=index, y=measurement, truth=truth, likelihood=likelihood, value_range=value_range)
    given = given_panels(truth, measurement, mask, value_range, index)
    point = estimate.x if isinstance(estimate, PointEstimate) else estimate
    if point is not None:
        words = _below(judge(estimate)) if isinstance(estimate, PointEstimate) else ""
        given.append(("point estimate (MAP)", partial(show_picture, point[index], value_range, caption=words)))

    chosen = {name: of_measurement(block, index) for name, block in blocks.items()}
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
            for block in blocks.values():
                page.note(str(found := judge(block)), colour_of(found))
            page.panels(sum(summaries.values(), given))
            for name in blocks:
                page.band_of_tiles(labels[name], tiles[name], value_range)
        else:
            page.title(title)
            page.panels(given)
            for name, block in blocks.items():
                page.header(name, str(found := judge(block)), colour_of(found))
                page.tiles_beside(3, labels[name], tiles[name], value_range)
                page.panels(summaries[name])
        return page.figure()


def _below(found: Quality) -> str:
    """What stands below an estimate."""
    psnr, *rest = found.parts()[:-1] or [""]
    return "\n".join([psnr, ", ".join([*rest, *([found.verdict] if found.verdict else [])])])


def _of(shown: int, size: int) -> str:
    if shown < size:
        return f"{shown} of {size:,} samples"
    return "the only sample" if size == 1 else f"all {size} samples"
