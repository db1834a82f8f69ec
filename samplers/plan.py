"""What a run will cost, before it: network calls, memory and seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import torch

from posterior.errors import TooSlowError
from posterior.problem import Posterior
from samplers.stopwatch import Stopwatch

_ESTIMATE = 1.3  # what a number of calls that is estimated may be off by
_JUDGED = 64  # draws at the least of which the verdict simulates measurements
_UNITS = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))
_TIMES = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
_ACCURACIES = ("high", "standard", "fast")


class Calls(NamedTuple):
    """Network evaluations of all draws of one measurement.

    Attributes:
        forward, backward: Their numbers; of a measurement on average, where these differ.
        caveat: Why the numbers are not exact, in a sentence; empty where settings fix them.
        warnings: What speaks against the run, in sentences.
    """

    forward: float
    backward: float = 0.0
    caveat: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What a run would cost; printed, it says so in a few lines.

    Attributes:
        method: The method with its settings.
        measurements, num_samples: How many measurements, and draws of each (1 of a solver).
        nfe, nfe_grad: Network evaluations forward and backward, a draw.
        caveat: Why these are not exact; empty where they are.
        seconds: Time of all network calls, those of the verdict among them, from one that was timed.
        memory: Bytes of the draws and of the network's work at their peak, without its weights, to a factor of two.
        warnings: What speaks against the run.
    """

    method: str
    measurements: int
    num_samples: int
    nfe: float
    nfe_grad: float
    caveat: str
    seconds: float
    memory: float
    warnings: tuple[str, ...] = ()

    @property
    def exact(self) -> bool:
        """Whether the number of network calls is known, and not estimated."""
        return not self.caveat

    @property
    def total_nfe(self) -> float:
        """Network evaluations forward, in all."""
        return self.nfe * self.num_samples * self.measurements

    @property
    def total_nfe_grad(self) -> float:
        """Network evaluations backward, in all."""
        return self.nfe_grad * self.num_samples * self.measurements

    @property
    def cost(self) -> str:
        """Network calls, time and memory, in a line."""
        about = "" if self.exact else "about "
        back = f" and {self.nfe_grad:,.0f} backward" if self.nfe_grad else ""
        total = f"{self.total_nfe:,.0f}" + (f" and {self.total_nfe_grad:,.0f}" if self.nfe_grad else "")
        return (
            f"{about}{self.nfe:,.0f} network calls{back} each, {total} in all; about "
            f"{in_time(self.seconds)}; up to about {in_bytes(self.memory)}"
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """The warnings, and why numbers are not exact, in sentences."""
        return (*(f"warning: {text}" for text in self.warnings), *([self.caveat] if self.caveat else []))

    def __str__(self) -> str:
        what = f"{_counted(self.num_samples, 'sample')} of {_counted(self.measurements, 'measurement')}"
        return "\n  ".join((f"{self.method}, {what}:", self.cost, *self.remarks))


class Plannable(Protocol):
    """A sampler as `fitted` knows it: a dataclass that makes plans."""

    @property
    def num_chains(self) -> int:
        """The number of samples is a multiple of it."""
        ...

    def planned(self, problem: Posterior, num_samples: int, batch_size: int | None, stopwatch: Stopwatch) -> Plan:
        """What so many samples would cost."""
        ...


P = TypeVar("P", bound=Plannable)


def plan_of(
    method: Any, problem: Posterior, num_samples: int, calls: Calls, together: int, batch_size: int | None,
    stopwatch: Stopwatch, verdict: int = 0,
) -> Plan:  # fmt: skip
    """The plan of a method that takes some network calls.

    Args:
        method: The sampler or the solver.
        problem: Prior, likelihood and measurements.
        num_samples: Draws of each measurement that are asked for.
        calls: What these take.
        together: Draws of a measurement that meet in a network call, and in memory.
        batch_size: Images a network call at the most.
        stopwatch: What times the network.
        verdict: Network calls of the verdict on a measurement.
    """
    count, rows = len(problem), max(1, together * len(problem))
    at_once = min(rows, batch_size or rows)
    seconds, memory = 0.0, 0.0
    forward = calls.forward - calls.backward + verdict
    if forward:
        there = stopwatch.pace(at_once, False)
        seconds, memory = there.seconds * forward * count, there.memory * at_once
    if calls.backward:
        both = stopwatch.pace(at_once, True)
        seconds, memory = seconds + both.seconds * calls.backward * count, both.memory * at_once
    entries = torch.Size(problem.event_shape).numel()
    draws = max(together, num_samples, _JUDGED) * count * entries * torch.finfo(problem.dtype).bits / 8
    return Plan(
        repr(method), count, num_samples, calls.forward / num_samples, calls.backward / num_samples, calls.caveat,
        seconds, memory + method.copies * draws, calls.warnings,
    )  # fmt: skip


def fitted(
    sampler: P, problem: Posterior, num_samples: int, batch_size: int | None, max_seconds: float
) -> tuple[P, int]:
    """The sampler and the number of samples with which a run takes no longer than it may, by its plan.

    Where it has an `accuracy` that is "high", else "standard", else "fast"; if none of them is quick enough it makes
    fewer samples at "fast".

    Raises:
        TooSlowError: The fewest samples that it makes take too long.
    """
    stopwatch, candidates, settings = Stopwatch(problem), [sampler], vars(sampler)
    if "accuracy" in settings:
        candidates = [type(sampler)(**(settings | {"accuracy": accuracy})) for accuracy in _ACCURACIES]

    def seconds(one: P, count: int) -> float:
        plan = one.planned(problem, count, batch_size, stopwatch)
        return plan.seconds * (1.0 if plan.exact else _ESTIMATE)

    for one in candidates:
        if seconds(one, num_samples) <= max_seconds:
            return one, num_samples
    quickest, step = candidates[-1], sampler.num_chains
    least = seconds(quickest, step)
    if least > max_seconds:
        what = f"{_counted(step, 'sample')} of {_counted(len(problem), 'measurement')}"
        raise TooSlowError(
            f"{quickest!r} takes about {in_time(least)} for {what}, more than max_seconds={max_seconds:g}: "
            "give it more time or fewer measurements; samplers.recommend(problem) says what others take"
        )
    fits, too_many = 1, num_samples // step
    while too_many - fits > 1:  # chains, or samples, by bisection: their time rises with their number
        middle = (fits + too_many) // 2
        fits, too_many = (middle, too_many) if seconds(quickest, middle * step) <= max_seconds else (fits, middle)
    return quickest, fits * step


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def in_time(seconds: float) -> str:
    """A time in words, as in 2.5 minutes."""
    return _in_units(seconds, _TIMES)


def in_bytes(size: float) -> str:
    """A number of bytes in words, as in 2.5 MB."""
    return _in_units(size, _UNITS)


def _in_units(value: float, units: tuple[tuple[str, float], ...]) -> str:
    """A number in the largest unit of which there is at least one."""
    name, size = next((unit for unit in units if value >= unit[1]), units[-1])
    return f"{value / size:.2g} {name}" if value < 100 * size else f"{value / size:,.0f} {name}"
