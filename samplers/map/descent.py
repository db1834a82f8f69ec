"""Optimisers of many losses at once, whose rows never meet and whose memory is a tensor that a state can hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor

from posterior.problem import LatentPosterior
from posterior.shapes import expand_right
from samplers.adam import adam

Optimiser = Literal["adam", "sgd", "lbfgs"]

_MOMENTUM = 0.9
_PAIRS = 10  # that L-BFGS remembers
_HALVINGS, _DECREASE = 12, 1e-4  # of its step at most, and Armijo's share of the predicted decrease
_SIZES = {"adam": 2, "sgd": 1, "lbfgs": 2 * (_PAIRS + 1)}  # of memories, in points


def blank_memory(optimiser: Optimiser, x: Tensor) -> Tensor:
    """What an optimiser remembers before its first step from points (S, B, ...): (S, B, k, P), P entries of each."""
    return x.new_zeros(*x.shape[:2], _SIZES[optimiser], x[0, 0].numel())


def by_adam(x: Tensor, slope: Tensor, memory: Tensor, step: int, rate: float) -> tuple[Tensor, Tensor]:
    """One step of Adam from points (S, B, ...) of a given gradient: points, and the memory."""
    first, second = memory.unbind(2)
    new, first, second = adam(x.flatten(2), slope.flatten(2), first, second, step, rate)
    return new.view_as(x), torch.stack([first, second], 2)


def by_sgd(x: Tensor, slope: Tensor, memory: Tensor, rate: float) -> tuple[Tensor, Tensor]:
    """One step of gradient descent with momentum 0.9."""
    memory = _MOMENTUM * memory + slope.flatten(2)[:, :, None]
    return x.add(memory.view_as(x), alpha=-rate), memory


def by_lbfgs(
    loss: Callable[[Tensor], Tensor], x: Tensor, value: Tensor, slope: Tensor, memory: Tensor, step: int, rate: float
) -> tuple[Tensor, Tensor]:
    """One step of L-BFGS, with a memory and a backtracking line search for each row.

    (`torch.optim.LBFGS` has one for all, so that rows would depend on their neighbours.) It takes one gradient; its
    trial points cost losses only.

    Args:
        loss: Losses (S, B) of points (S, B, ...).
        x, value, slope: The points to step from, their losses and gradients.
        memory: What the last step remembered, of the first one `blank_memory`.
        step: Steps taken before.
        rate: Size of the first trial.

    References:
        Nocedal & Wright 2006, Numerical Optimization, algorithms 3.1 and 7.4.
    """
    point = torch.stack([x.flatten(2), slope.flatten(2)], 2)
    past = memory.unflatten(2, (-1, 2))
    past = torch.cat([past[:, :, 1:], point[:, :, None]], 2) if step > 0 else point[:, :, None].expand_as(past)
    direction = -_times_inverse_hessian(past.diff(dim=2), slope.flatten(2))
    descent = (direction * slope.flatten(2)).sum(-1)
    wrong = ~(descent < 0)  # rounding: fall back on the gradient
    direction = torch.where(wrong[..., None], -slope.flatten(2), direction).view_as(x)
    descent = torch.where(wrong, -slope.flatten(2).square().sum(-1), descent)
    size = torch.full_like(value, rate)
    if step == 0:  # of unknown scale
        size = size / slope.flatten(2).norm(dim=-1).clamp_min(1.0)
    moved, open_ = x, torch.ones_like(value, dtype=torch.bool)
    for _ in range(_HALVINGS):
        trial = x + expand_right(size, x.ndim - 2) * direction
        found = open_ & (loss(trial) <= value + _DECREASE * size * descent)
        moved = torch.where(expand_right(found, x.ndim - 2), trial, moved)
        open_ = open_ & ~found
        if not bool(open_.any()):
            break
        size = torch.where(open_, 0.5 * size, size)
    return moved, past.flatten(2, 3)


def value_and_grad(
    loss: Callable[..., Tensor], problem: LatentPosterior[Any], x: Tensor, *rows: Tensor
) -> tuple[Tensor, Tensor]:
    """Losses (S, B) of a problem at x (S, B, ...), given further rows, and their gradients in x."""

    def both(problem: LatentPosterior[Any], x: Tensor, *rows: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = loss(problem, x, *rows)
            (slope,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), slope

    value, slope = problem.in_parts(both, x, *rows)
    return value, slope


def lower(x: Tensor, value: Tensor, other: Tensor, lowest: Tensor) -> tuple[Tensor, Tensor]:
    """The points (S, B, ...) x where their loss is below that of the others, else the others; and the loss (S, B)."""
    below = value < lowest  # never where the loss is NaN
    return torch.where(expand_right(below, x.ndim - 2), x, other), torch.where(below, value, lowest)


def _times_inverse_hessian(pairs: Tensor, slope: Tensor) -> Tensor:
    """The quasi-Newton step of slopes (S, B, P) after differences of points and of slopes, (S, B, pairs, 2, P)."""
    found = []
    for s, y in (pair.unbind(2) for pair in pairs.unbind(2)):
        product = (s * y).sum(-1)
        useful = product > 1e-10 * s.norm(dim=-1) * y.norm(dim=-1)  # else the pair is left out, for this row
        found.append((s, y, torch.where(useful, 1 / product, 0.0)))
    weights = []
    for s, y, rho in reversed(found):
        weights.append(rho * (s * slope).sum(-1))
        slope = slope - weights[-1][..., None] * y
    s, y, rho = found[-1]
    slope = torch.where(rho > 0, (s * y).sum(-1) / y.square().sum(-1), 1.0)[..., None] * slope
    for (s, y, rho), weight in zip(found, reversed(weights), strict=True):
        slope = slope + (weight - rho * (y * slope).sum(-1))[..., None] * s
    return slope
