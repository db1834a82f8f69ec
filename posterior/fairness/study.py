"""Fairness studies: several methods on several problems, judged by groups."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from posterior.errors import InvalidValueError, ShapeError, TrustWarning, check_finite
from posterior.fairness.groups import Groups
from posterior.fairness.measures import by_group, fairness
from posterior.fairness.report import FairnessReport, Finding
from posterior.identity import problem_identity
from posterior.io.checkpoint import Identity, open_checkpoint
from posterior.io.fingerprint import fingerprint
from posterior.methods import Method
from posterior.metrics import psnr
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples


@dataclass(frozen=True)
class FairnessStudy:
    """Methods on problems whose truth is known, judged by what they do to groups.

    Args:
        problems: Name → problem and its true images (B, *event_shape).
        methods: Samplers and solvers, each under its own name.
        groups: Who is represented.
        truths_from_prior: Whether the true images are draws of their problems' priors. Only then is P(X ∈ a | y) the
            prior's to tell: where it can, CPR gaps are measured by it, and the other gaps with less noise.
        reference: Name of the one of the methods whose draws estimate P(X ∈ a | y) where the prior does not tell it: a
            sampler that deserves trust. Its own calibration gap says if it does.
        errors: Errors of images by name beside PSNR, functions of reconstructions and truths (B, *event_shape) each
            → (B,); a `PerceptualDistance` is one.

    Raises:
        ShapeError: Truths do not fit their problem.
        InvalidValueError: There is no problem or no method, two methods have one name, or the reference is none of
            them.
    """

    problems: Mapping[str, tuple[Posterior, Tensor]]
    methods: Sequence[Method]
    groups: Groups
    truths_from_prior: bool = False
    reference: str | None = None
    errors: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [method.name for method in self.methods]
        if not self.problems or not names or len(set(names)) < len(names):
            raise InvalidValueError(f"a study needs problems, and methods of different names; got {names}")
        if self.reference is not None and self.reference not in names:
            raise InvalidValueError(f"the reference is one of the methods {names}, not {self.reference!r}")
        for name, (problem, truth) in self.problems.items():
            if truth.shape != (len(problem), *problem.event_shape):
                raise ShapeError(
                    f"the true images of {name!r} have shape {tuple(truth.shape)}; its measurements need "
                    f"{(len(problem), *problem.event_shape)}"
                )

    def run(
        self,
        num_samples: int = 64,
        *,
        seed: int = 0,
        batch_size: int | None = None,
        checkpoint: str | Path | None = None,
        progress: bool = True,
    ) -> FairnessReport:
        """Draw and judge.

        A sampler draws half of `num_samples` with `seed` and half with the seed after it: two independent runs, which
        tell a bias from the noise of draws (see `fairness`). A solver runs once.

        Args:
            num_samples: Draws of each measurement, even.
            seed: Of the first run.
            batch_size: Images a network call, passed to the methods.
            checkpoint: A file that is saved after each method on each problem; a study that stopped goes on from it.
            progress: Whether to show a progress bar.

        Raises:
            InvalidValueError: num_samples is not an even number ≥ 2.
            NotFiniteError: A method gives NaN or infinity.
            CheckpointMismatchError: The checkpoint is that of another study; it says what differs.
            FileFormatError: The checkpoint cannot be read.
            FileWriteError: The checkpoint cannot be written, or another run uses it.
        """
        if num_samples < 2 or num_samples % 2:
            raise InvalidValueError(f"num_samples is even, two runs of half of it; got {num_samples}")
        # first, so that a rule that does not take these images is known before the work
        members = {name: self.groups.of(x, problem.event_shape).cpu() for name, (problem, x) in self.problems.items()}
        with open_checkpoint(checkpoint, lambda: self._identity(members, num_samples, seed)) as file:
            done: dict[str, dict[str, Any]] = file.load() or {}
            pairs = [(name, method) for name in self.problems for method in self.methods]
            left = [(name, method) for name, method in pairs if method.name not in done.get(name, {})]
            with tqdm(total=len(pairs), initial=len(pairs) - len(left), disable=not progress, desc="fairness") as bar:
                for name, method in left:
                    bar.set_postfix_str(f"{method.name} on {name}")
                    problem, truth = self.problems[name]
                    first, second, doubts = _two_runs(method, problem, num_samples // 2, seed, batch_size)
                    for x in (first, second):
                        check_finite(f"{method.name} on {name!r}", x, "the method's settings may be at fault")
                    seen = self._seen(problem, truth, first, second) | {"warnings": doubts}
                    done.setdefault(name, {})[method.name] = seen
                    file.save(done)
                    bar.update()
        return FairnessReport(self.groups.names, tuple(self._findings(members, done)))

    def _seen(self, problem: Posterior, truth: Tensor, first: Tensor, second: Tensor) -> dict[str, Any]:
        """What is kept of the images (S, B, *event_shape) of two runs: memberships, and errors of the first image."""
        measured = {"PSNR (dB)": psnr(first[0], truth, problem.prior.value_range)}
        measured |= {name: error(first[0], truth) for name, error in self.errors.items()}
        first, second = (self.groups.of(x, problem.event_shape).mean(0).cpu() for x in (first, second))
        return {"first": first, "second": second, "errors": {name: v.cpu() for name, v in measured.items()}}

    def _findings(self, members: Mapping[str, Tensor], done: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
        findings = []
        for name, (problem, _) in self.problems.items():
            truth = members[name]
            exact = self.groups.given(problem) if self.truths_from_prior else None
            for method, seen in ((method.name, done[name][method.name]) for method in self.methods):
                first, second = seen["first"], seen["second"]
                given: Tensor | tuple[Tensor, Tensor] | None = None if exact is None else exact.cpu()
                if given is None and self.reference not in (None, method):
                    given = done[name][self.reference]["first"], done[name][self.reference]["second"]
                errors = {error: by_group(values, truth) for error, values in seen["errors"].items()}
                gaps = fairness(truth, first, second, given)
                findings.append(Finding(name, method, gaps, errors, truth, first, second, tuple(seen["warnings"])))
        return findings

    def _identity(self, members: Mapping[str, Tensor], num_samples: int, seed: int) -> Identity:
        """What tells the study from any other, for its checkpoint."""
        settings = {"methods": self.methods, "number of samples": num_samples, "seed": seed}
        settings |= {"names of the groups": self.groups.names, "names of the errors": list(self.errors)}
        identity: dict[str, str | Tensor] = {name: fingerprint(value) for name, value in settings.items()}
        for name, (problem, truth) in self.problems.items():
            some = truth[:2]
            parts = {"truth": fingerprint(truth), "groups of the truth": members[name], **problem_identity(problem)}
            parts |= {f"values of the error {error!r}": f(some / 2, some) for error, f in self.errors.items()}
            identity |= {f"{part} of {name!r}": value for part, value in parts.items()}
        return {"kind": "fairness study"} | identity


def _two_runs(
    method: Method, problem: Posterior, num_samples: int, seed: int, batch_size: int | None
) -> tuple[Tensor, Tensor, list[str]]:
    """Images (num_samples, B, *event_shape) of two independent runs, and what they warn of.

    A solver gives one image, twice the same.
    """

    def run(seed: int) -> Samples | PointEstimate:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # the report has them
            return method(problem, num_samples=num_samples, seed=seed, batch_size=batch_size, progress=False)

    answer = run(seed)
    if isinstance(answer, PointEstimate):
        return answer.x[None], answer.x[None], []
    again = run(seed + 1)
    assert isinstance(again, Samples)
    return answer.x, again.x, [*answer.warnings, *again.warnings]
