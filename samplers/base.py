"""Samplers: frozen hyper-parameters with `init` and `step`, and the samples that running them gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar, overload

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.checks import Count, Positive, check_fields, checked
from posterior.diagnostics.verdict import judge
from posterior.errors import IncompatibleError, InvalidValueError, check_finite, warn_caller
from posterior.io.checkpoint import open_checkpoint
from posterior.io.codec import from_arrays, to_arrays
from posterior.modes import own_modes
from posterior.moments import Moments
from posterior.noise import Noise
from posterior.priors.base import Prior
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior
from posterior.problem import LatentPosterior, Posterior
from posterior.results import Samples
from samplers.invariance import MOVED, moving_calls, verdicts_by_moving
from samplers.metering import Meter, metered
from samplers.plan import Calls, Plan, fitted, plan_of
from samplers.run import Run, identity
from samplers.state import Callback, Info, State
from samplers.stopwatch import Stopwatch

StateT = TypeVar("StateT", bound=State)

_BLOCK = 256  # draws of which moments are taken at once, unless batch_size says otherwise


@dataclass(frozen=True)
class Sampler(Generic[StateT]):
    """An algorithm that draws from p(x | y): a frozen set of hyper-parameters.

    Subclasses define `init`, `step` and `calls`, may define `check`, `draws_at_once`, `together`, `finish` and
    `reasons`.

    Attributes:
        priors: The kinds of prior that it takes.
        exact_for: What it converges to the posterior of, and how, in a line.
        copies: How many copies of its draws a run holds at the most.
        begins_with_noise: Whether samples begin as noise that hides the image, or as samples of a score prior that do.
        state_type: What `init` and `step` return.
        advice: What to do when draws should not be trusted.
        remedy: What to do when a draw becomes NaN or infinite.
    """

    priors: ClassVar[tuple[type[Prior], ...]] = (ScorePrior,)
    exact_for: ClassVar[str] = "nothing: its bias has to be measured"
    copies: ClassVar[int] = 14
    begins_with_noise: ClassVar[bool] = True
    state_type: ClassVar[type[Any]] = State
    advice: ClassVar[str] = ""
    remedy: ClassVar[str] = (
        "check that the prior gives finite values at these noise levels, and that step sizes suit the operator's norm"
    )

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        return type(self).__name__

    @property
    def num_chains(self) -> int:
        """Number of Markov chains the draws come from, those of one chain one after the other."""
        return 1

    def check(self, problem: Posterior) -> None:
        """Raise unless the method takes this prior and this likelihood.

        Raises:
            IncompatibleError: One of them is of another kind.
            NoiseLevelError: The prior's largest noise level is too small to begin with.
        """
        check_kind(self.name, self.priors, problem.prior)
        if self.begins_with_noise and isinstance(problem.prior, ScorePrior):
            problem.prior.check_reach(self.name)

    def target(self, problem: Posterior, batch_size: int | None) -> Posterior:
        """The posterior that is sampled: that of the latent, where the prior is a generator."""
        if isinstance(problem.prior, GeneratorPrior):
            return LatentPosterior(problem, batch_size)
        return problem

    def draws_at_once(self, num_samples: int) -> int:
        """How many draws the algorithm makes, at least as many as are wanted."""
        return num_samples

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        """The network evaluations that so many draws of one measurement take."""
        raise NotImplementedError(f"{self.name} does not say what it costs: it has no `calls`")

    def together(self, num_samples: int) -> int:
        """How many draws of a measurement meet in a network call, and in memory, at the most."""
        return self.draws_at_once(num_samples)

    def init(self, problem: Posterior, noise: Noise) -> StateT:
        """The state before the first step."""
        raise NotImplementedError

    def step(self, problem: Posterior, state: StateT, noise: Noise) -> tuple[StateT, Info]:
        """One step of every measurement that is not done; `Info` holds (B,) tensors for the record."""
        raise NotImplementedError

    def block(self, num_samples: int, at_once: int) -> int:
        """How many draws each of several runs makes: about `at_once`, in whole chains or populations."""
        return min(num_samples, self.draws_at_once(-(-at_once // self.num_chains) * self.num_chains))

    def finish(self, problem: Posterior, state: StateT, noise: Noise, num_samples: int) -> tuple[Tensor, Info]:
        """The draws (num_samples, B, *event) of a finished state, and the last figures to report, (B,) each."""
        return state.x[:num_samples], {}

    def parameters_of(self, state: StateT) -> dict[str, Tensor]:
        """Samples of the likelihood's parameters by name, (S, B) each; none unless the sampler draws them with x."""
        return {}

    def reasons(self, problem: Posterior, info: Info, num_samples: int) -> dict[str, Tensor]:
        """Why draws should not be trusted, in plain words, and those of which measurements, (B,), from all reports."""
        return {}

    def __call__(
        self,
        problem: Posterior,
        *,
        num_samples: int = 64,
        seed: int = 0,
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Samples:
        """The same as `sample` (the `Method` protocol)."""
        return self.sample(problem, num_samples, seed=seed, batch_size=batch_size, progress=progress)

    @checked
    @own_modes()
    def plan(self, problem: Posterior, num_samples: Count = 64, *, batch_size: Count | None = None) -> Plan:
        """What `sample` with the same arguments would cost; a network call is timed.

        Numbers of calls are exact where settings fix them, else estimates, as the plan says.

        Raises:
            InvalidValueError, IncompatibleError: As `sample`.
        """
        self.check(problem)
        return self.planned(problem, num_samples, batch_size, Stopwatch(problem))

    def planned(self, problem: Posterior, num_samples: int, batch_size: int | None, stopwatch: Stopwatch) -> Plan:
        """The plan, unchecked, by a stopwatch that may serve several."""
        seen = problem.with_prior(metered(problem.prior, Meter(batch_size)))  # numbers may be foretold by its network
        together, calls = self.together(num_samples), self.calls(seen, num_samples)
        moving = moving_calls(problem, num_samples)
        return plan_of(self, problem, num_samples, calls, together, batch_size, stopwatch, moving)

    @overload
    def sample(
        self,
        problem: Posterior,
        num_samples: int = 64,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        keep: Literal["samples"] = "samples",
        progress: bool = True,
        callback: Callback | None = None,
        checkpoint: str | Path | None = None,
        max_seconds: float | None = None,
    ) -> Samples: ...

    @overload
    def sample(
        self,
        problem: Posterior,
        num_samples: int = 64,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        keep: Literal["moments"],
        progress: bool = True,
        callback: Callback | None = None,
        checkpoint: str | Path | None = None,
        max_seconds: float | None = None,
    ) -> Moments: ...

    @checked
    @own_modes()
    def sample(
        self,
        problem: Posterior,
        num_samples: Count = 64,
        *,
        seed: int = 0,
        batch_size: Count | None = None,
        keep: Literal["samples", "moments"] = "samples",
        progress: bool = True,
        callback: Callback | None = None,
        checkpoint: str | Path | None = None,
        max_seconds: Positive | None = None,
    ) -> Samples | Moments:
        """Draw from the posterior of every measurement.

        Args:
            problem: Prior, likelihood and measurements.
            num_samples: Draws S of each measurement.
            seed: Any integer; the same seed gives the same draws.
            batch_size: Images a network call at the most. Memory depends on it, draws do by rounding alone: to 1e-9
                with an exact float64 denoiser. A network rounds by the shape of a call, which long chains may enlarge
                until draws are others of the same law.
            keep: "moments" keeps mean, standard deviation and quantiles instead of draws: these are made 256 at a time,
                or `batch_size` but no fewer than 16, by one run after another with noise of its own. Methods whose
                draws are independent make the same draws either way; populations and chains, each of a run, start
                anew, burn-in included.
            progress: Whether to show a progress bar.
            callback: Called at the end of each step with (step, state, info). A state that it returns takes the place
                of the sampler's: it may change x, or set `done` to stop.
            checkpoint: A file from which the run goes on if it exists, and that is kept up to date: after the start,
                every minute, and when the run ends, be it by Ctrl-C or an error.
            max_seconds: Time that the run may take. Before it starts its plan decides: where the sampler has an
                `accuracy` that becomes the highest that is quick enough, and where none is it makes fewer samples, as a
                warning and `Samples.provenance` say. No run is cut short, so that one may take longer than was planned.

        Raises:
            TooSlowError: The fewest samples that the sampler makes would take longer than `max_seconds`.
            InvalidValueError: An argument is of another type or out of range, or there are no measurements.
            IncompatibleError: The method does not take this prior or likelihood.
            NotFiniteError: The state became NaN or infinite.
            CheckpointMismatchError: The checkpoint is of another run; it says what differs.
            FileFormatError: The checkpoint is unreadable.
            FileWriteError: The checkpoint cannot be written, or another run uses it.
        """
        self.check(problem)
        if len(problem) == 0:
            raise InvalidValueError("the problem holds no measurements")
        if max_seconds is not None:
            if keep == "moments":
                raise InvalidValueError("max_seconds plans samples that are kept: leave keep='moments' out")
            if checkpoint is not None:
                raise InvalidValueError(
                    "max_seconds chooses by a time that differs from run to run, so that a checkpoint would be of "
                    "another run: leave one of them out, and take what plan() says for the other"
                )
            chosen, count = fitted(self, problem, num_samples, batch_size, max_seconds)
            if (chosen, count) != (self, num_samples):
                warn_caller(f"max_seconds={max_seconds:g}: {count} samples by {chosen!r}")
            return chosen.sample(
                problem, count, seed=seed, batch_size=batch_size, progress=progress, callback=callback,
                checkpoint=checkpoint,
            )  # fmt: skip
        draws = self.draws_at_once(num_samples)
        result: Samples | Moments
        if keep == "moments":
            result = self._moments(problem, num_samples, seed, batch_size, callback, checkpoint, progress)
        else:
            with open_checkpoint(checkpoint, lambda: identity("samples", self, problem, num_samples, seed)) as file:
                run = Run(self, problem, draws, num_samples, seed, file, batch_size, callback, progress)
                result = self._samples(run)
        for warning in result.warnings:
            warn_caller(warning)
        return result

    def _samples(self, run: Run) -> Samples:
        """The draws of a run."""
        ended = run.to_the_end()
        posed, problem, noise, state, trace = run.sound(*ended)
        z, last = self.finish(problem, state, noise.use("finish"), run.wanted)
        x = problem.prior.decode(z)  # counted, where it is a network's work
        if not bool(x.isfinite().flatten(2).all(2).all(0).any()):  # where some are finite, verdicts name the others
            check_finite(f"{self.name}'s samples", x.transpose(0, 1), self.remedy, problem.ids)
        latent = z if isinstance(problem, LatentPosterior) else None
        events = z if latent is None else x  # a likelihood is of the prior's own events, which latent diffusion decodes
        reasons = self.reasons(problem, trace | last, run.wanted)
        nfe = run.nfe()  # the verdict's calls are not the sampler's
        parameters = self.parameters_of(state)
        usual = posed.with_parameters(**{name: values.mean(0) for name, values in parameters.items()})
        verdict = judge(usual, events, reasons, self.advice, run.stopped(state, trace))
        by_moving = verdicts_by_moving(posed, events, self.advice, parameters)
        verdict = run.verdicts([one.joined(other) for one, other in zip(verdict, by_moving, strict=True)], ended.state)
        info = ended.trace | {name: run.spread(values) for name, values in last.items()}
        info["warned"] = torch.tensor([one.level != "sound" for one in verdict], device=x.device)
        latent = None if latent is None else run.spread(latent, 1)
        parameters = {name: run.spread(values, 1) for name, values in parameters.items()}
        x, source = run.spread(x, 1), run.provenance()
        return Samples(x, *nfe, info, self.num_chains, latent, verdict, source, parameters)

    def _moments(
        self, problem: Posterior, num_samples: int, seed: int, batch_size: int | None,
        callback: Callback | None, checkpoint: str | Path | None, progress: bool,
    ) -> Moments:  # fmt: skip
        """The moments of draws that are made block by block, one run after another."""
        size = self.block(num_samples, max(batch_size or _BLOCK, MOVED))  # else a verdict has too few samples
        work = f"moments of blocks of {size}"
        with (
            open_checkpoint(checkpoint, lambda: identity(work, self, problem, num_samples, seed)) as file,
            tqdm(total=num_samples, disable=not progress, desc=self.name, unit="draw") as bar,
        ):
            saved = file.load(problem.device) or {}
            under_way = saved.pop("block", None)
            kept = from_arrays(Moments, **saved) if saved else Moments.none_yet(len(problem), problem.device)
            bar.initial = bar.n = len(kept)
            while len(kept) < num_samples:
                count, part = min(size, num_samples - len(kept)), file.within("block", saved, under_way)
                draws = self.draws_at_once(count)
                run = Run(self, problem, draws, count, seed, part, batch_size, callback, progress, first=len(kept))
                kept.add(self._samples(run))
                bar.update(count)
                arrays, header = to_arrays(kept)
                saved, under_way = {"arrays": arrays, "header": header}, None
                file.save(saved)
        return kept


def check_kind(name: str, kinds: tuple[type[Prior], ...], prior: Prior) -> None:
    """Raise `IncompatibleError` unless a prior is of the kinds that a method takes."""
    if not isinstance(prior, kinds):
        takes = " or a ".join(kind.__name__ for kind in kinds)
        raise IncompatibleError(f"{name} takes a {takes}, not a {type(prior).__name__}")
