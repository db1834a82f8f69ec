"""The findings of a calibration study: its checks, a table of them, and the same in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posterior.diagnostics.uniformity import DetectableEffect
from posterior.tables import markdown_table

Kind = Literal["rank", "TARP", "coverage"]

SIGNIFICANCE = 0.05  # of all checks of a study together
_SHOWN = (0.5, 0.8, 0.9)  # nominal coverages in the table

# The meaning of a curve above the diagonal, below it, first above and then below, and the reverse
_READINGS = {
    "rank": ("draws too high", "draws too low", "draws too narrow", "draws too wide"),
    "TARP": (
        "truth nearer than draws to where y points",
        "truth farther than draws from where y points",
        "draws too narrow",
        "draws too wide",
    ),
    "coverage": ("regions too large", "regions too small, or displaced", "wrong shape", "wrong shape"),
}


@dataclass(frozen=True)
class Check:
    """One check of a study: a curve that lies on the diagonal, up to chance, if draws are exact.

    Attributes:
        name: The functional, "TARP", "joint region" or "pixel intervals".
        kind: What the curve is: the distribution function of ranks in a functional ("rank"), of ranks in distance from
            a reference point, which is expected coverage ("TARP"), or the share of truths in regions ("coverage").
        levels: Nominal values (K,).
        observed: The curve (K,).
        lower, upper: Simultaneous 95 % band (K,).
        p_value: Of this check alone.
        adjusted: The same, adjusted for the number of checks (Holm).
    """

    name: str
    kind: Kind
    levels: Tensor
    observed: Tensor
    lower: Tensor
    upper: Tensor
    p_value: float
    adjusted: float

    @property
    def passed(self) -> bool:
        """Whether the check finds no fault at 5 %, all checks of the study taken together."""
        return self.adjusted > SIGNIFICANCE

    def reading(self) -> str:
        """In which way the draws seem wrong."""
        difference = self.observed - self.levels
        tilt = float(difference.mean())
        # For uniform ranks this has half the standard deviation of the mean.
        bend = 2 * float((difference * (0.5 - self.levels).sign()).mean())
        above, below, narrow, wide = _READINGS[self.kind]
        if abs(tilt) >= abs(bend) or self.kind == "coverage":
            return above if tilt > 0 else below
        return narrow if bend > 0 else wide

    def at(self, level: float) -> float:
        """The curve at the nominal level that is nearest."""
        return float(self.observed[(self.levels - level).abs().argmin()])


@dataclass(frozen=True)
class Calibration:
    """What a calibration study found.

    Attributes:
        method: Name of the method.
        judged: "sampler" if truths were drawn from the prior's own model, "model" if they were held-out images.
        num_problems: Problems N.
        num_samples: Ranked draws L of each.
        checks: The checks.
        detectable: What the study would have found in a functional with 80 % probability, adjusted for the checks.
        ranks: Ranks of the truth among the draws in each functional, and in the distances of TARP and of the joint
            region: (N,) each, 0 … L.
        crps: Continuous ranked probability score of each problem, mean over entries, (N,).
        energy_score: Energy score of each problem, (N,).
        reported: What the method said of each problem, by name, (N,) each: nfe, and the entries of `Samples.info` with
            one number for each measurement.
    """

    method: str
    judged: Literal["sampler", "model"]
    num_problems: int
    num_samples: int
    checks: tuple[Check, ...]
    detectable: DetectableEffect
    ranks: dict[str, Tensor]
    crps: Tensor
    energy_score: Tensor
    reported: dict[str, Tensor]

    def __getitem__(self, name: str) -> Check:
        """The check of that name."""
        return {check.name: check for check in self.checks}[name]

    @property
    def passed(self) -> bool:
        """Whether no check finds a fault, at 5 % for all of them together."""
        return all(check.passed for check in self.checks)

    @property
    def title(self) -> str:
        """What was judged, how, in one line."""
        truths = {"sampler": "truths drawn from the prior", "model": "held-out truths"}[self.judged]
        return (
            f"{self.judged.capitalize()} calibration of {self.method}: {self.num_problems} problems, {truths}, "
            f"{self.num_samples} draws each"
        )

    def table(self) -> str:
        """The checks as a table in Markdown, the scores below."""
        shown = " / ".join(f"{level:.0%}".rstrip("%") for level in _SHOWN)
        rows = []
        for check in self.checks:
            covered = " / ".join(f"{100 * check.at(level):.0f}" for level in _SHOWN) if check.kind != "rank" else "–"
            finding = "–" if check.passed else check.reading()
            rows.append([check.name, f"{check.p_value:.2g}", f"{check.adjusted:.2g}", covered, finding])
        table = markdown_table(["check", "p", "p, adjusted", f"coverage at {shown} %", "finding"], rows, "lrrrl")
        crps, energy = _mean_and_error(self.crps), _mean_and_error(self.energy_score)
        scores = f"CRPS {crps}, energy score {energy} (mean ± standard error over problems; smaller is better)"
        return "\n\n".join([self.title, table, scores])

    def summary(self) -> str:
        """The finding in plain words."""
        faults = sorted((check for check in self.checks if not check.passed), key=lambda check: check.p_value)
        if faults:
            found = "; ".join(f"{check.name}: {check.reading()} (p = {check.adjusted:.2g})" for check in faults)
            subject = "the sampler" if self.judged == "sampler" else "the sampler, or the prior for these images,"
            verdict = f"{len(faults)} of {len(self.checks)} checks find {subject} at fault. {found}."
        else:
            least = min(check.adjusted for check in self.checks)
            verdict = f"None of {len(self.checks)} checks finds a fault (least adjusted p = {least:.2g})."
        return (
            f"{self.title}. {verdict} In a functional with a Gaussian posterior the study finds, with 80 % "
            f"probability, {self.detectable}."
        )


def _mean_and_error(values: Tensor) -> str:
    error = float(values.std() / torch.tensor(float(len(values))).sqrt())
    return f"{float(values.mean()):.4g} ± {error:.2g}"
