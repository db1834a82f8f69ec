"""Samples to make figures of, and readings of a figure."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from posterior.figures import posterior_figure
from posterior.noise import Noise
from posterior.results import Samples


def normal(*shape: int, seed: int = 0) -> Tensor:
    return 0.5 * Noise.of(seed).normal(shape)[0, 0]


def draws(
    size: int = 20, batch: int = 2, event: tuple[int, ...] = (1, 6, 8), seed: int = 0, scale: float = 1
) -> Samples:
    x = scale * normal(size, batch, *event, seed=seed)
    return Samples(x, torch.full((batch,), 1200.0), torch.arange(batch) * 30.0)


def figure_of(*parts: Any, num_samples: int = 1, **options: Any) -> Figure:
    """A figure with one draw: axes take time."""
    return posterior_figure(*parts, num_samples=num_samples, **options)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def pictures(figure: Figure) -> list[Any]:
    """The pictures of the figure's panels in their order, colour bars left out."""
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def is_standard(axes: Axes) -> bool:
    """Whether a plot has ticks and labels."""
    axes_of = ((axes.get_xlabel(), axes.get_xticks()), (axes.get_ylabel(), axes.get_yticks()))
    return all(label and len(ticks) > 1 for label, ticks in axes_of)


def grey(x: Tensor) -> np.ndarray:
    return ((x[0].double() + 1) / 2).clamp(0, 1).numpy()
