"""A learned prior: whether ranks of the truth are uniform, and whether the check sees a careless run.

The prior is the shipped `digits` network; measurements are 4× block means with noise of σ = 0.5. The 200 truths are
drawn from the network itself, by 200 calls of reverse diffusion, 30 sweeps of noise ρ = 0.95 σ/‖A‖ and draws of
p(x | x + ρε), and one at ρ/8 and ρ/64, by as many calls as the sampler's (see `exactness.kinetic_calibration`), and 32
samples of a population of 36 are ranked. Functionals were fixed beforehand: those of
`posterior.diagnostics.DEFAULT_FUNCTIONALS`. The careless run takes one move at each of a few coarse levels and one
before the last two. Samples of one population are not quite independent given y: `effective_samples` says how nearly. A
first study, of seed 0, had found residual discretisation noise in the samples (their total variation was
above the truth's every time); the two moves of small ρ with which a run now ends came of it, and this study has seed 1.
Cost: 60 minutes on two cores, and a run that stopped goes on from results/ (the time below is then that of the last
part); --quick: seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from benchmarks.common.pages import DOCS, page, run
from benchmarks.exactness.settled import judged_by, last_rho, settled_truths
from posterior.diagnostics import Calibration
from posterior.figures import save_figure
from posterior.figures.calibration import calibration_figure
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling
from posterior.priors import ScorePrior
from posterior.priors.zoo import load_prior
from samplers import TemperedSMC
from samplers.tempering import BUDGETS, Budget

FINDING = (
    "On the `digits` network, truths rank uniformly among samples of `TemperedSMC`, but its intervals of single "
    "pixels are slightly too narrow: those of 90 % hold the truth in 86 % of cases. A careless run of few moves is "
    "found at fault by 3 of the 8 checks."
)
PROBLEMS, SAMPLES, POPULATION, CALLS = 200, 32, 36, 200


def report(result: Calibration) -> str:
    """Cost of the runs, and how they judged themselves."""
    calls, effective, warned = (result.reported[name] for name in ("nfe", "effective_samples", "warned"))
    return (
        f"Network calls a sample: {calls.mean():.0f}, at most {calls.max():.0f} (target: {CALLS}). Effective samples "
        f"of {result.num_samples + 2}: median {effective.median():.1f}, a tenth below {effective.quantile(0.1):.1f}. "
        f"Runs with a warning: {int(warned.sum())} of {len(warned)}."
    )


class Careless(TemperedSMC):
    """One move at each of a few coarse levels, and one at β = 1 before the last two."""

    @property
    def budget(self) -> Budget:
        return BUDGETS["standard"]._replace(prior_samples=1, ess=0.2, final_kinetic=1)


def main(quick: bool) -> str:
    """The two studies, as Markdown."""
    prior = cast(ScorePrior, load_prior("digits"))
    likelihood = GaussianLikelihood(Downsampling((1, 28, 28), 4), 0.5)
    problems, size, population = (2, 6, 8) if quick else (PROBLEMS, SAMPLES, POPULATION)
    usual = TemperedSMC("fast", population) if quick else TemperedSMC(population=population)
    noise, calls = Noise.of(1, list(range(problems))), usual.budget.steps
    truth = settled_truths(prior, last_rho(prior, likelihood), noise, 2 if quick else 30, calls, calls).settled
    sections = []
    for title, method in (("TemperedSMC", usual), ("careless", Careless(population=population))):
        result = judged_by(
            truth, method, prior, likelihood, num_problems=problems, num_samples=size, batch=2 if quick else 10, seed=1,
            checkpoint=None if quick else Path("results") / f"calibration-{title}.pt", progress=not quick,
        )  # fmt: skip
        sections += [f"## {title}", report(result), result.table(), result.summary()]
        print(*sections[-4:], sep="\n\n", flush=True)
        if not quick:
            save_figure(calibration_figure(result), DOCS / f"calibration-{title}.png")
            sections.append(f"![Ranks, TARP and coverage](calibration-{title}.png)")
    return page("Calibration on a learned prior", FINDING, sections, __doc__)


if __name__ == "__main__":
    run(main, "calibration.md", __doc__)
