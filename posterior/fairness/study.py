"""One table: what several methods do to groups, over several problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from torch import Tensor
from tqdm import tqdm

from posterior.errors import InvalidValueError, ShapeError
from posterior.fairness.groups import Groups
from posterior.fairness.measures import Fairness, Interval, by_group, fairness
from posterior.methods import Method
from posterior.metrics import psnr
from posterior.problem import Posterior
from posterior.results import PointEstimate

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

    Raises:
        ShapeError: Truths do not fit their problem.
        InvalidValueError: There is no problem or no method, or two methods have one name.
    """

    problems: Mapping[str, tuple[Posterior, Tensor]]
    methods: Sequence[Method]
    groups: Groups

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
        pairs = list(product(self.problems.items(), self.methods))
        findings = []
        for (name, (problem, truth)), method in tqdm(pairs, disable=not progress, desc="fairness"):
            runs = []
            for run_seed in (seed, seed + 1):
                answer = method(
                    problem, num_samples=num_samples // 2, seed=run_seed, batch_size=batch_size, progress=False
                )
                if isinstance(answer, PointEstimate):
                    runs = [answer.x[None]] * 2
                    break
                runs.append(answer.x)
            first, second = (self.groups.of(x, problem.event_shape).mean(0) for x in runs)
            members = self.groups.of(truth, problem.event_shape)
            measured = fairness(members, first, second, self.groups.given(problem))
            quality = by_group(psnr(runs[0][0], truth, problem.prior.value_range), members)
            findings.append(Finding(name, method.name, measured, quality))
        return FairnessReport(self.groups.names, tuple(findings))
