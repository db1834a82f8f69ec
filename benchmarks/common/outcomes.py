"""Runs on problems with known posteriors: their errors, and the record under docs/measured/outcomes/."""

from __future__ import annotations

import dataclasses
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from benchmarks.common.pages import DOCS
from posterior.errors import TrustWarning
from posterior.problem import Posterior
from posterior.results import Samples
from samplers.base import Sampler

RELATIVE_ERROR = (
    "The relative error is the error divided by the Monte Carlo error of an exact sample of equal size: 1 is as good "
    "as exact sampling."
)
SUMMARY = [
    "relative error, median", "mean [95 %]", "worst", "network calls (most)", "seconds", "error of log p(y)",
    "within 3 reported errors", "warned",
]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One run.

    Attributes:
        cell, problem, sampler: Kind and number of the problem, and who solved it.
        relative_error: Error divided by that of an exact sample of equal size.
        calls: Network calls a sample, forward and backward.
        seconds: Wall time.
        log_evidence_error: Error of the estimate of log p(y), NaN without one.
        reported_error: The standard error that the sampler gives for it, NaN without one.
        warned: Whether the sampler said not to trust its samples.
        extra: Other figures.
    """

    cell: str
    problem: int
    sampler: str
    relative_error: float
    calls: float
    seconds: float
    log_evidence_error: float
    reported_error: float
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
    """Draw `size` samples of one measurement and judge them: `judge(x)` gives the relative error and extras."""
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
    """The outcome of one of several measurements; `judged` is the relative error, then extras."""
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
    """The figures that `SUMMARY` names, as text."""
    errors = np.array([o.relative_error for o in outcomes])
    low, high = bootstrap(errors)
    error = np.array([o.log_evidence_error for o in outcomes])
    calls = [o.calls for o in outcomes]
    known = not np.isnan(error).any()
    within = np.mean([abs(o.log_evidence_error) <= 3 * o.reported_error for o in outcomes])
    return [
        f"{np.median(errors):.2f}", f"{errors.mean():.2f} [{low:.2f}, {high:.2f}]", f"{errors.max():.2f}",
        f"{np.mean(calls):.0f} ({max(calls):.0f})", f"{np.mean([o.seconds for o in outcomes]):.1f}",
        f"{error.mean():+.3f} ± {error.std() / len(error) ** 0.5:.3f}" if known else "–",
        f"{within:.0%}" if known else "–", f"{sum(o.warned for o in outcomes)}/{len(outcomes)}",
    ]  # fmt: skip


def bootstrap(values: ArrayLike, resamples: int = 4000) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean."""
    array = np.asarray(values, dtype=float)
    generator = np.random.default_rng(0)
    means = generator.choice(array, (resamples, len(array))).mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
