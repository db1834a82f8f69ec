"""The loop that drives an algorithm: active measurements, network calls, progress, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

import posterior
from posterior.diagnostics.verdict import UNDEFINED, broken
from posterior.errors import check_finite
from posterior.identity import problem_identity
from posterior.io.checkpoint import Checkpoint, Identity
from posterior.io.fingerprint import fingerprint
from posterior.methods import Method
from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.provenance import Provenance
from posterior.verdict import Verdict
from samplers.metering import Meter, metered
from samplers.state import Algorithm, Callback, Info, State

_SAVE_EVERY, _SHOW_EVERY = 60.0, 0.1  # seconds
_START = "{desc}, start: {elapsed}, {n_fmt}{unit}"
_BAR = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"


class Ended(NamedTuple):
    """Where a run ended.

    Attributes:
        state: The last state, of every measurement.
        trace: What each step reported, (steps, B, …) each, NaN where a measurement took no step.
    """

    state: Any
    trace: Info


class _Whole(NamedTuple):
    """What is done at the end of a step: the state, how many steps led to it, and their network calls."""

    state: Any
    steps: int
    nfe: Tensor


class Run:
    """One call of a sampler or a solver.

    The measurements that are not done take steps together; their results do not depend on which others still run.

    Args:
        algorithm: What takes the steps.
        problem: Prior, likelihood and measurements.
        draws: How many draws (chains, particles, restarts) the algorithm has of each measurement.
        wanted: How many of these the user asked for, among which the cost is shared.
        seed: Any integer.
        checkpoint: What the run goes on from, and is kept in.
        batch_size: Rows a network call at the most.
        callback, progress: As for `Sampler.sample`.
        first: Number of the first draw.

    Attributes:
        posed: The user's problem, under a metered prior: what the result is judged by.
        problem: The posterior that is worked on, whose events may be a generator's latents.
        noise: The random source of all draws.
        diverged: Of which measurements the state became NaN or infinite, while that of others did not: (B,).
    """

    def __init__(
        self, algorithm: Algorithm, problem: Posterior, draws: int, wanted: int, seed: int, checkpoint: Checkpoint,
        batch_size: int | None = None, callback: Callback | None = None, progress: bool = True, first: int = 0,
    ) -> None:  # fmt: skip
        self.algorithm, self.wanted, self.callback, self.progress = algorithm, wanted, callback, progress
        self.seed, self.checkpoint, self.meter = seed, checkpoint, Meter(batch_size)
        problem = problem.usable()
        self.posed = problem.with_prior(metered(problem.prior, self.meter))
        self.problem = algorithm.target(self.posed, batch_size)
        noise = problem.noise(seed, draws)
        self.noise = replace(noise, draws=noise.draws + first)
        self._began = self._saved_at = time.monotonic()
        self._everyone = torch.arange(len(problem), device=problem.device)
        self.diverged = torch.zeros_like(self._everyone, dtype=torch.bool)
        self._nfe = torch.zeros(2, len(problem), dtype=torch.float64, device=problem.device)
        self._trace: list[Info] = []

    @torch.no_grad()
    def to_the_end(self) -> Ended:
        """Take steps until all measurements are done; whatever ends them early, the whole ones are kept."""
        saved = self.checkpoint.load(self.problem.device)
        if saved is None:
            self._whole = _Whole(self._start(), 0, self._nfe)
            self._save()
        else:
            self._nfe, self._trace = saved["nfe"], saved["trace"]
            self._whole = _Whole(self.algorithm.state_type(**saved["state"]), len(self._trace), self._nfe)
            self._began -= saved["seconds"]
        before = self._whole.steps
        try:
            self._steps()
        finally:
            if self._whole.steps > before:
                self._save()
        names, trace = (self._trace or [{}])[0], self._trace
        return Ended(self._whole.state, {name: torch.stack([entry[name] for entry in trace]) for name in names})

    def nfe(self) -> tuple[Tensor, Tensor]:
        """Forward and backward network evaluations until now, for each draw that was asked for: (B,) each."""
        self._count(self._everyone)
        forward, backward = self._nfe / self.wanted
        return forward, backward

    def stopped(self, state: State, trace: Info) -> list[str | None]:
        """Where the run of each measurement was stopped before its end, None where it was not."""
        beta = trace.get("beta")
        places: list[str | None] = []
        for b, part in enumerate(state.progress.tolist()):
            text = f"the run was stopped after {part:.0%}"
            if beta is not None:
                text = f"the run was stopped at β = {float(beta[~beta[:, b].isnan(), b][-1]):.2g}"
            places.append(None if part >= 1 else text)
        return places

    def sound(self, state: State, trace: Info) -> tuple[Posterior, Posterior, Noise, Any, Info]:
        """`posed`, `problem`, `noise`, the state and the trace of the measurements that did not diverge."""
        if not bool(self.diverged.any()):
            return self.posed, self.problem, self.noise, state, trace
        index = (~self.diverged).nonzero().flatten()
        problems = self.posed.select(index), self.problem.select(index)
        return *problems, self.noise.select(index), state.select(index), {k: v[:, index] for k, v in trace.items()}

    def spread(self, values: Tensor, axis: int = 0) -> Tensor:
        """Values of the measurements that did not diverge, along an axis, among all: NaN elsewhere."""
        if not bool(self.diverged.any()):
            return values
        values = values if values.is_floating_point() else values.double()
        shape = (*values.shape[:axis], len(self.diverged), *values.shape[axis + 1 :])
        return values.new_full(shape, torch.nan).index_copy(axis, (~self.diverged).nonzero().flatten(), values)

    def verdicts(self, verdicts: Sequence[Verdict], state: State) -> tuple[Verdict, ...]:
        """Those of the measurements that did not diverge, among all."""
        others = iter(verdicts)
        return tuple(
            broken(f"its state became NaN or infinite after {part:.0%} of the run") if diverged else next(others)
            for diverged, part in zip(self.diverged.tolist(), state.progress.tolist(), strict=True)
        )

    def provenance(self) -> Provenance:
        """What makes the result."""
        return provenance_of(self.algorithm, self.posed, self.seed, self._began)

    def _start(self) -> State:
        """The state before the first step, which may take many network calls."""
        options: dict[str, Any] = {"unit": " network calls", "bar_format": _START, "delay": 0.5, "leave": False}
        with tqdm(desc=self.algorithm.name, disable=not self.progress, **options) as bar:
            self.meter.watch = bar.update
            state: State = self.algorithm.init(self.problem, self.noise.use("init"))
        self.meter.watch = None
        self._count(self._everyone)
        return state

    def _steps(self) -> None:
        """All steps from the last that was taken; `_whole` and `_trace` hold what is done."""
        everyone, state = self._everyone, self._whole.state
        active, problem, shown = everyone, self.problem, 0.0
        done = self._look(state, "at the start")
        options: dict[str, Any] = {"bar_format": _BAR, "miniters": 0, "smoothing": 0, "leave": None}
        begun = float(state.progress.mean())  # of which the time left is not foretold
        with tqdm(desc=self.algorithm.name, total=1, initial=begun, disable=not self.progress, **options) as bar:
            self.meter.watch = lambda rows: bar.update(0)  # the time goes on, if nothing else
            while done < len(everyone):
                if len(active) + done > len(everyone):
                    active = (~state.done).nonzero().flatten()
                    problem = self.problem.select(active)
                step = state.step = len(self._trace)
                if len(active) == len(everyone):
                    state, info = self.algorithm.step(problem, state, self.noise.at(step))
                else:
                    part, info = self.algorithm.step(problem, state.select(active), self.noise.select(active).at(step))
                    state = state.merged(active, part)
                done = self._look(state, f"at step {step}")
                if self.callback and (wanted := self.callback(step, state, info)) is not None:
                    state.check_successor(wanted, f"the callback after step {step}")
                    state = wanted
                    done = self._look(state, f"in the callback after step {step}")
                self._count(active, info.get("calls"))
                self._trace.append({name: _spread(values, active, len(everyone)) for name, values in info.items()})
                self._whole = _Whole(state, step + 1, self._nfe)  # at once, whenever Ctrl-C comes
                now = time.monotonic()
                if self.progress and (done == len(everyone) or now - shown > _SHOW_EVERY):
                    self._show(bar, state)
                    shown = now
                if now - self._saved_at > _SAVE_EVERY:
                    self._save()

    def _save(self) -> None:
        state, steps, nfe = self._whole
        seconds = time.monotonic() - self._began
        self.checkpoint.save({"state": state.tensors(), "nfe": nfe, "trace": self._trace[:steps], "seconds": seconds})
        self._saved_at = time.monotonic()

    def _count(self, active: Tensor, each: Tensor | None = None) -> None:
        """Add the calls since the last time: the same for all measurements, or in proportion to `each` (B,)."""
        rows = torch.tensor([self.meter.rows, self.meter.grad_rows], dtype=torch.float64, device=active.device)
        self.meter.reset()
        share = torch.full((len(active),), 1 / len(active), dtype=rows.dtype, device=rows.device)
        if each is not None and float(each.sum()) > 0:
            share = each.to(share) / each.sum()
        self._nfe = self._nfe.index_add(1, active, rows[:, None] * share)

    def _look(self, state: State, when: str) -> int:
        """How many measurements are done, after a check of the state: so are those that diverge, unless all do."""
        watched = state.watched()
        # One transfer from the device, the only one of a step. A sum of finite terms may overflow: then look closer.
        finite = torch.stack([_over_rows(torch.sum, values).isfinite() for values in watched.values()]).all(0)
        done, fine = torch.stack([state.done.sum(), (finite | self.diverged).sum()]).tolist()
        if fine == len(finite):
            return int(done)
        self.diverged |= ~torch.stack([_over_rows(torch.all, values.isfinite()) for values in watched.values()]).all(0)
        if bool(self.diverged.all()):
            for label, values in watched.items():
                name, remedy = f"{self.algorithm.name} {when}", self.algorithm.remedy
                if label != "x":
                    name, remedy = f"{label} of {name}", UNDEFINED
                check_finite(name, values, remedy, self.problem.ids)
        state.done = state.done | self.diverged
        state.x = state.x.masked_fill(self.diverged.reshape(-1, *[1] * (state.x.ndim - 2)), torch.nan)
        return int(state.done.sum())

    def _show(self, bar: tqdm, state: State) -> None:
        bar.n = round(float(state.progress.mean()), 4)
        calls = float(self._nfe[0].mean()) / self.wanted
        bar.set_postfix(measurements=f"{int(state.done.sum())}/{len(self.problem)}", calls=f"{calls:.0f}")


def _over_rows(reduce: Callable[..., Tensor], values: Tensor) -> Tensor:
    """Sums or the like of rows (B, …): (B,)."""
    return reduce(values, dim=tuple(range(1, values.ndim))) if values.ndim > 1 else values


def identity(work: str, algorithm: Algorithm, problem: Posterior, wanted: int, seed: int) -> Identity:
    """What tells a run from any other, for its checkpoint."""
    settings = {"kind": work, "method": fingerprint(algorithm), "number of samples": str(wanted), "seed": str(seed)}
    return settings | dict(problem_identity(problem))


def provenance_of(algorithm: Algorithm | Method, problem: Posterior, seed: int, began: float) -> Provenance:
    """What makes a result now, with work that began at a time of `time.monotonic`."""
    return Provenance(
        name=algorithm.name,
        settings=repr(algorithm),
        prior=type(problem.prior).__name__,
        likelihood=type(problem.likelihood).__name__,
        operator=type(problem.operator).__name__,
        seed=seed,
        ids=tuple(problem.ids),
        y=problem.y,
        seconds=time.monotonic() - began,
        version=posterior.__version__,
    )


def _spread(values: Tensor, active: Tensor, size: int) -> Tensor:
    """Values of the active measurements among all, NaN elsewhere."""
    full = values.new_full((size, *values.shape[1:]), float("nan"), dtype=torch.float64)
    full[active] = values.double()
    return full
