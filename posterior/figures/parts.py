"""What figures of results share: checks of their parts, the panels of truth and measurement, spreads, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from posterior.diagnostics.quality import Quality
from posterior.errors import InvalidValueError, ShapeError, check_finite
from posterior.figures.page import ALARM, PALE, Panel
from posterior.figures.panels import Range, check_range, show_measurement, show_picture
from posterior.results import PointEstimate, Samples

LEVEL, FEWEST = 0.9, 19  # level of the interval, and the samples that it needs
GAUSSIAN_WIDTH = 3.29  # a Gaussian's 90 % interval in standard deviations


def check_parts(
    truth: Tensor | None,
    measurement: Tensor,
    results: Mapping[str, Samples | PointEstimate | Tensor],
    value_range: Range,
    num_samples: int,
    index: int,
) -> float:
    """Raise unless the parts of a figure fit together; the images' height over width.

    Args:
        truth: True images (B, C, H, W).
        measurement: Measurements (B, …).
        results: Samples (S, B, C, H, W) and estimates (B, C, H, W), by what errors call them.
        value_range: Values shown as black and white.
        num_samples: How many samples to show.
        index: Which of the measurements.
    """
    check_range(value_range)
    if not results or num_samples < 1:
        raise InvalidValueError("a figure needs samples or an estimate, and num_samples ≥ 1")
    parts = {what: part if isinstance(part, Tensor) else part.x for what, part in results.items()}
    several = [what for what, part in results.items() if isinstance(part, Samples)]
    parts |= {} if truth is None else {"truth": truth}
    first, leader = next(iter(parts.items()))
    shape = tuple(leader.shape)[-4:]
    if len(shape) != 4 or shape[1] not in (1, 2, 3):
        raise ShapeError(f"{first}: shape {tuple(leader.shape)}; expected ([S,] B, C, H, W), C 1, 2 or 3")
    for what, x in parts.items():
        lead = ("S",) if what in several else ()
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


def given_panels(
    truth: Tensor | None, measurement: Tensor, mask: Tensor | None, value_range: Range, index: int
) -> list[tuple[str, Panel]]:
    """The truth, where it is known, and the measurement."""
    y = measurement[index].detach().cpu()
    measured = measured_of(mask, y, index)
    panels: list[tuple[str, Panel]] = [("measurement", partial(show_measurement, y, measured, value_range))]
    return panels if truth is None else [("truth", partial(show_picture, truth[index], value_range)), *panels]


def of_measurement(samples: Samples, index: int) -> Samples:
    """The samples of one measurement, to be drawn."""
    x = samples.x[:, index : index + 1].detach().cpu()
    return Samples(x, samples.nfe[index : index + 1], samples.nfe_grad[index : index + 1])


def spread(block: Samples) -> tuple[Tensor | None, Tensor | None]:
    """Standard deviation and width of the interval of each pixel, (H, W), where there are samples enough."""
    std = block.std()[0].mean(0) if len(block) > 1 else None
    if len(block) < FEWEST:
        return std, None
    lower, upper = block.credible_interval(LEVEL)
    return std, (upper - lower)[0].mean(0)


def evenly(size: int, count: int) -> Tensor:
    """Numbers of at most `count` samples among `size`, as far apart as can be, the first and the last included."""
    return torch.linspace(0, size - 1, min(size, count), dtype=torch.float64).round().long()


def colour_of(found: Quality) -> str:
    """Of a text about a result: a colour of its own where a fault was found."""
    return ALARM if found.verdict in ("doubtful", "not the posterior") else PALE


def measured_of(mask: Tensor | None, y: Tensor, index: int) -> Tensor | None:
    """Where one measurement has values, by the mask of all or of each; None if everywhere."""
    if mask is None:
        return None
    mask = mask.detach().cpu() != 0
    if mask.ndim == y.ndim + 1:
        mask = mask[index if len(mask) > 1 else 0]
    try:
        return mask.expand(y.shape)
    except RuntimeError as error:
        raise ShapeError(f"mask {tuple(mask.shape)} does not broadcast to a measurement {tuple(y.shape)}") from error
