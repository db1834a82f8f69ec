"""Real images, and the exact posterior of each: twelve problems.

The prior is a thousand training images of the package, each blurred by a Gaussian of standard deviation 0.1: digits 3
and 5 against 6, 8 and 9, or T-shirts and dresses (tops), pullovers and coats (outer), and shirts. Weights make the
groups as large as the mix says. Truths are its samples; blocks of f × f pixels are averaged, with noise σ_y.
P(X ∈ a | y) is then exact, as are samples, posterior mean and MAP (the mean of the likeliest component, whose Gaussians
hardly overlap). There are 500 measurements and two runs of 32 samples; of samplers that have no target, and of CSGM,
200 measurements and two runs of 2 samples. Groups of all images are the exact responsibilities of the prior's
components. CSGM has another prior: a VAE of all ten digits. TemperedSMC is TemperedSMC("fast", population=64), the
others have their defaults. Groups and problems were chosen after trials by hand, in which gaps of MAP were seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.common.pages import DOCS
from benchmarks.fairness.toy import ExactSamples, MixtureMAP
from posterior.data import load_digits, load_fashion
from posterior.fairness import ComponentGroups, FairnessReport, FairnessStudy, Finding, fairness, reliability
from posterior.figures import fairness_figure, reliability_figure, save_figure
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.operators import Downsampling
from posterior.priors import EmpiricalPrior, GaussianMixturePrior
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from posterior.tables import markdown_table
from samplers import AnnealedLangevin, TemperedSMC
from samplers.guided import DPS
from samplers.map import CSGM

SHAPE, WIDTH, MARGIN = (1, 28, 28), 0.1, 0.05
FOLDER = Path("results/fairness")  # where a run that stopped goes on from
MEMBERS = {
    "digits": {"3, 5": [3, 5], "6, 8, 9": [6, 8, 9]},
    "fashion": {"tops": [0, 3], "outer": [2, 4], "shirts": [6]},
}


@dataclass(frozen=True)
class Cell:
    """A problem: whose images, in what shares (%), seen through blocks of what side and noise."""

    data: str
    mix: tuple[int, ...]
    factor: int
    noise_std: float

    def __str__(self) -> str:
        return f"{self.data} {'/'.join(map(str, self.mix))}, ×{self.factor}, σ_y {self.noise_std:g}"


CELLS = (
    Cell("digits", (80, 20), 2, 2.0), Cell("digits", (80, 20), 4, 1.0), Cell("digits", (80, 20), 7, 0.5),
    Cell("digits", (80, 20), 7, 1.0), Cell("digits", (50, 50), 7, 1.0), Cell("digits", (20, 80), 7, 1.0),
    Cell("fashion", (70, 20, 10), 2, 2.0), Cell("fashion", (70, 20, 10), 4, 1.0), Cell("fashion", (70, 20, 10), 7, 0.5),
    Cell("fashion", (70, 20, 10), 7, 1.0), Cell("fashion", (34, 33, 33), 7, 1.0),
    Cell("fashion", (10, 20, 70), 7, 1.0),
)  # fmt: skip
HARDEST = (CELLS[3], CELLS[5], CELLS[9], CELLS[11])  # the least is measured, and one group is the largest


@dataclass(frozen=True)
class PosteriorMean:
    """The exact mean of the posterior, which has the least mean squared error."""

    name: str = "posterior mean"

    def __call__(
        self, problem: Posterior, *, num_samples: int = 1, seed: int = 0, batch_size: int | None = None,
        progress: bool = True,
    ) -> PointEstimate:  # fmt: skip
        """One image a measurement."""
        assert isinstance(problem.prior, GaussianMixturePrior)
        x = problem.prior.posterior(problem.likelihood, problem.y).mean()
        none = torch.zeros(len(problem))
        return PointEstimate(x.to(problem.y), none, none == 0, none, none)


@dataclass(frozen=True)
class OfDigits:
    """A solver on the generator of all digits, whatever the prior of the problem."""

    solver: CSGM
    name: str = "CSGM"

    def __call__(
        self, problem: Posterior, *, num_samples: int = 1, seed: int = 0, batch_size: int | None = None,
        progress: bool = True,
    ) -> Samples | PointEstimate:  # fmt: skip
        """One image a measurement."""
        return self.solver(problem.with_prior(load_prior("digits-vae")), seed=seed, progress=False)


def problem_of(cell: Cell, count: int) -> tuple[Posterior, Tensor, ComponentGroups]:
    """Measurements of samples of the cell's prior, and the groups in it."""
    images, labels = (load_digits if cell.data == "digits" else load_fashion)("training")
    members = MEMBERS[cell.data]
    which = torch.full((10,), -1)
    for number, classes in enumerate(members.values()):
        which[classes] = number
    # of each class as many as are there, a thousand in all
    kept = (which[labels] >= 0).nonzero()[:, 0][:1000]
    images, group = images[kept], which[labels[kept]]
    weights = (torch.tensor(cell.mix) / group.bincount(minlength=len(members)))[group]
    prior = EmpiricalPrior(images, WIDTH, weights)
    truth = prior.exact_sample(1, Noise.of(0, count))[0]
    likelihood = GaussianLikelihood(Downsampling(SHAPE, cell.factor), cell.noise_std)
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(1, count)))
    return problem, truth, ComponentGroups(prior, group, list(members))


def measured(cell: Cell, quick: bool) -> list[Finding]:
    """The library's measures of all methods: of exact ones on many measurements, of the others on few."""
    many, few, samples = (12, 4, 4) if quick else (500, 200, 64)
    exact: list[Method] = [ExactSamples(), TemperedSMC("fast", population=8 if quick else 64), MixtureMAP()]
    others: list[Method] = [] if quick else [AnnealedLangevin(), DPS()]
    if cell.data == "digits":
        others.append(OfDigits(CSGM(steps=5) if quick else CSGM()))
    problem, truth, groups = problem_of(cell, many)
    findings: list[Finding] = []
    for name, methods, count, size in (("exact", [*exact, PosteriorMean()], many, samples), ("others", others, few, 4)):
        if methods:
            part = problem.select(range(count)), truth[:count]
            study = FairnessStudy({str(cell): part}, methods, groups, truths_from_prior=True)
            file = None if quick else FOLDER / f"{str(cell).replace('/', '-')} {name}.pt"
            findings += study.run(size, checkpoint=file).findings
    return findings


def sharp(quick: bool) -> str:
    """A measurement that leaves a few narrow peaks, as Markdown: which methods find them, and which warn."""
    cell = Cell("digits", (80, 20), 7, 0.1)
    problem, truth, groups = problem_of(cell, 4 if quick else 40)
    methods: dict[str, Method] = {"exact posterior": ExactSamples(), "MAP": MixtureMAP()}
    if quick:
        methods["TemperedSMC of 8 particles"] = TemperedSMC("fast", population=8)
    else:
        methods['TemperedSMC("fast", population=64)'] = TemperedSMC("fast", population=64)
        methods["TemperedSMC()"] = TemperedSMC()
    rows = []
    for number, (name, method) in enumerate(methods.items()):
        study = FairnessStudy({str(cell): (problem, truth)}, [method], groups, truths_from_prior=True)
        (found,) = study.run(4 if quick else 64, checkpoint=None if quick else FOLDER / f"sharp {number}.pt").findings
        gaps = found.fairness
        assert gaps.conditional is not None
        told = "yes" if found.warnings else "no"
        rows.append([name, str(gaps.representation.worst()), str(gaps.conditional.worst()), told])
    return markdown_table([str(cell), "PR gap", "CPR gap", "warns"], rows)


def agreement(findings: list[Finding]) -> tuple[int, int]:
    """How many CPR intervals by the samples of TemperedSMC meet those by the exact P(X ∈ a | y), and of how many."""
    known = {(one.problem, one.method): one for one in findings}
    met = total = 0
    for one in findings:
        trusted = known[one.problem, "TemperedSMC"]
        if one.method != "TemperedSMC" and len(one.truth) == len(trusted.truth):
            estimate = fairness(one.truth, one.first, one.second, (trusted.first, trusted.second)).conditional
            exact = one.fairness.conditional
            assert estimate is not None
            assert exact is not None
            met += int(((estimate.low <= exact.high) & (exact.low <= estimate.high)).sum())
            total += len(exact.value)
    return met, total


def tables(quick: bool) -> str:
    """PR and CPR gaps of every cell and method, and the targets, as Markdown."""
    cells = (CELLS[0], CELLS[6]) if quick else CELLS
    found = {cell: measured(cell, quick) for cell in cells}
    reports = [
        FairnessReport(tuple(names), tuple(one for cell in cells if cell.data == data for one in found[cell]))
        for data, names in MEMBERS.items()
    ]
    if not quick:
        draw(reports)
    cells_of = {(row[0], row[1]): row for report in reports for row in report.rows()}
    names = list(dict.fromkeys(method for _, method in cells_of))
    parts = []
    for column, title in ((2, "PR gaps"), (4, "CPR gaps"), (5, "SPE gaps")):
        # of two groups the SPE gap is the PR gap once more
        shown = [cell for cell in cells if column != 5 or len(cell.mix) > 2]
        rows = []
        for cell in shown:
            given = [cells_of.get((str(cell), name)) for name in names]
            rows.append([str(cell), *("–" if row is None else row[column] for row in given)])
        parts.append(f"### {title}\n\n{markdown_table(['problem', *names], rows)}")
    return "\n\n".join([
        *parts, "### Targets", targets(found), "### A sharp measurement", sharp(quick),
        "The twelve problems leave much open. Where little is open, as in these forty measurements, the posterior is a "
        "few narrow peaks, which a population that starts from the prior has to find.",
    ])  # fmt: skip


def draw(reports: list[FairnessReport]) -> None:
    """The figures: all gaps, and what some methods say on a hard problem against what happens."""
    for report, data in zip(reports, MEMBERS, strict=True):
        save_figure(fairness_figure(report), DOCS / f"fairness-{data}.png")
    shown = {
        one.method: reliability(one.truth, (one.first + one.second) / 2)
        for one in reports[-1].findings
        if one.problem == str(CELLS[9]) and one.method in ("TemperedSMC", "MAP")
    }
    save_figure(reliability_figure(shown, reports[-1].groups, str(CELLS[9])), DOCS / "fairness-reliability.png")


def targets(found: dict[Cell, list[Finding]]) -> str:
    """Equivalence of sampling to no gap, and the gap of MAP."""
    of = {(cell, one.method): one.fairness for cell, findings in found.items() for one in findings}
    lines = []
    for name in ("exact posterior", "TemperedSMC"):
        held = []
        for title, which in (("PR", "representation"), ("CPR", "conditional"), ("SPE", "symmetry")):
            asked = [cell for cell in found if which != "symmetry" or len(cell.mix) > 2]
            count = sum(getattr(of[cell, name], which).within(MARGIN) for cell in asked)
            held.append(f"{title} {count} of {len(asked)}")
        lines.append(f"- {name}: problems with the intervals of all groups within ±{MARGIN:g}: {', '.join(held)}.")
    out = [str(cell) for cell in HARDEST if cell in found and of[cell, "MAP"].representation.outside(MARGIN)]
    hardest = [cell for cell in HARDEST if cell in found]
    lines.append(f"- MAP: some PR interval beyond ±{MARGIN:g} in {len(out)} of the {len(hardest)} hardest problems.")
    met, total = agreement([one for findings in found.values() for one in findings])
    lines.append(
        f"- CPR gaps estimated by the samples of TemperedSMC: {met} of {total} intervals meet those of the exact "
        "P(X ∈ a | y) (exact samples, MAP, posterior mean)."
    )
    return "\n".join(lines)
