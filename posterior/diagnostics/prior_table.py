"""The findings of the check of a prior: a table of them, and the same in plain words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from posterior.diagnostics.agreement import Disagreement
from posterior.diagnostics.calibration_table import SIGNIFICANCE, Check
from posterior.diagnostics.uniformity import detectable_effect
from posterior.tables import markdown_table

_CONVERGED = 0.05  # of the spread: below it, steps are hardly what a fault comes from


@dataclass(frozen=True)
class PriorCheck:
    """What `check_prior` found, at K noise levels in F functionals.

    Attributes:
        prior: Its class.
        judged: "model" if images were drawn from the prior itself, "images" if they were given.
        levels: Noise levels ρ.
        steps: Network calls a draw.
        num_images, num_draws: Images N and draws L of each, a level.
        checks: Uniform ranks of the images among the draws, K rows of F.
        drift: z-scores of the mean change f(x′) − f(x), (K, F).
        drift_p: Their p-values, adjusted, (K, F).
        disagreements: Pairs of levels whose mean changes differ.
        spread: Standard deviation of draws given z, root mean square over entries and images, (K,).
        doubling: RMS change of a draw by twice the steps, as a fraction of the spread, (K,). It bounds the Wasserstein
            distance between draws of `steps` and of twice as many calls.
    """

    prior: str
    judged: Literal["model", "images"]
    levels: tuple[float, ...]
    steps: int
    num_images: int
    num_draws: int
    checks: tuple[tuple[Check, ...], ...]
    drift: Tensor
    drift_p: Tensor
    disagreements: tuple[Disagreement, ...]
    spread: Tensor
    doubling: Tensor

    @property
    def passed(self) -> bool:
        """Whether no test finds a fault, at 5 % for all of them together."""
        return not self.faulty and not self.disagreements

    @property
    def faulty(self) -> tuple[float, ...]:
        """Levels at which draws are wrong."""
        return tuple(sorted({level for level, _ in self._findings()}))

    @property
    def title(self) -> str:
        """What was judged, how, in one line."""
        images = {"model": "images of the prior itself", "images": "given images"}[self.judged]
        return (
            f"Draws of p(x0 | x0 + ρε = z) of {self.prior} in {self.steps} calls: {self.num_images} {images}, "
            f"{self.num_draws} draws each"
        )

    def table(self) -> str:
        """A row for each level, as a table in Markdown."""
        names = [check.name for check in self.checks[0]]
        rows = []
        for k, rho in enumerate(self.levels):
            cells = [
                f"{c.adjusted:.2g} / {z:+.1f}" for c, z in zip(self.checks[k], self.drift[k].tolist(), strict=True)
            ]
            rows.append([f"{rho:.3g}", f"{float(self.spread[k]):.3g}", f"{float(self.doubling[k]):.1%}", *cells])
        table = markdown_table(["ρ", "spread", f"change by {2 * self.steps} calls", *names], rows, align="r")
        note = (
            "Spread: standard deviation of draws given z. Change: of a draw by twice the calls, RMS, in units of the "
            "spread. Functionals: adjusted p-value of uniform ranks / z-score of the mean change from image to draw."
        )
        return "\n\n".join([self.title, table, note])

    def summary(self) -> str:
        """The finding in plain words, and what to do."""
        faulty = self.faulty
        at = [k for k, rho in enumerate(self.levels) if rho in faulty or not faulty]
        change = (
            f"Twice the calls change a draw there by {float(self.doubling[at].max()):.0%} of its spread at the most"
        )
        if self.passed:
            effect = detectable_effect(self.num_images, self.num_draws, SIGNIFICANCE / (2 * self.drift.numel()))
            return (
                f"{self.title}. Draws with {self.steps} calls are calibrated at ρ = {_listed(self.levels)}: no test "
                f"finds a fault. {change}. In a functional with a Gaussian law, ranks at one level show, with 80 % "
                f"probability, {effect}."
            )
        parts = [f"{self.title}."]
        if faulty:
            found: dict[str, list[float]] = {}
            for level, finding in self._findings():
                found.setdefault(finding, []).append(level)
            listed = "; ".join(f"{finding} at {_listed(levels)}" for finding, levels in found.items())
            parts.append(f"Draws are off at ρ = {_listed(faulty)} ({listed}).")
        if self.disagreements:
            pairs: dict[str, list[str]] = {}
            for one in self.disagreements:
                pairs.setdefault(f"{one.low:.3g} and {one.high:.3g}", []).append(one.name)
            listed = "; ".join(f"{pair} ({', '.join(names)})" for pair, names in pairs.items())
            parts.append(f"Levels disagree about the prior: {listed}.")
        else:
            parts.append("No two levels disagree about the prior.")
        return " ".join([*parts, f"{change}: {self._advice(float(self.doubling[at].max()))}."])

    def _findings(self) -> Iterator[tuple[float, str]]:
        """Level and fault; that of the ranks where they show one, else that of the mean."""
        for k, rho in enumerate(self.levels):
            for check, z, p in zip(self.checks[k], self.drift[k].tolist(), self.drift_p[k].tolist(), strict=True):
                if not check.passed:
                    yield rho, f"{check.name}: {check.reading()}"
                elif p <= SIGNIFICANCE:
                    yield rho, f"{check.name}: draws too {'high' if z > 0 else 'low'} on average"

    def _advice(self, change: float) -> str:
        if change > _CONVERGED:
            return "take more steps (a sampler's accuracy='high') and check again"
        if self.judged == "images":
            return "more steps will hardly help, and the denoiser seems not to be that of these images"
        return (
            "more steps will hardly help, and the denoiser seems not to be that of one prior; or the images, if drawn "
            "by reverse diffusion, are not quite the prior's"
        )


def _listed(levels: tuple[float, ...] | list[float]) -> str:
    return ", ".join(f"{level:.3g}" for level in levels)
