"""MRI when mask, subject and anatomy change: posterior samples beside networks that were trained end to end.

All scans are simulated: magnitudes of processed volumes on a grid of 1 mm, a smooth random phase, 8 coils at random
places, white noise (SNR 20: mean signal in the object over σ of a real component), of which 96 × 112 frequencies, 2 mm,
are kept. Reconstructions get the measured columns, a scan of noise, and coil maps that ESPIRiT estimates from the
middle that is measured (9 columns; 16 × 16 of two-dimensional masks), never those of the simulation. The networks
(U-Net, MoDL, VarNet, 1.9 million parameters each) and the prior (2.4 million) were trained on slices of one subject,
Colin27; the networks on random columns at R = 4, by `python -m benchmarks.mri.train_networks`. In distribution are 8
slices of a slab of the same subject, 11 mm or more from every slice that was trained on: it is no new subject. mni152
is an average of 152 subjects, without skull; the macaque's voxels of 0.5 mm are taken for 1 mm, without skull.
Classical methods have the weights of least error on 4 slices of the validation slab. Posterior: `KineticLangevin()`, 19
samples, whose mean is compared and whose smallest and largest value in a pixel are the 90 % interval. Scores are of
magnitudes, in units of the truth's largest value; [ ] are 95 % t-intervals over the 8 slices of a cell, which say
nothing of other subjects. The scale is that by which a reconstruction divides, over the truth's. Standard deviations
are judged where the truth exceeds a tenth of its largest value. Problem seed 22, sampler seed 0. Cost: 60 minutes on
two cores; cells that are done are kept in results/mri-shift; --quick: a minute.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from scipy.stats import t as student
from torch import Tensor

from benchmarks.common.pages import met_or_missed, page, run
from benchmarks.mri.methods import SAMPLES, TRAINED, magnitudes_of, sampled, scores, solved, solvers, tuned_weights
from benchmarks.mri.scans import Cell, Scans, scans_of
from benchmarks.mri.uncertainty import ceiling, coverage, decile_ratios, rank_correlation
from posterior.priors.base import Prior
from posterior.priors.zoo import load_prior
from posterior.tables import markdown_table
from samplers import KineticLangevin

FINDING = "(not yet run at full size)"
SLICES, DECODER_STEPS = 8, 1000
OURS = "posterior mean"
CELLS = [
    Cell("in distribution"),
    Cell("equispaced columns", mask="equispaced"),
    Cell("2-D Gaussian", mask="gaussian", calibration=16),
    Cell("random columns, R = 8", acceleration=8.0),
    Cell("2-D Gaussian, R = 8", mask="gaussian", acceleration=8.0, calibration=16),
    Cell("mni152", brain="mni152"),
    Cell("macaque", brain="macaque"),
    Cell("wrong coil maps", wrong="maps"),
    Cell("half the noise level", wrong="noise"),
]
MASKS, ANATOMY, WRONG = CELLS[1:5], CELLS[5:7], CELLS[7:]


def measured(cell: Cell, prior: Prior, weights: dict[str, float], quick: bool) -> dict[str, Any]:
    """Scores of every method on a cell, and what the standard deviations of the samples are worth."""
    scans = scans_of(cell, 2 if quick else SLICES)
    steps = (5 if quick else DECODER_STEPS) * (cell == CELLS[0])
    results = {name: solved(solver, scans, prior) for name, solver in solvers(weights, steps, quick).items()}
    sampler, size = (KineticLangevin("fast"), 4) if quick else (KineticLangevin(), SAMPLES)
    ours = results[OURS] = sampled(sampler, scans, prior, size, progress=not quick)
    assert ours.samples is not None
    draws = magnitudes_of(ours.samples, scans)
    rows = [_worth(draws[:, b], truth) for b, truth in enumerate(scans.truth)]
    return {
        "acceleration": scans.acceleration,
        "scale": scans.scale,
        "scores": {name: scores(result.x, scans.truth) for name, result in results.items()},
        "seconds": {name: result.seconds for name, result in results.items()},
        "worth": {name: torch.stack([row[name] for row in rows]) for name in rows[0]},
        "calls": float(ours.samples.nfe.mean()),
        "levels": [verdict.level for verdict in ours.samples.verdict],
        "example": _example(scans, {name: result.x[0] for name, result in results.items()}, draws[:, 0]),
    }


def _worth(draws: Tensor, truth: Tensor) -> dict[str, Tensor]:
    inside = truth > 0.1 * truth.amax()
    return {
        "coverage": torch.tensor(coverage(draws, truth, inside)),
        "correlation": torch.tensor(rank_correlation(draws, truth, inside)),
        "ceiling": torch.tensor(ceiling(draws, inside)),
        "deciles": decile_ratios(draws, truth, inside),
    }


def _example(scans: Scans, x: dict[str, Tensor], draws: Tensor) -> dict[str, Tensor]:
    return {"truth": scans.truth[0], **x, "standard deviation": draws.std(0)}


def interval(values: Tensor) -> tuple[float, float, float]:
    """Mean and 95 % t-interval."""
    mean, count = float(values.mean()), len(values)
    half = float(student.ppf(0.975, count - 1)) * float(values.std()) / count**0.5 if count > 1 else float("nan")
    return mean, mean - half, mean + half


def _in_words(values: Tensor, digits: int = 1) -> str:
    mean, low, high = interval(values)
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _best(found: dict[str, Any]) -> Tensor:
    """PSNR of the best trained network of a cell, by slice."""
    return max((found["scores"][name]["PSNR"] for name in TRAINED), key=lambda psnr: float(psnr.mean()))


def overview(cells: Sequence[Cell], found: dict[str, dict[str, Any]]) -> str:
    """PSNR of every method in every cell."""
    names = list(found[cells[0].title]["scores"])
    header = ["PSNR in dB", "true R", "scale", *names, "posterior mean − best network"]
    rows = []
    for cell in cells:
        one = found[cell.title]
        psnr = {name: f"{float(score['PSNR'].mean()):.1f}" for name, score in one["scores"].items()}
        difference = _in_words(one["scores"][OURS]["PSNR"] - _best(one), 2)
        about = [cell.title, f"{one['acceleration']:.2f}", f"{one['scale']:.2f}"]
        rows.append([*about, *(psnr.get(name, "–") for name in names), difference])
    return markdown_table(header, rows)


def details(found: dict[str, Any]) -> str:
    """All scores of a cell, with intervals."""
    rows = [
        [name, _in_words(s["PSNR"]), _in_words(s["SSIM"], 3), _in_words(s["NMSE"], 4), f"{found['seconds'][name]:.1f}"]
        for name, s in found["scores"].items()
    ]
    return markdown_table(["", "PSNR in dB", "SSIM", "NMSE", "seconds"], rows)


def trust(cells: Sequence[Cell], found: dict[str, dict[str, Any]]) -> str:
    """What the samples' spread is worth."""
    header = [
        "", "coverage of 90 % intervals", "rank correlation of std and error", "its ceiling",
        "error over std, by decile of std", "verdicts",
    ]  # fmt: skip
    rows = []
    for cell in cells:
        one = found[cell.title]
        worth, levels = one["worth"], one["levels"]
        ratios = (worth["deciles"].square().mean(0).sqrt()).tolist()
        rows.append([
            cell.title, _in_words(100 * worth["coverage"], 0), f"{float(worth['correlation'].mean()):.2f}",
            f"{float(worth['ceiling'].mean()):.2f}", f"{min(ratios):.2f} … {max(ratios):.2f}",
            ", ".join(f"{levels.count(level)} {level}" for level in dict.fromkeys(levels)),
        ])  # fmt: skip
    return markdown_table(header, rows)


def bars(found: dict[str, dict[str, Any]]) -> str:
    """What was asked for, and whether it is so."""
    first = found[CELLS[0].title]
    sense, ours = first["scores"]["CG-SENSE"]["PSNR"], first["scores"][OURS]["PSNR"]
    lines = []
    for name in TRAINED:
        gain = float((first["scores"][name]["PSNR"] - sense).mean())
        lines.append(
            f"In distribution {name} is {gain:.2f} dB better than CG-SENSE (1 or more): {met_or_missed(gain >= 1)}."
        )
    behind = float((_best(first) - ours).mean())
    near = met_or_missed(behind <= 1)
    lines.append(f"There the posterior mean is {behind:.2f} dB behind the best of them (at most 1): {near}.")
    shifted = [found[cell.title]["scores"] for cell in MASKS + ANATOMY]
    lows = [interval(one[OURS]["PSNR"] - one[name]["PSNR"])[1] for one in shifted for name in TRAINED]
    lines.append(
        f"It is better than a network, with a 95 % interval above 0, in {sum(low > 0 for low in lows)} of {len(lows)} "
        f"pairs of shift and network (all): {met_or_missed(min(lows) > 0)}."
    )
    for what, cells in (("shifts of the mask", MASKS), ("another brain", ANATOMY)):
        gains = [float((found[c.title]["scores"][OURS]["PSNR"] - _best(found[c.title])).mean()) for c in cells]
        gain = sum(gains) / len(gains)
        lines.append(
            f"Over {what} it is {gain:.2f} dB better than the best network on average (1): {met_or_missed(gain >= 1)}."
        )
    worth = first["worth"]
    covered = float(worth["coverage"].mean())
    lines.append(
        f"90 % intervals hold {covered:.1%} in distribution (85–95 %): {met_or_missed(0.85 <= covered <= 0.95)}."
    )
    share = float(worth["correlation"].mean() / worth["ceiling"].mean())
    lines.append(f"Rank correlation over its ceiling: {share:.2f} (0.9): {met_or_missed(share >= 0.9)}.")
    ratios = worth["deciles"].square().mean(0).sqrt()
    off = float((ratios - 1).abs().amax())
    lines.append(
        f"Error by decile of standard deviation is off by {off:.0%} at most (15 %): {met_or_missed(off <= 0.15)}."
    )
    return "\n".join(f"- {line}" for line in lines)


def main(quick: bool) -> str:
    """Tables of all cells, as Markdown."""
    prior, cells = load_prior("brain"), CELLS[:1] if quick else CELLS
    weights = tuned_weights(prior, quick)
    found = {}
    for number, cell in enumerate(cells):
        kept = Path("results/mri-shift") / f"{number}.pt"
        if not quick and kept.exists():
            found[cell.title] = torch.load(kept, weights_only=True)
            continue
        found[cell.title] = measured(cell, prior, weights, quick)
        if not quick:
            kept.parent.mkdir(parents=True, exist_ok=True)
            torch.save(found[cell.title], kept)
        print(cell.title, details(found[cell.title]), trust([cell], found), sep="\n\n", flush=True)
    tuned = ", ".join(f"{name} {weight:g}" for name, weight in weights.items())
    sections = [
        overview(cells, found), trust(cells, found),
        f"Weights of classical methods, of {' … '.join(map(str, ('0.001', '0.1')))}: {tuned}.",
    ]  # fmt: skip
    sections += [f"### {cell.title}\n\n{details(found[cell.title])}" for cell in cells]
    if not quick:
        sections.insert(2, bars(found))
    return page("MRI under shift (simulated)", FINDING, sections, __doc__)


if __name__ == "__main__":
    run(main, "mri_shift.md", __doc__)
