"""The figures of what methods made of a problem, in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from posterior.figures import (
    comparison_figure,
    overview_figure,
    posterior_figure,
    save_figure,
    save_gif,
    uncertainty_figure,
)
from posterior.figures.parts import evenly
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples

_FIGURES = 20  # of a batch at the most
_FRAMES = 64  # of a gif
_BLOCKS = 4  # of a figure; where there are more methods, each has a row
_NAMES = ("[0-9][0-9][0-9].png", "[0-9][0-9][0-9]-uncertainty.png", "[0-9][0-9][0-9].gif", "overview*.png")


def figures_in(out: Path) -> list[Path]:
    """The files in a folder that are called as `draw` calls figures."""
    return sorted(path for pattern in _NAMES for path in out.glob(pattern))


def draw(
    out: Path,
    problem: Posterior,
    results: Mapping[str, Samples | PointEstimate],
    truth: Tensor | None,
    title: str,
    suffixes: Mapping[str, str],
) -> list[Path]:
    """Figures of the first measurements one by one, and of all of them on a page for each method.

    Args:
        out: Folder for `000.png` … and `overview.png`; of a sampler alone also for maps of the spread and for gifs.
        problem: What was asked.
        results: The answers, by method.
        truth: True images (B, *event_shape), where they are known.
        title: Heading of all figures.
        suffixes: What is added to names of files, by method.
    """
    value_range, mask = problem.prior.value_range, getattr(problem.operator, "mask", None)
    (name, only), *others = results.items()
    paths = [out / f"{index:03d}.png" for index in range(min(len(problem), _FIGURES))]
    for index, path in enumerate(paths):
        if len(results) > _BLOCKS:
            figure = comparison_figure(
                truth, problem.y, results, value_range, title, mask=mask, likelihood=problem.likelihood, index=index
            )
        else:
            blocks = {name: result for name, result in results.items() if isinstance(result, Samples)}
            estimate = only if isinstance(only, PointEstimate) else None
            figure = posterior_figure(
                truth, problem.y, blocks, estimate, value_range, title if blocks else f"{name} · {title}", mask=mask,
                likelihood=problem.likelihood, index=index,
            )  # fmt: skip
        save_figure(figure, path)
        if isinstance(only, Samples) and not others and len(only) > 1:
            figure = uncertainty_figure(only, truth, value_range=value_range, title=f"{name} · {title}", index=index)
            save_figure(figure, path.with_stem(f"{path.stem}-uncertainty"))
            save_gif(only.x[evenly(len(only), _FRAMES), index], path.with_suffix(".gif"), value_range)
    if len(problem) > 1:
        for name, result in results.items():
            figure = overview_figure(
                truth, problem.y, result, value_range, f"{name} · {title}", mask=mask, likelihood=problem.likelihood,
                ids=problem.ids,
            )  # fmt: skip
            paths.append(save_figure(figure, out / f"overview{suffixes[name]}.png"))
    return paths
