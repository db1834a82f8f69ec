"""The verdict on a result: whether it may be taken for what was asked for, why not, and what to do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

Level = Literal["sound", "too few to tell", "doubtful", "not the posterior"]
LEVELS: tuple[Level, ...] = get_args(Level)  # from the best to the worst

_NAMED = 5  # measurements that a sentence names


@dataclass(frozen=True)
class Verdict:
    """What is to be thought of the result for one measurement.

    Attributes:
        level: "sound" where no check found a fault, "too few to tell" where there is too little to check, "doubtful"
            where a check found a fault, "not the posterior" where the result cannot be taken for samples of it.
        findings: The faults found, in plain words, the gravest first.
        remedy: What to do; empty where nothing is to be done.
    """

    level: Level = "sound"
    findings: tuple[str, ...] = ()
    remedy: str = ""

    def __str__(self) -> str:
        text = "; ".join((f"{self.level}: {self.findings[0]}", *self.findings[1:])) if self.findings else self.level
        return f"{text}. {self.remedy[:1].upper()}{self.remedy[1:]}" if self.remedy else text

    def joined(self, other: Verdict) -> Verdict:
        """The verdict on both results together: the worse level, all findings."""
        worse, better = sorted((self, other), key=lambda verdict: LEVELS.index(verdict.level), reverse=True)
        findings = tuple(dict.fromkeys((*worse.findings, *better.findings)))
        return Verdict(worse.level, findings, worse.remedy or better.remedy)


def sentences(name: str, ids: Sequence[int | str], verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    """A sentence for each finding on some measurement, for warnings: who, which measurements, what, and what to do.

    Args:
        name: The method.
        ids: Names of the measurements.
        verdicts: One for each.
    """
    found: dict[tuple[str, str, str], list[str]] = {}
    for identity, verdict in zip(ids, verdicts, strict=True):
        for finding in verdict.findings:
            found.setdefault((verdict.level, finding, verdict.remedy), []).append(str(identity))
    texts = []
    for (level, finding, remedy), names in found.items():
        shown = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
        texts.append(f"{name}: {level} for measurement(s) {shown}: {finding}" + (f"; {remedy}" if remedy else ""))
    return tuple(texts)
