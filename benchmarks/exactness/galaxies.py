"""Galaxies and lensed quasars of networks that others trained: deconvolution, and whether its probabilities are right.

The priors are score networks of the package galaxygrad 0.2.1 (Sampson et al., arXiv:2401.07313): galaxies of HSC in 32²
pixels and lensed quasars in 72²; that of Roman in 120² is timed. The package states no licence, so its files are not
here: `pip download --no-deps galaxygrad==0.2.1`, unzip the wheel, and set GALAXYGRAD to the folder of its .eqx files
(results/galaxygrad unless set). The quick run takes random weights in their place.

Images are u = 10 log(1 + x) of fluxes x, the networks' own stretch. The measurement is the flux x = e^{u/10} − 1 behind
a Gaussian point spread function of standard deviation 2 pixels, with Gaussian noise of σ = 0.05 (galaxies) or 0.1
(quasars). It is nonlinear in u, and its likelihood is used as it is. The sampler is `TemperedSMC("fast",
population=96)`: moves with a Metropolis–Hastings test whose proposal has a frozen Gauss–Newton matrix. Truths (100
galaxies, 20 quasars) are ranked among 19 samples. Functionals are those of `posterior.diagnostics.DEFAULT_FUNCTIONALS`,
the total flux Σx, and the number of images: local maxima of x that are the largest of 5 × 5 pixels and above 5 σ, a
rule that was fixed before the first sample. Ties of ranks are broken at random; p-values are adjusted by Holm's method.

A trained network is not the denoiser of one law (see `exactness.kinetic_calibration`), and moves of five calls are not
its exact draws: they make the empty sky grainier, which the total variation of an image sees. That of quasars besides
takes the sky for grainier at the least noise than above, so its levels below 0.1 are left out.
What is judged is the sampling given a measurement: truths are 200 calls of reverse diffusion, then 20 sweeps of noise
ρ = 0.4 or 0.6, as of moves at β = 1, and draws of p(x | x + ρε) by as many calls as the sampler's moves take, and the
two of small ρ that end every run. What these change is in a table, over the standard deviation among draws, ± its
standard error.

The counting rule is also tried on images with a known number of point sources (one to five, of peak flux 0.75 to 2 and
a width of 1.7 pixels, on a halo of peak flux 0.1), 1,000 as they are, and the first four measured and deconvolved.
Positions are centroids, brightness is the sum of 5 × 5 pixels; images of samples are matched to those of the truth by
the least sum of squared distances, in samples that have as many. Seeds are 0. The PSF, the noise, the sampler's
population, the least noise level of quasars and how truths are made were settled by trials, the first three galaxies
and quasars of this study among them. The first truth is the one that is shown. Pixels are those of the networks; one of
HSC is 0.168 arcseconds. Cost: about an hour on two cores, and a run that stopped goes on from
results/; --quick: seconds.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.common.pages import DOCS, page, run
from benchmarks.exactness import galaxy_problems as sky
from benchmarks.exactness.settled import judged_by
from posterior.diagnostics import DEFAULT_FUNCTIONALS
from posterior.errors import TrustWarning
from posterior.figures import save_figure
from posterior.figures.page import house_style
from posterior.noise import Noise
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from posterior.results import Samples
from posterior.tables import markdown_table
from samplers import TemperedSMC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINDING = "(not yet run at full size)"
PROBLEMS = {"galaxies": 100, "quasars": 20}
SAMPLES, PARTICLES, TARGET = 19, 96, 0.01
SWEEPS, CHUNK = 20, 32
FUNCTIONALS = {
    **DEFAULT_FUNCTIONALS, "total flux": sky.total_flux, "number of images": sky.number_of_images
}  # fmt: skip
BINS = {"one source": (torch.inf, torch.inf), "≥ 5 pixels": (5, 1e9), "4–5": (4, 5), "3–4": (3, 4), "< 3": (0, 3)}


def changes(prior: ScorePrior, name: str, raw: Tensor, settled: Tensor) -> str:
    """What settling changed in each functional that is one of the image."""
    trial = Posterior(prior, sky.likelihood(name, prior.event_shape), torch.zeros_like(raw))
    rows = []
    for functional, function in FUNCTIONALS.items():
        if functional == "log-likelihood":  # of no measurement
            continue
        before, after = function(raw[None], trial)[0], function(settled[None], trial)[0]
        change = (after - before) / before.std().clamp_min(1e-6)
        rows.append([
            functional, f"{before.mean():.3g} ± {before.std():.2g}",
            f"{change.mean():+.3f} ± {change.std() / len(change) ** 0.5:.3f}",
        ])  # fmt: skip
    return markdown_table(["functional", "reverse diffusion", "change by settling"], rows, "lrr")


def probabilities(counts: Tensor) -> str:
    """Shares of the numbers of images (S,)."""
    values, found = counts.long().unique(return_counts=True)
    return ", ".join(
        f"{int(k)}: {n / len(counts):.2f}" for k, n in zip(values, (float(f) for f in found), strict=True)
    )  # fmt: skip


def images_table(u: Tensor, truth: Tensor, std: float) -> str:
    """Where the images of a quasar are and how bright, of samples (S, 1, H, W) that have as many as the truth."""
    reference = sky.sources(sky.flux(truth), std)
    lists = [sky.sources(sky.flux(sample), std) for sample in u]
    same = [sky.matched(found, reference) for found in lists if len(found) == len(reference)]
    rows = []
    for k, values in enumerate(reference.tolist()):
        row = [str(k + 1)]
        for i, value in enumerate(values):
            drawn = torch.tensor([float(found[k, i]) for found in same])
            row += [f"{value:.2f}", f"{drawn.mean():.2f} ± {drawn.std():.2f}" if len(same) > 1 else "–"]
        rows.append(row)
    head = ["image", "column", "posterior", "row", "posterior", "flux", "posterior"]
    note = f"{len(same)} samples of {len(u)} have as many images as the truth."
    return f"{note}\n\n{markdown_table(head, rows, 'lrrrrrr')}"


def rule_table(planted: sky.Planted, std: float) -> str:
    """Errors of the counting rule on images with a known number of sources."""
    error = sky.maxima(sky.flux(planted.u), std).flatten(1).sum(1) - planted.number
    rows = []
    for name, (low, high) in BINS.items():
        chosen = error[(planted.nearest >= low) & (planted.nearest <= high)]
        shares = [f"{float((chosen == 0).float().mean()):.3f}", f"{float(chosen.float().mean()):+.3f}"]
        rows.append([name, str(len(chosen)), *(shares if len(chosen) else ["–", "–"])])
    return markdown_table(["nearest two sources", "images", "counted right", "mean error"], rows, "lrrr")


def picture(truth: Tensor, y: Tensor, samples: Tensor) -> Figure:
    """Truth, measurement, mean, standard deviation and four samples of one image, in flux."""
    x = sky.flux(samples)
    panels = {
        "truth": sky.flux(truth), "measurement": y, "posterior mean": x.mean(0), "posterior std": x.std(0),
        **{f"sample {k + 1}": x[k] for k in range(4)},
    }  # fmt: skip
    side, top = truth.shape[-1], float(max(panels["truth"].max(), *(x[k].max() for k in range(4))))
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8.6, 4.2), dpi=130, layout="constrained")
        for axes, (title, image) in zip(figure.subplots(2, 4).flat, panels.items(), strict=True):
            limit = top if title.startswith(("truth", "sample")) else float(image.max())
            shown = axes.imshow(image[0].numpy(), cmap="magma", vmin=0, vmax=limit, origin="lower")
            axes.set_title(title, fontsize=8)
            axes.tick_params(labelsize=6)
            axes.set(xlim=(side / 4, 3 * side / 4), ylim=(side / 4, 3 * side / 4))  # there is nothing beyond
            axes.set_xlabel("column, pixels", fontsize=6)
            axes.set_ylabel("row, pixels", fontsize=6)
            bar = figure.colorbar(shown, ax=axes, shrink=0.75)
            bar.ax.tick_params(labelsize=6)
            bar.set_label("flux a pixel", fontsize=6)
        return figure


def draws(prior: ScorePrior, truth: Tensor, sampler: TemperedSMC, size: int) -> tuple[Posterior, Samples]:
    """Measurements of given images, and samples."""
    likelihood, ids = sky.likelihood("quasars", prior.event_shape), [f"shown {k}" for k in range(len(truth))]
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, ids).use("measurement")), list(ids))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        return problem, sampler(problem, num_samples=size, seed=0, batch_size=CHUNK, progress=False)


def timing(name: str, prior: ScorePrior, sampler: TemperedSMC) -> list[str]:
    """A network call and a plan."""
    likelihood, x = sky.likelihood(name, prior.event_shape), torch.zeros(8, *prior.event_shape)
    prior.denoise(x, 0.5)
    start = time.perf_counter()
    prior.denoise(x, 0.5)
    call = (time.perf_counter() - start) / len(x)
    truth = prior.sample(1, Noise.of(0, [name]), steps=40)[0]
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, [f"{name} plan"])))
    plan = sampler.plan(problem, SAMPLES, batch_size=CHUNK)
    total = f"{plan.nfe * SAMPLES:,.0f}"
    return [name, f"{prior.event_shape[-1]}²", f"{1e3 * call:.1f}", total, f"{plan.seconds / 60:.1f}"]


def main(quick: bool) -> str:
    """The page, as Markdown."""
    names = ["quasars"] if quick else list(PROBLEMS)
    sampler, size = (
        (TemperedSMC("fast", population=8), 5) if quick else (TemperedSMC("fast", population=PARTICLES), SAMPLES)
    )
    priors = {name: sky.stand_in(16) if quick else sky.load(name) for name in (*names, "Roman")}
    sections, first = list[str](), torch.empty(0)
    for name in names:
        prior, count = priors[name], 3 if quick else PROBLEMS[name]
        raw, first = sky.truths(prior, name, count, 1 if quick else SWEEPS)
        result = judged_by(
            first, sampler, prior, sky.likelihood(name, prior.event_shape), num_problems=count, num_samples=size,
            functionals=FUNCTIONALS, seed=0, batch=3 if quick else 4, batch_size=CHUNK, progress=not quick,
            checkpoint=None if quick else Path("results") / f"galaxies-calibration-{name}.pt",
        )  # fmt: skip
        warned, calls = int(result.reported["warned"].sum()), float(result.reported["nfe"].mean()) * (size + 2)
        cost = f"Network calls a problem: {calls:,.0f}, of all particles. Runs with a warning: {warned} of {count}."
        sections += [f"## {name.capitalize()}", cost, result.table(), result.summary()]
        sections.append(changes(prior, name, raw, first))
        print(*sections[-5:], sep="\n\n", flush=True)
    prior, side = priors["quasars"], priors["quasars"].event_shape[-1]
    planted = sky.planted(Noise.of(0, [f"planted {n}" for n in range(20 if quick else 1000)]), side=max(side, 48))
    shown = first[:1] if quick else torch.cat([first[:1], planted.u[:4]])
    problem, samples = draws(prior, shown, sampler, 8 if quick else PARTICLES)
    counts = sky.number_of_images(samples.x, problem)
    true = sky.number_of_images(shown[None], problem)[0]
    titles = ["quasar", *(f"planted, {number} sources" for number in planted.number.tolist())]
    rows = [[titles[k], str(int(true[k])), probabilities(counts[:, k])] for k in range(len(shown))]
    head = ["truth", "images by the rule", "posterior probability of each number"]
    sections += ["## Images of a quasar", markdown_table(head, rows)]
    sections += [images_table(samples.x[:, 0], shown[0], sky.STD["quasars"])]
    if not quick:
        save_figure(picture(shown[0], problem.y[0], samples.x[:, 0]), DOCS / "galaxies.png")
        sections.append("![A quasar: truth, measurement, mean, standard deviation, four samples](galaxies.png)")
    sections += ["## The counting rule", rule_table(planted, sky.STD["quasars"]), "## What it costs"]
    head = ["network", "pixels", "ms a network call", "calls planned", "minutes planned"]
    sections.append(markdown_table(head, [timing(name, each, sampler) for name, each in priors.items()], "lrrrr"))
    sections.append(f"Target: no p-value, adjusted, at or below {TARGET}.")
    return page("Galaxies and lensed quasars", FINDING, sections, __doc__ or "")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    run(main, "galaxies.md", __doc__ or "")
