"""`KineticLangevin` on scans with several coils: ranks of truths of a learned prior, and a known posterior.

Scans have 96 × 112 frequencies, 8 coils at random places whose maps are known, and random columns at R = 4 with 9 in
the middle. Of the shipped prior `brain` 60 images are drawn, by 200 calls of reverse diffusion, 10 sweeps of noise ρ =
0.95 σ/‖A‖ and draws of p(x | x + ρε), and one at ρ/8 and ρ/64, by as many calls as the sampler's (see
`exactness.kinetic_calibration`), and ranked among 19 samples, a chain each, with σ = 0.03; the functionals are those of
`posterior.diagnostics.DEFAULT_FUNCTIONALS`, and p-values are adjusted by Holm's method. With a Gaussian prior of the
same size (two power-law fields, pixels of standard deviation 0.35) and the same scans at σ = 0.03 and 0.1 the posterior
is known by conjugate gradients: the error of the mean is exact, from one run without noise, and the variance is that of
32 chains. Seed 0. Cost: 50 minutes on two cores, and a run that stopped goes on from results/; --quick: seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from benchmarks.common.pages import page, run
from benchmarks.exactness.field_moments import mean
from benchmarks.exactness.field_posteriors import posterior_of
from benchmarks.exactness.fields import FieldPrior, power_law
from benchmarks.exactness.scale import judged
from benchmarks.exactness.settled import judged_by, last_rho, settled_truths
from posterior.likelihoods import GaussianLikelihood
from posterior.mri import random_maps, random_mask
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from posterior.priors import ScorePrior
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import KineticLangevin
from samplers.annealing import FINE_CALLS

FINDING = "(not yet run at full size)"
COILS, PROBLEMS, SAMPLES, CHAINS, STD = 8, 60, 19, 32, 0.03
SETTLING = 10  # sweeps without a measurement


def operator_of(height: int, width: int) -> MultiCoilMRI:
    """Eight coils at random places, every fourth column or so."""
    return MultiCoilMRI(random_maps(COILS, height, width), random_mask((height, width), 4.0, width // 12))


def study(quick: bool) -> list[str]:
    """Ranks of truths that are drawn from the learned prior, as Markdown."""
    prior = cast(ScorePrior, load_prior("brain"))
    likelihood = GaussianLikelihood(operator_of(*prior.event_shape[1:]), STD)
    problems, size, sampler = (2, 3, KineticLangevin("fast")) if quick else (PROBLEMS, SAMPLES, KineticLangevin())
    noise = Noise.of(1, list(range(problems)))
    calls = sampler.budget.denoise_steps
    truth = settled_truths(
        prior, last_rho(prior, likelihood), noise, 1 if quick else SETTLING, calls, FINE_CALLS
    ).settled
    result = judged_by(
        truth, sampler, prior, likelihood, num_problems=problems, num_samples=size, batch=2 if quick else 6, seed=0,
        checkpoint=None if quick else Path("results/mri-calibration.pt"), progress=not quick,
    )  # fmt: skip
    calls, warned = (result.reported[name] for name in ("nfe", "warned"))
    cost = f"Network calls a sample: {calls.mean():.0f}. Runs with a warning: {int(warned.sum())} of {len(warned)}."
    bar = "Target: no p-value, adjusted, below 0.01."
    return ["## Truths of the learned prior", cost, result.table(), result.summary(), bar]


def known(quick: bool) -> list[str]:
    """Errors on a Gaussian prior, as Markdown."""
    height, width = (24, 28) if quick else (96, 112)
    prior = FieldPrior(power_law(height, width, std=0.35).float(), channels=2)
    rows, accuracies = [], ("standard", "high")
    for std in (STD, 0.1):
        for accuracy in accuracies[:1] if quick else accuracies:
            rows.append(_row(prior, std, accuracy, 16 if quick else CHAINS))
            print(*rows[-1], sep=" | ", flush=True)
    header = [
        "σ",
        "accuracy",
        "calls",
        "error of the mean / posterior std",
        "total variance / exact",
        "seconds a sample",
    ]
    bar = "Target: 0.05 for the mean, 0.95 to 1.05 for the variance."
    return ["## A Gaussian prior of the same size", markdown_table(header, rows), bar]


def _row(prior: FieldPrior, std: float, accuracy: Literal["standard", "high"], chains: int) -> list[str]:
    likelihood = GaussianLikelihood(operator_of(*prior.event_shape[1:]), std)
    noise, sampler = Noise.of(0, ["coils"]), KineticLangevin(accuracy)
    problem = Posterior(prior, likelihood, likelihood.simulate(prior.exact_sample(1, noise.use("truth"))[0], noise))
    truth = posterior_of(problem, 64)
    samples = sampler.sample(problem, chains, batch_size=16, progress=False)
    found = judged(samples.x[:, 0], truth)
    error = float(((mean(sampler, problem) - truth.mean).square() / truth.variance).mean().sqrt())
    seconds = float(samples.provenance.seconds) / chains if samples.provenance else float("nan")
    return [
        f"{std:g}", accuracy, f"{float(samples.nfe[0]):.0f}", f"{error:.3f}",
        f"{found['variance']:.3f} ± {found['variance_se']:.3f}", f"{seconds:.1f}",
    ]  # fmt: skip


def main(quick: bool) -> str:
    """Both parts, as Markdown."""
    return page("Calibration of MRI", FINDING, [*known(quick), *study(quick)], __doc__)


if __name__ == "__main__":
    run(main, "mri_calibration.md", __doc__)
