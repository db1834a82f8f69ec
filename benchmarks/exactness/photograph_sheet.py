"""The figures of the photographs' benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from torch import Tensor

from posterior.figures.page import house_style
from posterior.results import Samples

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SAMPLES = 3


class Block(NamedTuple):
    """One measurement of a photograph, and samples of its posterior.

    Attributes:
        given: Pictures by name, (3, H, W): the truth first, one for each sampler.
        samples: Those of each sampler, of one measurement.
    """

    given: Mapping[str, Tensor]
    samples: Mapping[str, Samples]


def sheet(blocks: Sequence[Block]) -> Figure:
    """A row for each sampler: a picture, the mean, samples, and std beside |error| on one scale for each block."""
    rows = [(block, i, name) for block in blocks for i, name in enumerate(block.samples)]
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6.4, 0.92 * len(rows)), dpi=110, layout="constrained")
        for line, (block, i, name) in zip(figure.subplots(len(rows), _SAMPLES + 4), rows, strict=True):
            truth, (title, picture) = block.given["truth"], list(block.given.items())[i]
            samples = block.samples[name]
            pictures = {title: picture, f"mean of {name}": samples.mean()[0]}
            pictures |= {f"sample {k + 1}": samples.x[k, 0] for k in range(_SAMPLES)}
            for axes, (label, image) in zip(line, pictures.items(), strict=False):
                axes.imshow(((image + 1) / 2).clamp(0, 1).permute(1, 2, 0).numpy())
                axes.set_title(label, fontsize=5)
            error = (samples.mean()[0] - truth).abs().mean(0)
            top = max(float((s.mean()[0] - truth).abs().mean(0).quantile(0.995)) for s in block.samples.values())
            maps = {"std": samples.std()[0].mean(0), "|error| of mean": error}
            for axes, (label, heat) in zip(line[-2:], maps.items(), strict=True):
                shown = axes.imshow(heat.numpy(), cmap="viridis", vmin=0, vmax=top)
                axes.set_title(label, fontsize=5)
            bar = figure.colorbar(shown, ax=line[-1], shrink=0.9)
            bar.set_label("std, |error|", fontsize=4)
            bar.ax.tick_params(labelsize=4)
            for axes in line:
                axes.set(xticks=[], yticks=[])
        return figure
