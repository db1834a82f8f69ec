"""Posteriors of images of 64² to 256² pixels: `KineticLangevin` against Gaussian and spike-and-slab fields.

The prior is a field whose power falls like (1 + |k|²)^−3/2, pixels of std 0.5: Gaussian, or with independent Hartley
coefficients of two scales, a fifth of them large, with 95 % of the power. The measurement is one of eight, with noise
of std 0.1, or 0.05 for `accuracy="high"`, simulated from a sample of the prior, all of seed 0. Fourier masks hold
random frequencies with their opposites and the zero; eight coils with birdcage maps see a quarter of the columns, among
them those around the middle, a sixteenth of all.

The truth is in closed form where AᵀA is diagonal in the Hartley basis (denoising, blur, Fourier). Elsewhere that of the
Gaussian field comes from conjugate gradients, its variances from 256 exact samples (64 at 256²), and that of spike and
slab, at 64² alone, from 96 Gibbs chains of 180 rounds after 20, whose halves must agree within 0.05 of a standard
deviation; at other sizes, and of the coils, these cells are left out, for time. Standard errors do not contain those of
these truths, which count where few directions have most of the variance, as behind a hidden box.

"mean" is the root mean square over pixels of the error of the samples' mean in posterior standard deviations, after the
part that the number of samples explains is taken off (negative where that is more than all); "variance" is the total
variance divided by the posterior's. Cells by moments are exact: the sampler is affine in its noise there, its response
to each draw is computed, and nothing is sampled. Others are of real chains, with standard errors by jackknife over 16
groups of chains; but the means of Gaussian fields are exact there too, from one run without noise. A bar counts where
the standard error is at most a third of it.

Cost: 50 minutes on two cores; finished cells are kept in results/scale.json, from which a stopped run goes on (the
time below is then that of the last part). --quick: seconds, at 16².
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.common.pages import met_or_missed, page, run
from benchmarks.exactness.field_moments import Diagonal, mean, moments
from benchmarks.exactness.field_posteriors import Truth, eigenvalues, posterior_of
from benchmarks.exactness.fields import FieldPrior, power_law
from posterior.likelihoods import GaussianLikelihood
from posterior.mri import birdcage_maps
from posterior.noise import Noise
from posterior.operators import Blur, Downsampling, Fourier, Identity, Inpainting, LinearOperator, MultiCoilMRI
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import KineticLangevin

FINDING = (
    "`KineticLangevin()` takes 159 network calls a sample at every size. All targets that could be judged are met but "
    "one, the mean behind a hidden box at 256², which is off by 0.063 posterior standard deviations where 0.05 is "
    "aimed at. The variance there, 1.097 times the right one at 128² and 1.117 at 256² (± 0.020), is not within 0.05 "
    "of it either, but is not counted, since its standard error is more than a third of that. Spike-and-slab fields "
    "behind Fourier masks have total variances of 0.978 and 0.981 at 64², 1.051 and 1.053 at 128², and 0.847 ± 0.066 "
    "and 0.857 ± 0.094 at 256²."
)
DIAGONAL = ("denoising", "blur of 1.5 pixels", "4× Fourier", "8× Fourier")
OTHERS = ("25 % of pixels", "hidden box", "4× block means", "8 coils, R = 4")
BARS = {
    "Gaussian": {"standard": (0.05, 0.05), "high": (0.1, 0.1)},
    "spiky": {"standard": (0.15, 0.1), "high": (0.1, 0.1)},
}
KEPT = Path("results/scale.json")
_GROUPS = 16


class Cell(NamedTuple):
    """One line of the table; `chains` of 0 are exact moments."""

    field: str
    operator: str
    side: int
    std: float
    accuracy: str
    chains: int


def cells(quick: bool) -> Iterator[Cell]:
    """All cells, small ones first."""
    if quick:
        yield Cell("Gaussian", DIAGONAL[1], 16, 0.1, "standard", 0)
        yield from (Cell("Gaussian", name, 16, 0.1, "standard", 32) for name in (*DIAGONAL[2:3], *OTHERS))
        yield from (Cell("spiky", name, 16, 0.1, "standard", 32) for name in (DIAGONAL[1], OTHERS[0]))
        return
    for side, chains, coils in ((64, 256, 64), (128, 128, 32), (256, 48, 16)):
        yield from (Cell("Gaussian", name, side, 0.1, "standard", 0) for name in DIAGONAL)
        yield from (Cell("Gaussian", name, side, 0.05, "high", 0) for name in DIAGONAL)
        yield from (Cell("Gaussian", name, side, 0.1, "standard", 512 if "box" in name else 256) for name in OTHERS[:3])
        yield Cell("Gaussian", OTHERS[3], side, 0.1, "standard", coils)
        confirmed = {64: DIAGONAL, 128: (), 256: DIAGONAL[:3]}[side]
        yield from (Cell("Gaussian", name, side, 0.1, "standard", 256 if side == 64 else 48) for name in confirmed)
        yield from (Cell("spiky", name, side, 0.1, "standard", chains) for name in DIAGONAL)
    yield Cell("spiky", DIAGONAL[1], 64, 0.1, "high", 256)
    yield from (Cell("Gaussian", name, 64, 0.05, "high", 256) for name in OTHERS[:3])
    yield from (Cell("spiky", name, 64, 0.1, "standard", 256) for name in OTHERS[:3])


def operator_of(name: str, side: int) -> LinearOperator:
    """The operator of that name on images of a side."""
    shape = (1, side, side)
    if name == "8 coils, R = 4":
        order = Noise.of(0).use("columns").uniform((side,)).flatten()
        order[side // 2 - side // 16 // 2 : side // 2 + side // 16 // 2] = 0  # calibration lines
        return MultiCoilMRI(birdcage_maps(8, side, side), order <= order.sort().values[side // 4 - 1])
    if name.endswith("Fourier"):
        chance = Noise.of(0).use("frequencies").uniform((side, side))[0, 0]
        chance = torch.minimum(chance, chance.flip(0, 1).roll((1, 1), (0, 1)))  # of k and −k
        chance[0, 0] = 0
        mask = chance <= chance.flatten().quantile(1 / float(name[0]))
        return Fourier(shape, torch.fft.fftshift(mask))
    return {
        "denoising": lambda: Identity(shape),
        "blur of 1.5 pixels": lambda: Blur.gaussian(shape, 1.5),
        "25 % of pixels": lambda: Inpainting.random(shape, 0.25, seed=0),
        "hidden box": lambda: Inpainting.box(shape, side // 4, side // 4, side // 2, side // 2),
        "4× block means": lambda: Downsampling(shape, 4),
    }[name]()


def problem_of(cell: Cell) -> Posterior:
    """The measurement of a cell."""
    operator = operator_of(cell.operator, cell.side)
    prior = FieldPrior(power_law(cell.side).float(), operator.event_shape[0], spiky=cell.field == "spiky")
    likelihood = GaussianLikelihood(operator, cell.std)
    noise = Noise.of(0, ["field"])
    return Posterior(prior, likelihood, likelihood.simulate(prior.exact_sample(1, noise.use("truth"))[0], noise))


def by_moments(cell: Cell) -> dict[str, float]:
    """Error of the mean and ratio of variances, exactly."""
    problem = problem_of(cell)
    seen = eigenvalues(problem.operator)
    prior = FieldPrior(power_law(cell.side).float(), spatial=False)
    data = problem.prior.transform(problem.operator.float().adjoint(problem.y))
    factors = seen.sqrt().float()
    y = torch.where(factors > 1e-4, data / factors.clamp_min(1e-4), 0.0)  # where less is seen it says nothing
    likelihood = GaussianLikelihood(Diagonal(torch.where(factors > 1e-4, factors, 0.0)[None]), cell.std)
    average, variance = moments(KineticLangevin(cell.accuracy), Posterior(prior, likelihood, y))
    exact = 1 / (1 / prior.power.double() + seen / cell.std**2)
    error = average[0].double() - exact * data[0, 0].double() / cell.std**2
    return {
        "mean": float((error.square().sum() / exact.sum()).sqrt()), "mean_se": 0.0,
        "variance": float(variance.double().sum() / exact.sum()), "variance_se": 0.0,
    }  # fmt: skip


def by_chains(cell: Cell) -> dict[str, float]:
    """The same of real samples, with standard errors; nothing where the truth is not known well enough."""
    problem = problem_of(cell)
    try:
        truth = posterior_of(problem, 96 if cell.field == "spiky" else 64 if cell.side == 256 else 256)
    except ValueError as error:
        print(cell, error, flush=True)
        return {}
    begin = time.perf_counter()
    samples = KineticLangevin(cell.accuracy).sample(problem, cell.chains, batch_size=64, progress=False)
    found = judged(samples.x[:, 0], truth)
    if cell.field == "Gaussian" and cell.operator in OTHERS:
        error = mean(KineticLangevin(cell.accuracy), problem) - truth.mean
        found |= {"mean": float((error.square() / truth.variance).mean().sqrt()), "mean_se": 0.0}
    return found | {
        "seconds": (time.perf_counter() - begin) / cell.chains, "truth": truth.error, "level": samples.verdict[0].level
    }  # fmt: skip


def judged(x: Tensor, truth: Truth) -> dict[str, float]:
    """Error of the mean without that of so few samples, and ratio of total variances, by jackknife over groups."""
    groups = x.unflatten(0, (_GROUPS, -1)).double()
    off, total = groups.mean(1) - truth.mean, truth.variance.sum()
    squares = groups.square().mean(1).flatten(1).sum(1)

    def figures(kept: Tensor) -> tuple[float, float]:
        means, count = off[kept], len(kept)
        cross = means.sum(0).square() - means.square().sum(0)  # of different groups alone: no noise of their own
        mean = float((cross / truth.variance).mean()) / (count * (count - 1))
        centre = (means.mean(0) + truth.mean).square().sum()
        rows = count * groups.shape[1]
        return mean, float((squares[kept].mean() - centre) / total) * rows / (rows - 1)

    every = torch.arange(_GROUPS)
    mean, variance = figures(every)
    left_out = torch.tensor([figures(every[every != g]) for g in range(_GROUPS)])
    spread = ((_GROUPS - 1) * left_out.var(0, correction=0)).sqrt()
    root = math.copysign(abs(mean) ** 0.5, mean)
    return {
        "mean": root, "mean_se": float(spread[0]) / (2 * max(abs(root), float(spread[0]) ** 0.5)),
        "variance": variance, "variance_se": float(spread[1]),
    }  # fmt: skip


def row(cell: Cell, found: dict[str, float]) -> list[str]:
    """A line of the table."""
    what = ["spike and slab" if cell.field == "spiky" else cell.field, cell.operator, f"{cell.side}²", f"{cell.std:g}"]
    what += [cell.accuracy, f"{KineticLangevin(cell.accuracy).budget.calls}", f"{cell.chains or 'moments'}"]
    if not found:
        return [*what, "–", "–", "left out: the halves of its Gibbs chains differ"]
    bars, verdict = BARS[cell.field][cell.accuracy], []
    for name, off, bar in (("mean", found["mean"], bars[0]), ("variance", abs(found["variance"] - 1), bars[1])):
        counts = found[f"{name}_se"] <= bar / 3
        verdict.append(f"{name} " + met_or_missed(off <= bar) if counts else f"{name} not known")
    error = [f" ± {found[f'{name}_se']:.3f}" if cell.chains else "" for name in ("mean", "variance")]
    return [*what, f"{found['mean']:.3f}{error[0]}", f"{found['variance']:.3f}{error[1]}", ", ".join(verdict)]


def main(quick: bool) -> str:
    """The table, as Markdown."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() and not quick else {}
    rows = []
    for cell in cells(quick):
        name = json.dumps([*cell, KineticLangevin(cell.accuracy).budget.calls])
        if name not in kept:
            kept[name] = by_chains(cell) if cell.chains else by_moments(cell)
            if not quick:
                KEPT.parent.mkdir(exist_ok=True)
                KEPT.write_text(json.dumps(kept, indent=1))
        rows.append(row(cell, kept[name]))
        print(*rows[-1], sep=" | ", flush=True)
    header = ["field", "measurement", "size", "σ", "accuracy", "calls", "chains", "mean", "variance", "bars"]
    bars = (
        "Bars: mean ≤ 0.05 and variance within 0.05 of 1 for Gaussian fields at σ = 0.1, 0.15 and 0.1 for spike and "
        'slab (0.1 and 0.1 with "high"), 0.1 and 0.1 for Gaussian fields at σ = 0.05 with "high".'
    )
    return page("Images of 64² to 256² pixels", FINDING, [markdown_table(header, rows), bars], __doc__)


if __name__ == "__main__":
    run(main, "scale.md", __doc__)
