"""One table: what several methods do to groups, over several problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor
from tqdm import tqdm

from posterior.errors import InvalidValueError, ShapeError
from posterior.fairness.groups import Groups
from posterior.fairness.measures import Fairness, Interval, by_group, fairness
from posterior.methods import Method
from posterior.metrics import psnr
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples

HEADER = ("problem", "method", "PR gap", "RDP gap", "CPR gap", "SPE gap", "calibration gap", "PSNR by group (dB)")


@dataclass(frozen=True)
class Finding:
    """What a method did on a problem.

    Attributes:
        problem, method: Their names.
        fairness: Its gaps.
        psnr: Mean over each group's measurements, in dB, of one draw or of the estimate, (K,).
    """

    problem: str
    method: str
    fairness: Fairness
    psnr: Interval


@dataclass(frozen=True)
class FairnessReport:
    """The findings of a study, problem by problem; `str` of it is the table."""

    groups: tuple[str, ...]
    findings: tuple[Finding, ...]

    def rows(self) -> list[list[str]]:
        """One row a finding, under `HEADER`: of each gap the worst over groups, with its 95 % interval."""
        return [
            [
                one.problem, one.method, str(one.fairness.representation.worst()), str(one.fairness.parity),
                "–" if one.fairness.conditional is None else str(one.fairness.conditional.worst()),
                str(one.fairness.symmetry.worst()), str(one.fairness.calibration.worst()),
                ", ".join(f"{name} {value:.1f}" for name, value in zip(self.groups, one.psnr.value, strict=True)),
            ]
            for one in self.findings
        ]  # fmt: skip

    def __str__(self) -> str:
        lines = [HEADER, ["---"] * len(HEADER), *self.rows()]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True)
class FairnessStudy:
    """Methods on problems whose truth is known, judged by what they do to groups.

    Args:
        problems: Name → problem and its true images (B, *event_shape).
        methods: Samplers and solvers, each under its own name.
        groups: Who is represented.
        truths_from_prior: Whether the true images are draws of their problems' priors. Only then is P(X ∈ a | y) the
            prior's to tell: where it can, CPR gaps are measured by it, and the other gaps with less noise.

    Raises:
        ShapeError: Truths do not fit their problem.
        InvalidValueError: There is no problem or no method, or two methods have one name.
    """

    problems: Mapping[str, tuple[Posterior, Tensor]]
    methods: Sequence[Method]
    groups: Groups
    truths_from_prior: bool = False

    def __post_init__(self) -> None:
        names = [method.name for method in self.methods]
        if not self.problems or not names or len(set(names)) < len(names):
            raise InvalidValueError(f"a study needs problems, and methods of different names; got {names}")
        for name, (problem, truth) in self.problems.items():
            if truth.shape != (len(problem), *problem.event_shape):
                raise ShapeError(
                    f"the true images of {name!r} have shape {tuple(truth.shape)}; its measurements need "
                    f"{(len(problem), *problem.event_shape)}"
                )

    def run(
        self, num_samples: int = 64, *, seed: int = 0, batch_size: int | None = None, progress: bool = True
    ) -> FairnessReport:
        """Draw and judge.

        A sampler draws half of `num_samples` with `seed` and half with the seed after it: two independent runs, which
        tell a bias from the noise of draws (see `fairness`). A solver runs once.

        Raises:
            InvalidValueError: num_samples is odd or less than 2.
        """
        if num_samples < 2 or num_samples % 2:
            raise InvalidValueError(f"num_samples is even, two runs of half of it; got {num_samples}")
        findings = []
        with tqdm(total=len(self.problems) * len(self.methods), disable=not progress, desc="fairness") as bar:
            for name, (problem, truth) in self.problems.items():
                members = self.groups.of(truth, problem.event_shape)
                given = self.groups.given(problem) if self.truths_from_prior else None
                for method in self.methods:
                    runs = _two_runs(method, problem, num_samples // 2, seed, batch_size)
                    first, second = (self.groups.of(x, problem.event_shape).mean(0) for x in runs)
                    quality = by_group(psnr(runs[0][0], truth, problem.prior.value_range), members)
                    findings.append(Finding(name, method.name, fairness(members, first, second, given), quality))
                    bar.update()
        return FairnessReport(self.groups.names, tuple(findings))


def _two_runs(
    method: Method, problem: Posterior, num_samples: int, seed: int, batch_size: int | None
) -> tuple[Tensor, Tensor]:
    """Images (num_samples, B, *event_shape) of two independent runs; of a solver one image, twice the same."""

    def run(seed: int) -> Samples | PointEstimate:
        return method(problem, num_samples=num_samples, seed=seed, batch_size=batch_size, progress=False)

    answer = run(seed)
    if isinstance(answer, PointEstimate):
        return answer.x[None], answer.x[None]
    again = run(seed + 1)
    assert isinstance(again, Samples)
    return answer.x, again.x
