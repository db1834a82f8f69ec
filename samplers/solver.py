"""Solvers: frozen hyper-parameters that find one image for each measurement, and the loop of those that iterate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from posterior.checks import Count, check_fields, checked
from posterior.diagnostics.verdict import judge_estimate
from posterior.errors import InvalidValueError, check_finite, warn_caller
from posterior.io.checkpoint import open_checkpoint
from posterior.modes import own_modes
from posterior.noise import Noise
from posterior.priors.base import Prior
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from posterior.shapes import expand_right
from samplers.base import check_kind
from samplers.plan import Calls, Plan, plan_of
from samplers.run import Run, identity
from samplers.state import Callback, Info, State
from samplers.stopwatch import Stopwatch

StateT = TypeVar("StateT", bound=State)


@dataclass(frozen=True)
class Solver:
    """An algorithm that finds one image for each measurement: a frozen set of hyper-parameters.

    Attributes:
        priors: The kinds of prior that it takes.
        copies: How many copies of its points a run holds at the most.
    """

    priors: ClassVar[tuple[type[Prior], ...]] = (GeneratorPrior,)
    copies: ClassVar[int] = 14

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return type(self).__name__

    def check(self, problem: Posterior) -> None:
        """Raise `IncompatibleError` unless the method takes this prior and this likelihood."""
        check_kind(self.name, self.priors, problem.prior)

    @property
    def num_starts(self) -> int:
        """How many points each measurement is searched from, S of a state's (S, B, *event)."""
        return 1

    def calls(self, problem: Posterior) -> Calls:
        """The network evaluations that an estimate of one measurement takes."""
        raise NotImplementedError(f"{self.name} does not say what it costs: it has no `calls`")

    @checked
    @own_modes()
    def plan(self, problem: Posterior, *, batch_size: Count | None = None) -> Plan:
        """What `solve` with the same arguments would cost; a network call is timed, and no more."""
        self.check(problem)
        return plan_of(self, problem, 1, self.calls(problem), self.num_starts, batch_size, Stopwatch(problem))

    def __call__(
        self,
        problem: Posterior,
        *,
        num_samples: int = 1,
        seed: int = 0,
        batch_size: int | None = None,
        progress: bool = True,
    ) -> PointEstimate:
        """The same as `solve` (the `Method` protocol)."""
        return self.solve(problem, seed=seed, batch_size=batch_size, progress=progress)

    def solve(
        self, problem: Posterior, *, seed: int = 0, batch_size: int | None = None, progress: bool = True
    ) -> PointEstimate:
        """Estimate the image of every measurement.

        Args:
            problem: Prior, likelihood and measurements.
            seed: Any integer; the same seed gives the same estimate.
            batch_size: Images a network call at the most.
            progress: Whether to show a progress bar.
        """
        raise NotImplementedError


class Found(NamedTuple):
    """An estimate before the network calls that it took are counted; the fields are those of `PointEstimate`."""

    x: Tensor
    loss: Tensor
    converged: Tensor
    info: Info
    latent: Tensor | None = None


@dataclass(frozen=True)
class IterativeSolver(Solver, Generic[StateT]):
    """A solver that takes steps, on all measurements together, from a state that a checkpoint can hold.

    Subclasses define `check`, `calls`, `init`, `step` and `finish`, may define `target` and `num_starts`.

    Attributes:
        state_type: What `init` and `step` return.
        remedy: What to do when an estimate or its loss becomes NaN or infinite.
    """

    state_type: ClassVar[type[Any]] = State
    remedy: ClassVar[str] = ""

    def target(self, problem: Posterior, batch_size: int | None) -> Posterior:
        """The problem that steps are taken on."""
        return problem

    def init(self, problem: Any, noise: Noise) -> StateT:
        """The state before the first step."""
        raise NotImplementedError

    def step(self, problem: Any, state: StateT, noise: Noise) -> tuple[StateT, Info]:
        """One step of every measurement that is not done; `Info` holds (B, …) tensors for the record."""
        raise NotImplementedError

    def finish(self, problem: Any, state: StateT, trace: Info) -> Found:
        """The estimates of a finished state, given what each step reported, (steps, B, …)."""
        raise NotImplementedError

    @checked
    @own_modes()
    def solve(
        self,
        problem: Posterior,
        *,
        seed: int = 0,
        batch_size: Count | None = None,
        progress: bool = True,
        callback: Callback | None = None,
        checkpoint: str | Path | None = None,
    ) -> PointEstimate:
        """Estimate the image of every measurement.

        Args:
            problem: Prior, likelihood and measurements.
            seed: Any integer; the same seed gives the same estimate.
            batch_size: Images a network call at the most. Memory depends on it; estimates do up to the network's
                rounding.
            progress: Whether to show a progress bar.
            callback: Called at the end of each step with (step, state, info). A state that it returns takes the place
                of the solver's: it may change its tensors, or set `done` to stop.
            checkpoint: A file from which the run goes on if it exists, and that is kept up to date: after the start,
                every minute, and when the run ends, be it by Ctrl-C or an error.

        Raises:
            IncompatibleError: The method does not take this prior or likelihood.
            InvalidValueError: An argument is of another type or out of range, or there are no measurements.
            NotFiniteError: An estimate or its loss became NaN or infinite.
            CheckpointMismatchError: The checkpoint is of another run; it says what differs.
            FileFormatError: The checkpoint is unreadable.
            FileWriteError: The checkpoint cannot be written, or another run uses it.
        """
        self.check(problem)
        if len(problem) == 0:
            raise InvalidValueError("the problem holds no measurements")
        with open_checkpoint(checkpoint, lambda: identity("estimate", self, problem, 1, seed)) as file:
            run = Run(self, problem, self.num_starts, 1, seed, file, batch_size, callback, progress)
            ended = run.to_the_end()
            posed, target, _, state, trace = run.sound(*ended)
            found = self.finish(target, state, trace)
        finite = found.loss.isfinite()
        if not bool(finite.any()):
            check_finite(f"{self.name}'s loss", found.loss, self.remedy, posed.ids)
        x = found.x.where(expand_right(finite, found.x.ndim - 1), torch.nan)
        verdict = run.verdicts(judge_estimate(posed, x, found.converged), ended.state)
        estimate = PointEstimate(
            run.spread(x),
            run.spread(found.loss),
            run.spread(found.converged) == 1,
            *run.nfe(),
            {name: run.spread(values, values.ndim - 1) for name, values in found.info.items()},
            None if found.latent is None else run.spread(found.latent),
            verdict,
            run.provenance(),
        )
        for warning in estimate.warnings:
            warn_caller(warning)
        return estimate
