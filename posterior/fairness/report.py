"""The findings of a fairness study, as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from torch import Tensor

from posterior.fairness.measures import Fairness, Interval
from posterior.io.archive import Archived
from posterior.tables import markdown_table

HEADER = ("problem", "method", "PR gap", "RDP gap", "CPR gap", "SPE gap", "calibration gap")


@dataclass(frozen=True)
class Finding:
    """What a method did on a problem.

    Attributes:
        problem, method: Their names.
        fairness: Its gaps.
        errors: Name of an error → its mean over each group's measurements, of one draw or of the estimate, (K,).
        truth: Memberships of the true images, (B, K).
        first, second: Mean memberships of the draws of the two runs, (B, K); of an estimate twice the same.
        warnings: Why its draws should not be trusted, in plain words.
    """

    problem: str
    method: str
    fairness: Fairness
    errors: Mapping[str, Interval]
    truth: Tensor
    first: Tensor
    second: Tensor
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class FairnessReport(Archived):
    """The findings of a study, problem by problem; `str` of it is the table in Markdown, and all warnings below."""

    groups: tuple[str, ...]
    findings: tuple[Finding, ...]

    def header(self) -> list[str]:
        """Names of the table's columns."""
        return [*HEADER, *(f"{name} by group" for name in self.findings[0].errors)]

    def rows(self) -> list[list[str]]:
        """One row a finding: of each gap the largest, with its 95 % interval and who it is of."""
        pairs = [f"{a} for {b}" for b, a in combinations(self.groups, 2)]
        rows = []
        for one in self.findings:
            gaps = one.fairness
            conditional = "–"
            if gaps.conditional is not None:
                conditional = _largest(gaps.conditional, self.groups)
                conditional += "" if gaps.conditional_is_exact else ", estimated"
            errors = [
                ", ".join(f"{name} {float(value):.3g}" for name, value in zip(self.groups, error.value, strict=True))
                for error in one.errors.values()
            ]
            rows.append([
                one.problem, one.method, _largest(gaps.representation, self.groups), str(gaps.parity), conditional,
                _largest(gaps.symmetry, pairs), _largest(gaps.calibration, self.groups), *errors,
            ])  # fmt: skip
        return rows

    def __str__(self) -> str:
        table = markdown_table(self.header(), self.rows(), align="ll")
        doubts = [f"- {one.problem}: {warning}" for one in self.findings for warning in one.warnings]
        return "\n".join([table, *(["", "Warnings:", "", *doubts] if doubts else [])])


def _largest(gaps: Interval, names: Sequence[str]) -> str:
    return f"{gaps.worst()} {names[int(gaps.value.abs().argmax())]}"
