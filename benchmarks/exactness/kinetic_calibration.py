"""`KineticLangevin` on a learned prior: whether ranks of the truth are uniform.

The prior is the shipped `digits` network. Measurements are 4× block means with noise of σ = 0.1 and of 0.5, and the
upper half of the image with σ = 0.1. For each, 200 truths are drawn from the network itself by 200 calls of reverse
diffusion and ranked among 19 samples, a chain each; the functionals are those of
`posterior.diagnostics.DEFAULT_FUNCTIONALS`, and p-values are adjusted by Holm's method. Chains of one measurement are
independent. Seed 0.

A trained network is not the denoiser of one law: what it says at one noise level need not agree with what it says at
another. How far it agrees is measured without a sampler to be judged. From truth and measurement, exact Gibbs sweeps
are made (noise is added to the image, coupled to that of the measurement, at the largest ρ, and p(x | x + ρε) drawn by
20 calls): if the truths were draws of the law that the network has at ρ, no functional of image and measurement would
change on average. The change is given over the functional's standard deviation among 400 problems, ± its standard
error, after 1, 4 and 16 sweeps.

Cost: 40 minutes on two cores, and a run that stopped goes on from results/ (the time below is then that of the last
part); --quick: seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from benchmarks.common.pages import page, run
from posterior.diagnostics import calibrate
from posterior.diagnostics.calibration import draw_truth
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, Inpainting, LinearOperator
from posterior.priors import ScorePrior
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import KineticLangevin
from samplers.auxiliary_kernel import PriorSampling, auxiliary_move, largest_rho
from samplers.curvature import Curvature
from samplers.kernel import Move

FINDING = "(not yet run at full size)"
SHAPE, PROBLEMS, SAMPLES, TARGET = (1, 28, 28), 200, 19, 0.01
CHAINS, SWEEPS, SWEEP_CALLS = 400, (1, 4, 16), 20
CELLS = {
    "4× block means, σ = 0.5": lambda: GaussianLikelihood(Downsampling(SHAPE, 4), 0.5),
    "4× block means, σ = 0.1": lambda: GaussianLikelihood(Downsampling(SHAPE, 4), 0.1),
    "upper half, σ = 0.1": lambda: GaussianLikelihood(Inpainting.half_image(SHAPE, "top"), 0.1),
}


def main(quick: bool) -> str:
    """The three studies, as Markdown."""
    prior, sections = cast(ScorePrior, load_prior("digits")), list[str]()
    cells = dict(list(CELLS.items())[:1]) if quick else CELLS
    problems, size, sampler = (2, 5, KineticLangevin("fast")) if quick else (PROBLEMS, SAMPLES, KineticLangevin())
    for number, (title, likelihood) in enumerate(cells.items()):
        result = calibrate(
            sampler, prior, likelihood(), num_problems=problems, num_samples=size, batch=2 if quick else 20, seed=0,
            checkpoint=None if quick else Path("results") / f"kinetic-calibration-{number}.pt", progress=not quick,
        )  # fmt: skip
        calls, warned = (result.reported[name] for name in ("nfe", "warned"))
        cost = f"Network calls a sample: {calls.mean():.0f}. Runs with a warning: {int(warned.sum())} of {len(warned)}."
        agreement = self_consistency(prior, likelihood(), *((4, (1,), 4) if quick else (CHAINS, SWEEPS, SWEEP_CALLS)))
        sections += [f"## {title}", cost, result.table(), result.summary(), agreement]
        print(*sections[-5:], sep="\n\n", flush=True)
    sections.append(f"Target: no p-value, adjusted, below {TARGET}, at 200 network calls or fewer.")
    return page("Calibration of KineticLangevin on a learned prior", FINDING, sections, __doc__)


@torch.no_grad()
def self_consistency(
    prior: ScorePrior, likelihood: GaussianLikelihood[LinearOperator], count: int, sweeps: Sequence[int], calls: int
) -> str:
    """What exact sweeps from the truth change: a table of functionals."""
    rows: dict[str, list[str]] = {name: [] for name in ("log-likelihood", "image mean", "mean square")}
    before: list[Tensor] = []
    after: dict[int, list[Tensor]] = {number: [] for number in sweeps}
    for ids in torch.arange(count).split(50):
        noise = Noise.of(1, ids.tolist())
        x = draw_truth(prior, noise.use("truth"))[None]
        problem = Posterior(prior, likelihood, likelihood.simulate(x[0], noise.use("measurement")))
        before.append(_functionals(problem, x))
        beta, curvature = torch.ones(len(ids)), Curvature(problem, x[0])
        rho = largest_rho(problem, curvature, beta)
        for number in range(1, max(sweeps) + 1):
            source = noise.at(number)
            move = Move(x, problem.log_likelihood(x), source.use("epsilon").normal(problem.event_shape))
            x = auxiliary_move(problem, move, beta, rho, curvature, PriorSampling(calls), source.use("sweep")).x
            if number in after:
                after[number].append(_functionals(problem, x))
    was = torch.cat(before, 1)
    for number in sweeps:
        change = (torch.cat(after[number], 1) - was) / was.std(1, keepdim=True)
        for row, mean, error in zip(rows.values(), change.mean(1), change.std(1) / count**0.5, strict=True):
            row.append(f"{mean:+.3f} ± {error:.3f}")
    head = ["change from the truth, in standard deviations", *(f"{number} sweeps" for number in sweeps)]
    return markdown_table(head, [[name, *row] for name, row in rows.items()])


def _functionals(problem: Posterior, x: Tensor) -> Tensor:
    """Log-likelihood, mean and mean square of images (1, B, *event): (3, B)."""
    pixels = x[0].flatten(1)
    return torch.stack([problem.log_likelihood(x)[0], pixels.mean(1), pixels.square().mean(1)])


if __name__ == "__main__":
    run(main, "kinetic_calibration.md", __doc__)
