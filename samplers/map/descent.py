"""Descent of many losses at once, one a row, whose rows never meet."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.shapes import expand_right

Variables = tuple[Tensor, ...]  # rows (N, …) each
Optimiser = Literal["adam", "sgd", "lbfgs"]
Schedule = Literal["cosine", "ramp", "one cycle, drop", "constant"]

_MOMENTUM = 0.9
_MEMORY = 10  # pairs that L-BFGS remembers
_HALVINGS, _DECREASE = 12, 1e-4  # of its step at most, and Armijo's share of the predicted decrease
_WARM_UP, _DECAY = 0.05, 0.75  # parts of the steps in which a ramp rises and falls
_CYCLE = 0.9


class Descended(NamedTuple):
    """Where a descent ended.

    Attributes:
        variables: Rows of each variable.
        trace: Losses at each step and at the end, (steps + 1, N).
        losses: How often the loss was evaluated.
    """

    variables: Variables
    trace: Tensor
    losses: int


def descend(
    loss: Callable[[Variables], Tensor],
    start: Variables,
    steps: int,
    learning_rate: float,
    *,
    optimiser: Optimiser = "adam",
    schedule: Schedule = "cosine",
    project: Callable[[Variables], Variables] | None = None,
    best: bool = False,
    temperature: float = 0.0,
    noise: Noise | None = None,
    update: Callable[[], object] = lambda: None,
) -> Descended:
    """Minimise the loss of each row.

    Adam and SGD (with momentum 0.9) keep their state entry by entry. L-BFGS has a memory and a backtracking line search
    for each row (`torch.optim.LBFGS` has one for all, so that rows would depend on their neighbours), at one gradient a
    step: its trial points count as losses only.

    Args:
        loss: Losses (N,) of variables.
        start: Where rows begin.
        steps: Gradients.
        learning_rate: Step size at its largest; of L-BFGS the first trial.
        optimiser: "adam", "sgd" or "lbfgs".
        schedule: How the step size changes: "cosine" falls to 0; "ramp" rises over the first 5 % and falls along a
            cosine over the last 75 %; "one cycle, drop" goes from a tenth up and back within nine tenths of the steps,
            and then to a thousandth; "constant".
        project: Applied after each step.
        best: Whether to return each row's best iterate rather than its last.
        temperature: T: after a step of size η, and before the projection, N(0, 2ηT) is added to every entry.
        noise: Source of that noise, one measurement a row.
        update: Called after each step.

    Raises:
        InvalidValueError: An unknown optimiser or schedule.
    """
    for name, choice, known in (("optimiser", optimiser, Optimiser), ("schedule", schedule, Schedule)):
        if choice not in get_args(known):
            raise InvalidValueError(f"{name} is one of {', '.join(map(repr, get_args(known)))}, not {choice!r}")
    variables = tuple(v.detach().clone() for v in start)
    stepper: _Torch | _LBFGS = _LBFGS(loss) if optimiser == "lbfgs" else _Torch(variables, optimiser)
    trace, kept = [], variables
    lowest = variables[0].new_full((len(variables[0]),), math.inf)
    for step in range(steps):
        value, slope = value_and_grad(loss, variables)
        trace.append(value)
        if best:
            kept, lowest = _better(kept, lowest, variables, value)
        rate = learning_rate * _factor(schedule, step, steps)
        variables = stepper.step(variables, value, slope, rate)
        if temperature > 0 and noise is not None:
            draws = (noise.at(step).use("langevin", i).normal(v.shape[1:])[0] for i, v in enumerate(variables))
            variables = tuple(v + (2 * rate * temperature) ** 0.5 * d for v, d in zip(variables, draws, strict=True))
        if project is not None:
            variables = project(variables)
        update()
    with torch.no_grad():
        trace.append(loss(variables))
    if best:
        variables, _ = _better(kept, lowest, variables, trace[-1])
    return Descended(variables, torch.stack(trace), steps + 1 + stepper.trials)


def value_and_grad(loss: Callable[[Variables], Tensor], variables: Variables) -> tuple[Tensor, Variables]:
    """Losses (N,), and their gradients."""
    with torch.enable_grad():
        inputs = tuple(v.detach().requires_grad_() for v in variables)
        value = loss(inputs)
        slope = torch.autograd.grad(value.sum(), inputs)
    return value.detach(), slope


def _factor(schedule: Schedule, step: int, steps: int) -> float:
    if schedule == "constant":
        return 1.0
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * step / steps))
    if schedule == "one cycle, drop":
        along = step / (_CYCLE * steps)
        if along < 1:
            return (9 * (1 - abs(2 * along - 1)) + 1) / 10
        return 0.1 + (step / steps - _CYCLE) / (1 - _CYCLE) * (1e-3 - 0.1)
    rise = min(1.0, (step + 1) / max(1.0, _WARM_UP * steps))
    fall = max(0.0, (step - (1 - _DECAY) * steps) / (_DECAY * steps))
    return rise * 0.5 * (1 + math.cos(math.pi * fall))


def _better(kept: Variables, lowest: Tensor, new: Variables, value: Tensor) -> tuple[Variables, Tensor]:
    lower = value < lowest  # never where the loss is NaN
    chosen = tuple(torch.where(expand_right(lower, n.ndim - 1), n, k) for n, k in zip(new, kept, strict=True))
    return chosen, torch.where(lower, value, lowest)


class _Torch:
    """Optimisers of torch that treat every entry alike."""

    trials = 0

    def __init__(self, variables: Variables, name: Literal["adam", "sgd"]) -> None:
        self.held = [v.clone().requires_grad_() for v in variables]
        self.optimiser: torch.optim.Optimizer = (
            torch.optim.Adam(self.held) if name == "adam" else torch.optim.SGD(self.held, momentum=_MOMENTUM)
        )

    def step(self, variables: Variables, value: Tensor, slope: Variables, rate: float) -> Variables:
        for held, variable, gradient in zip(self.held, variables, slope, strict=True):
            held.data.copy_(variable)
            held.grad = gradient
        self.optimiser.param_groups[0]["lr"] = rate
        self.optimiser.step()
        return tuple(held.detach().clone() for held in self.held)


class _LBFGS:
    """Limited-memory BFGS with a memory and a line search for each row (Nocedal & Wright 2006, algorithm 7.4)."""

    def __init__(self, loss: Callable[[Variables], Tensor]) -> None:
        self.loss, self.trials = loss, 0
        self.before: tuple[Tensor, Tensor] | None = None
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []  # s, g − g′ and 1/⟨s, g − g′⟩ or 0

    @torch.no_grad()
    def step(self, variables: Variables, value: Tensor, slope: Variables, rate: float) -> Variables:
        x, gradient = _flat(variables), _flat(slope)
        if self.before is not None:
            s, y = x - self.before[0], gradient - self.before[1]
            product = (s * y).sum(1)
            useful = product > 1e-10 * s.norm(dim=1) * y.norm(dim=1)  # else the pair is left out, for this row
            self.pairs = [*self.pairs, (s, y, torch.where(useful, 1 / product, 0.0))][-_MEMORY:]
        direction = -self._times_inverse_hessian(gradient)
        descent = (direction * gradient).sum(1)
        wrong = ~(descent < 0)  # rounding: fall back on the gradient
        direction = torch.where(wrong[:, None], -gradient, direction)
        descent = torch.where(wrong, -gradient.square().sum(1), descent)
        size = torch.full_like(value, rate)
        if not self.pairs:  # of unknown scale
            size = size / gradient.norm(dim=1).clamp_min(1.0)
        moved, open_ = x, torch.ones_like(value, dtype=torch.bool)
        for _ in range(_HALVINGS):
            trial = x + size[:, None] * direction
            self.trials += 1
            found = open_ & (self.loss(_unflat(trial, variables)) <= value + _DECREASE * size * descent)
            moved = torch.where(found[:, None], trial, moved)
            open_ = open_ & ~found
            if not bool(open_.any()):
                break
            size = torch.where(open_, 0.5 * size, size)
        self.before = x, gradient
        return _unflat(moved, variables)

    def _times_inverse_hessian(self, gradient: Tensor) -> Tensor:
        weights = []
        for s, y, rho in reversed(self.pairs):
            weights.append(rho * (s * gradient).sum(1))
            gradient = gradient - weights[-1][:, None] * y
        if self.pairs:
            s, y, rho = self.pairs[-1]
            scale = torch.where(rho > 0, (s * y).sum(1) / y.square().sum(1), 1.0)
            gradient = scale[:, None] * gradient
        for (s, y, rho), weight in zip(self.pairs, reversed(weights), strict=True):
            gradient = gradient + (weight - rho * (y * gradient).sum(1))[:, None] * s
        return gradient


def _flat(variables: Variables) -> Tensor:
    return torch.cat([v.flatten(1) for v in variables], 1)


def _unflat(rows: Tensor, like: Variables) -> Variables:
    parts = rows.split([v[0].numel() for v in like], 1)
    return tuple(part.reshape(v.shape) for part, v in zip(parts, like, strict=True))
