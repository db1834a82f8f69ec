"""The posterior of latents whose generator can be entered at any of its layers."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from posterior.problem import LatentPosterior, Posterior

_State = Tensor | tuple[Tensor, ...]


class LayeredPosterior(LatentPosterior[Any]):
    """A `LatentPosterior` that knows the shapes of what enters each layer of its generator, and takes it as rows.

    A row (P,) holds all that enters a layer for one image: several tensors, where layers pass several on.

    Args:
        problem: The measurements, under a `GeneratorPrior`.
        batch_size: Rows of which a gradient is taken at once; None for all.

    Attributes:
        shapes: Of the tensors that enter each layer.
    """

    def __init__(self, problem: Posterior, batch_size: int | None = None) -> None:
        super().__init__(problem, batch_size)
        h: _State = torch.zeros(1, *self.event_shape, dtype=self.dtype, device=self.device)
        self.shapes = [[v.shape[1:] for v in _tensors(h)]]
        for layer in range(len(self.prior.layers) - 1):
            h = self.prior.run(h, layer, layer + 1)
            self.shapes.append([v.shape[1:] for v in _tensors(h)])

    def sizes(self, layer: int) -> list[int]:
        """Numbers of entries of the tensors that enter a layer, one after the other in a row."""
        return [math.prod(shape) for shape in self.shapes[layer]]

    def image(self, h: Tensor, layer: int) -> Tensor:
        """Images (S, B, *event_shape) of rows (S, B, P) that enter a layer."""
        return self.prior.run(self._state(h, layer), layer).unflatten(0, h.shape[:2])

    def deeper(self, h: Tensor, layer: int, stop: int) -> Tensor:
        """Rows (S, B, P′) that enter the layer `stop`, of rows (S, B, P) that enter one before it."""
        state = self.prior.run(self._state(h, layer), layer, stop)
        return torch.cat([v.flatten(1) for v in _tensors(state)], 1).unflatten(0, h.shape[:2])

    def _state(self, h: Tensor, layer: int) -> _State:
        parts = zip(h.flatten(0, 1).split(self.sizes(layer), 1), self.shapes[layer], strict=True)
        state = tuple(part.unflatten(1, shape) for part, shape in parts)
        return state if len(state) > 1 else state[0]


def _tensors(state: _State) -> tuple[Tensor, ...]:
    return (state,) if isinstance(state, Tensor) else state
