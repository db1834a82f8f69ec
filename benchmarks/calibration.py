"""A learned prior: whether ranks of the truth are uniform, and whether the check sees a careless run.

The shipped `digits` network, 4× block means with noise of σ = 0.5, 200 truths drawn from the network itself by 200
calls of reverse diffusion, 32 draws ranked of a population of 36. Functionals fixed beforehand: those of
`posterior.diagnostics.DEFAULT_FUNCTIONALS`. The careless run takes one move at each of a few coarse levels and one at
β = 1. Draws of one population are not quite independent given y: `effective_samples` says how nearly. Cost: 60
minutes on two cores; --quick: seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.table import DOCS, run
from posterior.diagnostics import Calibration, calibrate
from posterior.figures import save_figure
from posterior.figures.calibration import calibration_figure
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Downsampling
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.results import Samples
from samplers import TemperedSMC
from samplers.tempered_smc import BUDGETS, Budget

PROBLEMS, DRAWS, CALLS = 200, 32, 200


@dataclass
class Watched:
    """A method that remembers what its runs cost, and what they said about themselves."""

    method: TemperedSMC
    name: str

    def __post_init__(self) -> None:
        self.runs: list[Samples] = []

    def __call__(self, problem: Posterior, **options: Any) -> Samples:
        samples = self.method(problem, **options)
        self.runs.append(samples)
        return samples

    def report(self) -> str:
        calls = torch.cat([r.nfe for r in self.runs])
        effective = torch.cat([r.info["effective_samples"] for r in self.runs])
        warned = torch.cat([r.info["warned"] for r in self.runs])
        return (
            f"Network calls a draw: {calls.mean():.0f}, at most {calls.max():.0f} (bar: {CALLS}). Effective samples of "
            f"{len(self.runs[0])}: median {effective.median():.1f}, a tenth below {effective.quantile(0.1):.1f}. "
            f"Runs with a warning: {int(warned.sum())} of {len(warned)}."
        )


class Careless(TemperedSMC):
    """One move at each of a few coarse levels, and one at β = 1."""

    @property
    def budget(self) -> Budget:
        return BUDGETS["standard"]._replace(start=1, keep=0.2, settle=1)


def main(quick: bool) -> str:
    """The two studies, as Markdown."""
    prior = load_prior("digits")
    likelihood = GaussianLikelihood(Downsampling((1, 28, 28), 4), 0.5)
    problems, draws = (2, 6) if quick else (PROBLEMS, DRAWS)
    accuracy, population = ("fast", 8) if quick else ("standard", 36)
    studies: dict[str, tuple[Watched, Calibration]] = {}
    for label, method in (
        ("TemperedSMC", TemperedSMC(accuracy, population)),
        ("careless", Careless(population=population)),
    ):
        watched = Watched(method, label)
        result = calibrate(
            watched, prior, likelihood, num_problems=problems, num_samples=draws, batch=2 if quick else 10,
            progress=not quick,
        )  # fmt: skip
        studies[label] = watched, result
        print(watched.report(), result.table(), sep="\n\n", flush=True)
        if not quick:
            save_figure(calibration_figure(result), DOCS / f"calibration-{label}.png")
    (watched, result), (careless, rejected) = studies["TemperedSMC"], studies["careless"]
    return "\n\n".join([
        "# Calibration on a learned prior",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        "## TemperedSMC",
        watched.report(),
        result.table(),
        result.summary(),
        "" if quick else "![Ranks, TARP and coverage](calibration-TemperedSMC.png)",
        "## One move a level",
        careless.report(),
        rejected.table(),
        rejected.summary(),
        "" if quick else "![Ranks, TARP and coverage](calibration-careless.png)",
    ])  # fmt: skip


if __name__ == "__main__":
    run(main, "calibration.md", __doc__ or "")
