"""What a run on a problem with a known posterior comes to, and its record under docs/measured/outcomes/."""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from benchmarks.common.table import DOCS, bootstrap
from posterior.errors import TrustWarning
from posterior.problem import Posterior
from posterior.results import Samples
from samplers.base import Sampler


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        cell, problem, sampler: What was run on what.
        ratio: Error in units of its floor, what as many exact draws give.
        calls: Network calls a draw.
        seconds: Wall time.
        evidence, evidence_error: Error of the estimate of log p(y) and the error that is reported, NaN without one.
        warned: Whether the sampler said not to trust the draws.
        extra: Other figures.
    """

    cell: str
    problem: int
    sampler: str
    ratio: float
    calls: float
    seconds: float
    evidence: float
    evidence_error: float
    warned: bool
    extra: tuple[float, ...] = ()


def measure(
    cell: str,
    index: int,
    name: str,
    sampler: Sampler,
    problem: Posterior,
    log_evidence: float,
    size: int,
    judge: Callable[[Tensor], tuple[float, ...]],
    seed: int = 0,
) -> Outcome:
    """Draw `size` samples of one measurement and judge them: `judge(x)` gives the ratio to the floor and extras."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        samples = sampler.sample(problem, size, seed=seed, progress=False)
    seconds = time.perf_counter() - start
    return outcome_of(cell, index, name, samples, 0, seconds, log_evidence, judge(samples.x[:, 0]))


def outcome_of(
    cell: str, index: int, name: str, samples: Samples, which: int, seconds: float, log_evidence: float,
    judged: tuple[float, ...],
) -> Outcome:  # fmt: skip
    """The outcome of one of several measurements; `judged` is the ratio to the floor, then extras."""
    info = samples.info
    known = "log_evidence_error" in info
    return Outcome(
        cell, index, name, judged[0], float(samples.nfe[which] + samples.nfe_grad[which]), seconds,
        float(info["log_evidence"][which]) - log_evidence if known else float("nan"),
        float(info["log_evidence_error"][which]) if known else float("nan"),
        bool(info["warned"][which]) if "warned" in info else bool(samples.warnings), judged[1:],
    )  # fmt: skip


def save(part: str, outcomes: list[Outcome], folder: Path = DOCS / "outcomes") -> None:
    """Record the outcomes of a part of the bench."""
    path = folder / f"{part}.json"
    path.parent.mkdir(exist_ok=True, parents=True)
    rows = [json.dumps(dataclasses.asdict(outcome)) for outcome in outcomes]
    path.write_text("[\n" + ",\n".join(rows) + "\n]\n", encoding="utf-8")


def load(part: str, folder: Path = DOCS / "outcomes") -> list[Outcome]:
    """Read what `save` wrote; nothing if that part has not been run."""
    path = folder / f"{part}.json"
    if not path.exists():
        return []
    return [Outcome(**row | {"extra": tuple(row["extra"])}) for row in json.loads(path.read_text(encoding="utf-8"))]


def pick(outcomes: list[Outcome], cell: str, sampler: str) -> list[Outcome]:
    """Those of one cell and sampler."""
    return [o for o in outcomes if o.cell == cell and o.sampler == sampler]


def summary(outcomes: list[Outcome]) -> list[str]:
    """What `SUMMARY` names, as text."""
    ratio = np.array([o.ratio for o in outcomes])
    low, high = bootstrap(ratio)
    error = np.array([o.evidence for o in outcomes])
    calls = [o.calls for o in outcomes]
    known = not np.isnan(error).any()
    within = np.mean([abs(o.evidence) <= 3 * o.evidence_error for o in outcomes])
    return [
        f"{np.median(ratio):.2f}", f"{ratio.mean():.2f} [{low:.2f}, {high:.2f}]", f"{ratio.max():.2f}",
        f"{np.mean(calls):.0f} ({max(calls):.0f})", f"{np.mean([o.seconds for o in outcomes]):.1f}",
        f"{error.mean():+.3f} ± {error.std() / len(error) ** 0.5:.3f}" if known else "–",
        f"{within:.0%}" if known else "–", f"{sum(o.warned for o in outcomes)}/{len(outcomes)}",
    ]  # fmt: skip


SUMMARY = [
    "median ÷ floor", "mean [95 %]", "worst", "network calls (most)", "seconds", "error of log p(y)", "within 3 errors",
    "warned",
]  # fmt: skip
