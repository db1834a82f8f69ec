"""Semantic guidance: a digit is turned into another, step by step, and sampled in between.

The first held-out digit of each of four classes is to become another (0 → 6, 1 → 7, 4 → 9, 7 → 3): `SemanticGuidance()`
with the generator `digits-vae`, the shipped classifier of digits and Gaussian noise of σ = 0.5 a pixel, for a sweep
over w. Beside it stand samples of the posterior at w = 1, by `TemperedSMC("fast")`: of images near x₁ that the
classifier may take for the class. Distances are root mean squares over pixels in [−1, 1]. Seeds are 0. Cost: 8 minutes
on one core; --quick: seconds.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from benchmarks.common.pages import DOCS, page, run
from posterior.data import load_digits
from posterior.errors import TrustWarning
from posterior.fairness import load_classifier
from posterior.figures import save_figure
from posterior.figures.page import house_style
from posterior.figures.panels import show_picture
from posterior.likelihoods import CategoricalLikelihood, GaussianLikelihood, JointLikelihood
from posterior.operators import Identity, Operator
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import TemperedSMC
from samplers.map import SemanticGuidance

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINDING = (
    "A digit becomes another, by the classifier's probability of 0.751 to 0.882, once the label has thirty times "
    "its weight in the posterior, at a distance of 0.252 a pixel where its own reconstruction is at 0.172. At its "
    "own weight, w = 1, the label hardly moves samples: all the pixels at σ = 0.5 outweigh it, but where it is in "
    "doubt, as of the 4 that might be a 9."
)
SHAPE, STD, SAMPLES = (1, 28, 28), 0.5, 3
CHANGES = [(0, 6), (1, 7), (4, 9), (7, 3)]
WEIGHTS = [0.0, 3.0, 10.0, 30.0, 100.0, 300.0]


def strip(truth: Tensor, found: dict[str, Tensor]) -> Figure:
    """A row for each digit: itself, then images (B, *SHAPE) by what they are."""
    with house_style():
        from matplotlib.figure import Figure

        columns = {"x₁": truth, **found}
        figure = Figure(figsize=(0.75 * len(columns), 0.8 * len(truth) + 0.2), dpi=150, layout="constrained")
        cells = figure.subplots(len(truth), len(columns), squeeze=False)
        for line, row in enumerate(cells):
            for axes, (label, images) in zip(row, columns.items(), strict=True):
                show_picture(images[line], (-1.0, 1.0), axes)
                axes.set(xticks=[], yticks=[])
                if line == 0:
                    axes.set_title(label, fontsize=6)
        return figure


def main(quick: bool) -> str:
    """The table and the strip, as Markdown."""
    changes, weights = (CHANGES[:1], WEIGHTS[::3]) if quick else (CHANGES, WEIGHTS)
    truth = load_digits()[0][[source for source, _ in changes]]
    network = load_classifier("digits").network
    logits = Operator.from_callable(network, event_shape=SHAPE, measurement_shape=[10])
    likelihood = JointLikelihood([GaussianLikelihood(Identity(SHAPE), STD), CategoricalLikelihood(logits)])
    image, digit = likelihood.parts
    label = digit.labels(torch.tensor([target for _, target in changes]))
    problem = Posterior(load_prior("digits-vae"), likelihood, likelihood.join([truth, label]))
    rows, found = [], {}

    def row(name: str, x: Tensor) -> list[str]:
        """Of images (..., B, *SHAPE)."""
        probability = digit.log_prob(x, label).exp()
        distance = (image.squared_residual(x, truth) / truth[0].numel()).sqrt()
        return [name, *(f"{float(p):.3f}" for p in probability.reshape(-1, len(truth)).mean(0)),
                f"{float(distance.mean()):.3f}"]  # fmt: skip

    for weight in weights:
        x = SemanticGuidance(weight=weight, steps=10 if quick else 500).solve(problem, seed=0, progress=False).x
        rows.append(row(f"w = {weight:g}", x))
        found[f"w = {weight:g}"] = x
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        sampler = TemperedSMC("fast", population=8) if quick else TemperedSMC("fast")
        samples = sampler.sample(problem, 8 if quick else 64, seed=0, progress=False)
    rows.append(row("samples, w = 1", samples.x))
    found |= {f"sample {k + 1}": samples.x[k] for k in range(SAMPLES)}
    if not quick:
        save_figure(strip(truth, found), DOCS / "semantic.png")
    head = ["", *(f"P({target}), from {source}" for source, target in changes), "distance from x₁"]
    return page("Semantic guidance", FINDING, [
        markdown_table(head, rows),
        "![A digit, its neighbours in the range of the generator for growing w, and samples](semantic.png)",
    ], __doc__)  # fmt: skip


if __name__ == "__main__":
    run(main, "semantic.md", __doc__)
