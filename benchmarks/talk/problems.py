"""One picture for every inverse problem, by the configs of the repository.

Each config is run by its first method on one measurement, the first of its data, with its own settings: at most 32
samples, and the accuracy "fast" for scans of a head. Photographs are a crop of 64 × 64 pixels of `astronaut`, which
comes with scikit-image, where the config has those of a folder. The anomaly is a piece of clothing. Seconds are of one
core's work, with the start of the run and its verdict. Standard deviations are those of the samples, averaged over
channels. Cost: 6 minutes on one core; --quick: seconds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.common.pages import DOCS, page, run
from benchmarks.exactness.photographs import crop
from posterior.app.config import load_config
from posterior.app.jobs.job import Job
from posterior.errors import TrustWarning
from posterior.figures import save_figure
from posterior.figures.page import house_style
from posterior.figures.panels import plot_axes, show_heat, show_measurement, show_picture
from posterior.problem import Posterior
from posterior.results import Samples
from posterior.tables import markdown_table
from samplers import Sampler

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FINDING = (
    "One measurement of each problem takes 2 to 121 seconds of one core. With the few samples and particles of "
    "these configs the verdict calls four of them sound, nine doubtful, and one, the deblurred photograph, not the "
    "posterior."
)
ROOT = Path(__file__).resolve().parents[2]
SHOWN, MOST = 3, 32
PHOTOGRAPH = {"prior.event_shape": [3, 64, 64], "data": {"name": "pictures", "path": "photograph.npy"}}


class Problem(NamedTuple):
    """An entry of the gallery.

    Attributes:
        name: What it is called.
        config: The name of its file in configs/.
        text: What is inferred, in a sentence.
        changes: Values that take the place of the config's.
    """

    name: str
    config: str
    text: str
    changes: dict[str, Any] = {}  # noqa: RUF012


PROBLEMS = [
    Problem("Denoising", "denoising", "A piece of clothing in noise of 0.8, two fifths of its range."),
    Problem("Deblurring", "deblurring", "A photograph out of focus.", PHOTOGRAPH),
    Problem("Inpainting", "digits_inpainting", "A digit behind a box."),
    Problem("Super-resolution", "digits_superresolution", "A digit from means of 4 × 4 pixels."),
    Problem("Colourisation", "colourisation", "The colours of a photograph from its brightness.", PHOTOGRAPH),
    Problem("Compressed sensing", "compressed_sensing", "A digit from 60 random projections."),
    Problem("Compression", "compression", "A digit from 200 bits: 100 random projections of two bits each."),
    Problem("Source separation", "source_separation", "A digit and a piece of clothing, added up."),
    Problem("Phase retrieval", "magnitude", "A digit from the magnitudes of 600 random projections."),
    Problem("Seismic deconvolution", "seismic", "Where the ground reflects, from a trace that a wavelet has smeared."),
    Problem("Radio interferometry", "interferometry", "A digit in the sky, seen by nine antennas for six hours."),
    Problem("Anomaly detection", "anomaly", "What a prior of digits makes of clothing, with log p(y)."),
    Problem("Tomography", "tomography", "A digit from projections in five directions."),
    Problem("MRI", "mri", "A slice of a head from a third of k-space.", {"methods.0": "KineticLangevin:accuracy=fast"}),
]  # fmt: skip
QUICK = ("denoising", "source_separation", "seismic")


def solve(problem: Problem, quick: bool) -> tuple[Posterior, Tensor | None, Samples, float]:
    """The problem of a config's first measurement, its truth, samples, and the seconds of work that they took."""
    changes = {"data.count": 1, **problem.changes} if "data" not in problem.changes else dict(problem.changes)
    config = load_config(ROOT / f"configs/{problem.config}.yaml", changes)
    job = Job(config)
    y, truth = job.measure([0])
    posed, method = Posterior(job.prior, job.likelihood, y), next(iter(job.methods.values()))
    assert isinstance(method, Sampler)
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = method.sample(posed, 4 if quick else min(config.num_samples, MOST), seed=config.seed, progress=False)
    return posed, truth, samples, time.process_time() - start


def picture(event: Tensor) -> Tensor:
    """An event as one picture (C, H, W): pairs side by side."""
    return event if event.ndim == 3 else torch.cat(list(event), -1)


def strip(posed: Posterior, truth: Tensor | None, samples: Samples) -> Figure:
    """Measurement, truth, mean, samples and standard deviation, side by side."""
    traces = posed.event_shape[-2] == 1
    drawn: list[tuple[str, Any]] = [("measurement", partial(seen, posed))]
    drawn += [] if truth is None else [("truth", truth[0])]
    drawn += [("mean", samples.mean()[0]), *((f"sample {k + 1}", samples.x[k, 0]) for k in range(SHOWN))]
    drawn += [("standard deviation", samples.std()[0] if traces else partial(spread, samples.std()[0]))]
    rows = 2 if traces else 1
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.4, 1.3 * rows), dpi=150, layout="constrained")
        cells = figure.subplots(rows, -(-len(drawn) // rows), squeeze=False).flatten()
        for axes, (label, part) in zip(cells, drawn, strict=False):
            axes.set_title(label, fontsize=7)
            show(part, posed.prior.value_range, traces, axes)
        for axes in cells[len(drawn) :]:
            axes.remove()
        return figure


def show(part: Tensor | Callable[[Axes], None], value_range: tuple[float, float], traces: bool, axes: Axes) -> None:
    """Draw an event, or what draws itself."""
    if callable(part):
        part(axes)
    elif traces:
        trace(part.flatten(), axes)
    else:
        show_picture(picture(part), value_range, axes)
        axes.set(xticks=[], yticks=[])


def spread(std: Tensor, axes: Axes) -> None:
    """Draw a standard deviation with its colours: of complex images that of both parts together."""
    heat = picture(std)
    heat = heat.norm(dim=0) if len(heat) == 2 else heat.mean(0)
    shown = show_heat(heat, float(heat.max()), 2, axes)
    axes.set(xticks=[], yticks=[])
    axes.figure.colorbar(shown, ax=axes, shrink=0.8).ax.tick_params(labelsize=5)


def trace(values: Tensor, axes: Axes) -> None:
    """Draw a signal over its samples."""
    axes.plot(values.numpy(), color="#0072B2", linewidth=0.7)
    plot_axes(axes, "sample", "value")


def seen(posed: Posterior, axes: Axes) -> None:
    """Draw the measurement: of visibilities the image that their adjoint makes of them."""
    y, operator = posed.y[0], posed.operator
    if y.is_complex() and y.ndim == 2 and y.shape[0] == 1:
        y = operator.adjoint(y)
        axes.set_title("measurement (adjoint)", fontsize=7)
    mask = getattr(operator, "mask", None)
    show_measurement(y, None if mask is None else mask.expand(y.shape), posed.prior.value_range, axes)
    if min(y.shape[-2:]) > 1 and y.ndim > 1:
        axes.set(xticks=[], yticks=[])


def main(quick: bool) -> str:
    """The table, as Markdown; the pictures go to the gallery."""
    rows = []
    torch.manual_seed(0)
    with TemporaryDirectory() as folder:
        np.save(Path(folder, "photograph.npy"), crop("blur", 64).numpy())
        for problem in PROBLEMS:
            if quick and problem.config not in QUICK:
                continue
            changes = dict(problem.changes)
            if "data" in changes:
                changes["data"] = {"name": "pictures", "path": str(Path(folder, "photograph.npy"))}
            posed, truth, samples, seconds = solve(problem._replace(changes=changes), quick)
            figure = strip(posed, truth, samples)
            calls = float(samples.nfe[0] * len(samples))
            rows.append([problem.name, samples.provenance.name if samples.provenance else "", f"{len(samples)}",
                         f"{calls:,.0f}", f"{seconds:.0f}", samples.verdict[0].level])  # fmt: skip
            print(rows[-1], flush=True)
            if not quick:
                save_figure(figure, DOCS / f"problems-{problem.config}.png")
    head = ["problem", "sampler", "samples", "network calls", "seconds", "verdict"]
    return page(
        "A picture for every problem",
        FINDING,
        [markdown_table(head, rows), "The [pictures](../gallery.md), with the config of each."],
        __doc__ or "",
    )


if __name__ == "__main__":
    run(main, "problems.md", __doc__ or "")
