"""Whether an image is of the kind that the prior knows, by log p(y).

Two hundred digits and two hundred pieces of clothing, all of which no prior was trained on (the splits called "test";
under the prior of clothing the first hundred of each), are seen in noise of σ = 0.25 a pixel. The score of an image is
−log p(y) under a prior, as `TemperedSMC("fast", population=8)` estimates it, seed 0: eight particles for each. AUROC is
the probability that an anomaly has the larger score; its 95 % interval is that of DeLong, DeLong and Clarke-Pearson
1988. `misfit` instead scores images by the residual of the posterior mean, for comparison. The measurement was chosen
among seven, by up to 16 images of each kind of the splits called "training": block means leave clothing that looks like
a digit. Cost: 30 minutes on two cores; --quick: seconds.
"""

from __future__ import annotations

import math
import time
import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.common.pages import DOCS, met_or_missed, page, run
from posterior.data import load_digits, load_fashion
from posterior.errors import TrustWarning
from posterior.figures import save_figure
from posterior.figures.page import house_style
from posterior.figures.panels import plot_axes
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import TemperedSMC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINDING = (
    "Under the prior of digits −log p(y) tells clothing from digits with an AUROC of 0.999 ± 0.001, where the "
    "misfit of the posterior mean has 0.910 ± 0.029. The reverse is hard: under the prior of clothing digits "
    "score higher than clothing with 0.754 ± 0.071 only, since much of them is black, which clothing has too."
)
SHAPE, STD, PARTICLES, TARGET = (1, 28, 28), 0.25, 8, 0.95
COUNTS = {"digits": 200, "fashion": 100}  # images of each kind under a prior
COLOURS = {"digits": "#0072B2", "fashion": "#D55E00"}


def auroc(normal: Tensor, anomalous: Tensor) -> tuple[float, float]:
    """P(anomalous > normal) + ½P(equal), and its standard error."""
    wins = (anomalous[:, None] > normal).double() + 0.5 * (anomalous[:, None] == normal).double()
    variance = wins.mean(1).var() / len(anomalous) + wins.mean(0).var() / len(normal)
    return float(wins.mean()), math.sqrt(float(variance))


def scores(prior_name: str, images: Tensor, source: str, std: float) -> tuple[Tensor, Tensor, float]:
    """−log p(y) of images (B, *SHAPE), the misfit of the posterior mean, and seconds each."""
    likelihood = GaussianLikelihood(Identity(SHAPE), std)
    ids = [f"{source} {b}" for b in range(len(images))]
    y = likelihood.simulate(images, Noise.of(0, ids))
    start, found, misfits = time.process_time(), [], []
    for part in torch.arange(len(images)).split(50):
        problem = Posterior(load_prior(prior_name), likelihood, y[part], ids=[ids[b] for b in part])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)
            samples = TemperedSMC("fast", population=PARTICLES).sample(problem, PARTICLES, seed=0, progress=False)
        found.append(-samples.info["log_evidence"].double())
        misfits.append(likelihood.misfit(samples.mean(), problem.y).double())
    return torch.cat(found), torch.cat(misfits), (time.process_time() - start) / len(images)


def figure_of(known: dict[str, dict[str, Tensor]]) -> Figure:
    """Scores of both kinds under both priors, and receiver operating characteristics."""
    with house_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7.2, 2.2), dpi=150, layout="constrained")
        cells = figure.subplots(1, 3)
        for axes, (prior, each) in zip(cells, known.items(), strict=False):
            for kind, values in each.items():
                axes.hist(values.numpy(), bins=30, alpha=0.6, color=COLOURS[kind], label=kind)
            axes.set_title(f"prior of {prior}", fontsize=8)
            axes.legend(fontsize=6, frameon=False)
            plot_axes(axes, "−log p(y) (nats)", "images")
        for prior, each in known.items():
            anomalous = next(values for kind, values in each.items() if kind != prior)
            cuts = torch.cat([*each.values()]).sort(descending=True).values[:, None]
            rates = [(values >= cuts).double().mean(1) for values in (each[prior], anomalous)]
            cells[2].plot(*(rate.numpy() for rate in rates), color=COLOURS[prior], label=f"prior of {prior}")
        cells[2].set_title("anomalies found", fontsize=8)
        cells[2].legend(fontsize=6, frameon=False)
        plot_axes(cells[2], "false alarms (share)", "anomalies found (share)")
        return figure


def main(quick: bool) -> str:
    """The table and the figure, as Markdown."""
    items = {"digits": load_digits("test")[0], "fashion": load_fashion("test")[0]}
    known: dict[str, dict[str, Tensor]] = {}
    rows, verdicts = [], []
    for prior in items:
        count, std = (3, 10 * STD) if quick else (COUNTS[prior], STD)
        each = {kind: scores(prior, images[:count], kind, std) for kind, images in items.items()}
        known[prior] = {kind: values[0] for kind, values in each.items()}
        other = next(kind for kind in items if kind != prior)
        by_evidence = auroc(each[prior][0], each[other][0])
        by_misfit = auroc(each[prior][1], each[other][1])
        rows.append([
            prior, other, *(f"{value:.3f} ± {1.96 * error:.3f}" for value, error in (by_evidence, by_misfit)),
            *(f"{float(each[kind][0].mean()):.1f}" for kind in (prior, other)), f"{each[prior][2]:.1f}",
        ])  # fmt: skip
        if prior == "digits":
            met = by_evidence[0] >= TARGET
            verdicts.append(f"- {by_evidence[0]:.3f}, target {TARGET}: {met_or_missed(met)}")
        print(rows[-1], flush=True)
    figure = figure_of(known)
    if not quick:
        save_figure(figure, DOCS / "anomaly.png")
    head = ["prior", "anomalies", "AUROC", "AUROC of the misfit", "−log p(y) of its kind", "of anomalies", "seconds"]
    return page("Anomaly detection", FINDING, [
        markdown_table(head, rows),
        "Target: an AUROC of 0.95 for clothing under the prior of digits.",
        "\n".join(verdicts),
        "![Scores under both priors, and the receiver operating characteristics](anomaly.png)",
    ], __doc__)  # fmt: skip


if __name__ == "__main__":
    run(main, "anomaly.md", __doc__)
