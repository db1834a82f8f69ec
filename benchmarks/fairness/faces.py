"""Faces of a GAN: labels of point estimates and of samples of its latent posterior.

Truths are 40 samples of `faces-dcgan`; blocks of 16 × 16 or 8 × 8 pixels are averaged, with noise σ_y = 0.5. Groups are
the labels of the classifier `gender`, by probability. They are not who anyone is, and depend on more than the face
([gender.md](gender.md)); but as truths are samples of the prior, exact samples of the posterior have no PR gap under
any labels, so gaps are of the method. All methods have the same prior: TemperedSMC("fast") with 32 particles, of which
16 are kept, in each of two runs; CSGM and PULSE with four restarts of 200 and 100 steps. CPR gaps are estimated by the
samples of TemperedSMC, errors are of the first sample or of the estimate. Seeds are 0. Cost: an hour on one core, and a
run that stopped goes on from results/faces (the time below is then that of the last part); --quick: seconds.
"""

from __future__ import annotations

from pathlib import Path

import torch

from benchmarks.common.pages import DOCS, page, run
from posterior.fairness import FairnessStudy, Groups, load_classifier
from posterior.figures import fairness_figure, save_figure
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.metrics import PerceptualDistance
from posterior.noise import Noise
from posterior.operators import Downsampling
from posterior.priors.generators import GeneratorPrior
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import TemperedSMC
from samplers.map import CSGM, PULSE

FINDING = (
    "Point estimates have CPR gaps of about a third (+0.319 to +0.361): they say one label or the other where the "
    "posterior has both. Forty measurements hardly tell PR gaps from none (that of CSGM at ×16 just so), and CPR gaps "
    "rest on samples of which `TemperedSMC` itself doubts many."
)
SHAPE, NOISE_STD, COUNT = (3, 64, 64), 0.5, 40


def study(quick: bool) -> FairnessStudy:
    """Problems, methods and groups."""
    prior, classifier = load_prior("faces-dcgan"), load_classifier("gender")
    assert isinstance(prior, GeneratorPrior)
    count = 3 if quick else COUNT
    truth = prior.sample(1, Noise.of(0, count).use("truth"))[0]
    problems = {}
    for factor in (16,) if quick else (16, 8):
        likelihood = GaussianLikelihood(Downsampling(SHAPE, factor), NOISE_STD)
        problems[f"×{factor}"] = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, count))), truth
    if quick:
        methods: list[Method] = [CSGM(restarts=1, steps=2), PULSE(restarts=1, steps=2)]
    else:
        methods = [TemperedSMC("fast", population=32), CSGM(restarts=4, steps=200), PULSE(restarts=4)]
    errors = {} if quick else {"ST-LPIPS": PerceptualDistance("st-alex")}
    reference = None if quick else "TemperedSMC"
    return FairnessStudy(problems, methods, Groups(classifier.names, classifier), reference=reference, errors=errors)


@torch.no_grad()
def main(quick: bool) -> str:
    """The table, as Markdown."""
    report = study(quick).run(2 if quick else 32, checkpoint=None if quick else Path("results/faces/study.pt"))
    if not quick:
        save_figure(fairness_figure(report), DOCS / "faces.png")
    doubts = [f"- {one.problem}: {warning}" for one in report.findings for warning in one.warnings]
    warned = ["Warnings of `TemperedSMC`, of two runs on each problem:", "\n".join(doubts)] if doubts else []
    return page("Faces", FINDING, [
        markdown_table(report.header(), report.rows(), "ll"), "![Gaps of every method](faces.png)", *warned,
    ], __doc__)  # fmt: skip


if __name__ == "__main__":
    run(main, "faces.md", __doc__)
