"""What a page says of itself: what it shows, what it does not show, and why."""

from __future__ import annotations

from posterior.app.report.source import Source
from posterior.figures.panels import number
from posterior.figures.parts import FEWEST


def shown(source: Source, measurements: int, num_samples: int) -> list[str]:
    """What is on the page, and how to read it.

    Args:
        source: The results.
        measurements: How many are shown.
        num_samples: How many samples of each method are shown, where samples were kept.
    """
    black, white = map(number, (0.0 if source.event_shape[0] == 2 else source.value_range[0], source.value_range[1]))
    kept = f", with {num_samples} of {source.num_samples} samples" if any(map(source.keeps, source.samplers)) else ""
    notes = [
        f"{measurements} of {len(source.store.ids)} measurements{kept}.",
        f"Pictures are black at {black} and white at {white}; values have 8 bits, 255 steps from the least to the "
        "largest of an array.",
    ]
    if source.samplers:
        notes.append(
            "Standard deviations and errors have one scale of colours for all methods; that of intervals is 3.29 times "
            "as wide, so that a Gaussian posterior looks the same in both."
        )
    if source.event_shape[0] == 2:
        notes.append("Images are complex and shown by magnitude; their spread is the mean over both parts.")
    if source.event_shape[0] == 3:
        notes.append("Spread, error and probe are means over the colours.")
    return notes


def left_out(source: Source, measurements: int, asked: int, num_samples: int, factor: int) -> list[str]:
    """What is not on the page, and why.

    Args:
        source: The results.
        measurements: How many are shown.
        asked: How many were to be shown.
        num_samples: How many samples of each method are shown, where samples were kept.
        factor: By which images are shrunk.
    """
    notes, answered, total = [], len(source.answered), len(source.store.ids)
    if answered < total:
        notes.append(
            f"{total - answered} of {total} measurements are not answered yet: let posterior run go on, and write the "
            "report again."
        )
    if measurements < asked:
        notes.append(
            f"It shows the first {measurements} of {asked} measurements, so that it stays small: name others by --ids."
        )
    if factor > 1:
        size = " × ".join(map(str, source.event_shape[-2:]))
        notes.append(
            f"Images of {size} pixels are shown by means of {factor} × {factor} pixels each, maps of spread likewise, "
            "and the probe is of such means: a page of fewer measurements, by --ids, shows them in full."
        )
    if without := [name for name in source.samplers if not source.keeps(name)]:
        notes.append(
            f"Samples of {', '.join(without)} were not kept, so that there is nothing to flicker through, no principal "
            "component and no histogram: run the job with keep_samples: true."
        )
    if len(without) < len(source.samplers) and num_samples < source.num_samples:
        notes.append(
            f"Of {source.num_samples} samples {num_samples} are shown, evenly spaced, so that it stays small. Mean, "
            "standard deviation, interval width and principal components are those of all; the probe has those shown."
        )
    if source.samplers and source.num_samples < FEWEST:
        notes.append(f"A 90 % interval needs {FEWEST} samples; there are {source.num_samples}.")
    if not source.has("truth"):
        notes.append("The true images are not known, so that there are no errors, no PSNR and no coverage.")
    if isinstance(source.job, str):
        notes.append(f"What was not measured is not marked, since the job cannot be built: {source.job}.")
    return notes
