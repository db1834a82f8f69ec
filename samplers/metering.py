"""Priors seen through a meter, which counts network calls and cuts them to size."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.priors.base import Prior
from posterior.priors.flows import FlowPrior
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior

P = TypeVar("P", bound=Prior)


class Meter:
    """Counts the rows that networks are given, and those that are differentiated.

    Args:
        batch_size: Rows a call at the most; None for all at once.
        pad: Whether a call of fewer rows is filled up to `batch_size`. Networks round by the shape of a call, so that
            results are the same to the last bit, however many rows there are, only where all calls have one shape.

    Attributes:
        rows, grad_rows: Rows forward and backward since the last reset; those that fill a call up do not count.
        watch: Called with the rows of each network call, after it; None is not.
    """

    watch: Callable[[int], object] | None = None

    def __init__(self, batch_size: int | None = None, pad: bool = False) -> None:
        self.batch_size, self.pad = batch_size, pad
        self.rows = self.grad_rows = 0

    def reset(self) -> None:
        """Start counting anew."""
        self.rows = self.grad_rows = 0

    def call(self, function: Callable[..., Any], *rows: Tensor) -> list[Tensor]:
        """The outputs of a function of rows (N, …), a Tensor or a tuple of such, each (N, …)."""
        count = len(rows[0])
        size = self.batch_size or max(1, count)
        parts = [self._at_once(function, size, *part) for part in zip(*(r.split(size) for r in rows), strict=True)]
        outputs = [column[0] if len(column) == 1 else torch.cat(column) for column in zip(*parts, strict=True)]
        if outputs[0].requires_grad:
            outputs[0].register_hook(self._count_grad)
        return outputs

    def _at_once(self, function: Callable[..., Any], size: int, *rows: Tensor) -> tuple[Tensor, ...]:
        count = len(rows[0])
        if self.pad and 0 < count < size:
            rows = tuple(torch.cat([r, r[-1:].expand(size - count, *r.shape[1:])]) for r in rows)
        out = function(*(r.clone() for r in rows))  # copies, in and out: a class of the user's may overwrite either
        self.rows += count
        if self.watch is not None:
            self.watch(count)
        return tuple(value[:count].clone() for value in (out if isinstance(out, tuple) else (out,)))

    def _count_grad(self, grad: Tensor) -> None:
        self.grad_rows += len(grad)


def metered(prior: P, meter: Meter) -> P:
    """A prior of the same class and the same tensors, whose network calls go through the meter."""
    view: Any = copy.copy(prior)  # shares tensors and networks; errors speak of the user's class
    hooks: dict[str, Callable[..., Any]] = {}
    if isinstance(prior, ScorePrior):
        hooks["_denoise"] = lambda *rows: meter.call(prior._denoise, *rows)[0]
        hooks["sample_denoised"] = _by_draws(view, meter)
        hooks["mean"] = cache(prior.mean)  # one image for all draws: not a cost of any of them
        hooks["select"] = lambda index: _selected(view, prior, index, meter)
    if isinstance(prior, GeneratorPrior):
        hooks["forward"] = _by_rows(prior.forward, prior.latent_shape, (prior.event_shape,), meter)
        hooks["run"] = _to_the_end(prior, meter)
    if isinstance(prior, FlowPrior):
        shapes = (prior.latent_shape, ())
        hooks["inverse_and_log_det"] = _by_rows(prior.inverse_and_log_det, prior.event_shape, shapes, meter)
    for name, hook in hooks.items():
        object.__setattr__(view, name, hook)
    return view


def _by_draws(view: ScorePrior, meter: Meter) -> Callable[..., Tensor]:
    """`sample_denoised` of z (S, B, *event) and ρ (B,), of no more draws at a time than a network call takes.

    Its solver holds many copies of its rows: of all draws at once they would be most of a run's memory.
    """
    whole = view.sample_denoised

    def sample(z: Tensor, rho: Tensor, noise: Noise, *, steps: int, denoised: Tensor | None = None) -> Tensor:
        size = max(1, (meter.batch_size or z.shape[0] * z.shape[1]) // z.shape[1])
        out = torch.empty_like(z)
        for part in torch.arange(len(z), device=z.device).split(size):
            some = slice(int(part[0]), int(part[-1]) + 1)
            known = None if denoised is None else denoised[some]
            out[some] = whole(z[some], rho, replace(noise, draws=noise.draws[some]), steps=steps, denoised=known)
        return out

    return sample


def _selected(view: P, prior: P, measurements: Tensor, meter: Meter) -> P:
    """The prior of some measurements, seen through the meter: the view itself where it is the same for all."""
    selected = prior.select(measurements)
    return view if selected is prior else metered(selected, meter)


def _to_the_end(prior: GeneratorPrior, meter: Meter) -> Callable[..., Any]:
    """A generator's `run` as the meter calls it, but for parts that give no images: these are no network calls."""

    def run(h: Tensor | tuple[Tensor, ...], start: int = 0, stop: int | None = None) -> Any:
        if stop is not None:
            return prior.run(h, start, stop)
        if isinstance(h, tuple):
            return meter.call(lambda *rows: prior.run(rows, start), *h)[0]
        return meter.call(lambda rows: prior.run(rows, start), h)[0]

    return run


def _by_rows(
    function: Callable[..., Any], shape: tuple[int, ...], outputs: tuple[tuple[int, ...], ...], meter: Meter
) -> Callable[[Tensor], Any]:
    """A function of (..., *shape) as the meter calls it, with rows (N, *shape)."""

    def call(values: Tensor) -> Any:
        lead = values.shape[: values.ndim - len(shape)]
        parts = meter.call(function, values.reshape(-1, *shape))
        results = tuple(part.reshape(*lead, *out) for part, out in zip(parts, outputs, strict=True))
        return results if len(results) > 1 else results[0]

    return call
