"""`KineticLangevin` on a learned prior: whether ranks of the truth are uniform.

The prior is the shipped `digits` network. Measurements are 4× block means with noise of σ = 0.1 and of 0.5, and the
upper half of the image with σ = 0.1. For each, 200 truths are drawn from the network itself by 200 calls of reverse
diffusion and ranked among 19 samples, a chain each; the functionals are those of
`posterior.diagnostics.DEFAULT_FUNCTIONALS`, and p-values are adjusted by Holm's method. Chains of one measurement are
independent. Seed 0. Cost: 60 minutes on two cores, and a run that stopped goes on from results/ (the time below is then
that of the last part); --quick: seconds.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.common.pages import page, run
from posterior.diagnostics import calibrate
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Downsampling, Inpainting
from posterior.priors.zoo import load_prior
from samplers import KineticLangevin

FINDING = "(not yet run at full size)"
SHAPE, PROBLEMS, SAMPLES, TARGET = (1, 28, 28), 200, 19, 0.01
CELLS = {
    "4× block means, σ = 0.5": lambda: GaussianLikelihood(Downsampling(SHAPE, 4), 0.5),
    "4× block means, σ = 0.1": lambda: GaussianLikelihood(Downsampling(SHAPE, 4), 0.1),
    "upper half, σ = 0.1": lambda: GaussianLikelihood(Inpainting.half_image(SHAPE, "top"), 0.1),
}


def main(quick: bool) -> str:
    """The three studies, as Markdown."""
    prior, sections = load_prior("digits"), []
    cells = dict(list(CELLS.items())[:1]) if quick else CELLS
    problems, size, sampler = (2, 5, KineticLangevin("fast")) if quick else (PROBLEMS, SAMPLES, KineticLangevin())
    for number, (title, likelihood) in enumerate(cells.items()):
        result = calibrate(
            sampler, prior, likelihood(), num_problems=problems, num_samples=size, batch=2 if quick else 20, seed=0,
            checkpoint=None if quick else Path("results") / f"kinetic-calibration-{number}.pt", progress=not quick,
        )  # fmt: skip
        calls, warned = (result.reported[name] for name in ("nfe", "warned"))
        cost = f"Network calls a sample: {calls.mean():.0f}. Runs with a warning: {int(warned.sum())} of {len(warned)}."
        sections += [f"## {title}", cost, result.table(), result.summary()]
        print(*sections[-4:], sep="\n\n", flush=True)
    sections.append(f"Target: no p-value, adjusted, below {TARGET}, at 200 network calls or fewer.")
    return page("Calibration of KineticLangevin on a learned prior", FINDING, sections, __doc__)


if __name__ == "__main__":
    run(main, "kinetic_calibration.md", __doc__)
