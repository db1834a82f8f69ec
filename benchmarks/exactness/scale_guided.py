"""Guided samplers and `KineticLangevin` at equal cost, on Gaussian fields of 64².

Problems, figures and standard errors are those of the [benchmark of large images](scale.md), at σ = 0.1, with 64
samples each. Every sampler takes the most steps that cost no more than the 159 network calls of `KineticLangevin()`,
where a backward pass counts as two; other settings are the defaults.
Seeds 0.
Cost: 15 minutes on one core; --quick: seconds, at 16².
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

from benchmarks.common.pages import page, run
from benchmarks.exactness.field_posteriors import Truth, posterior_of
from benchmarks.exactness.scale import Cell, judged, problem_of
from posterior.errors import IncompatibleError, NotFiniteError, TrustWarning
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import DAPS, DDNM, DDRM, DPS, MMPS, TMPD, DiffPIR, KineticLangevin, PiGDM, PnPDM, PredictorCorrector

FINDING = (
    "At equal cost no guided sampler is nearer to the posterior of a Gaussian field than `KineticLangevin` beyond "
    "sampling error: where sampling error is small its mean is off by 0.026 posterior standard deviations at most and "
    "its total variance by a factor of 0.995. The next, `PiGDM`, is off by up to 0.124 and a factor of 1.056, the "
    "others by up to 2.759 and 3.193. The verdict flags every run whose mean is off by more than a fifth of the "
    "posterior's standard deviation or its variance by more than a fifth, and calls each of `KineticLangevin` sound."
)
OPERATORS = ("25 % of pixels", "blur of 1.5 pixels", "4× block means", "4× Fourier")
GUIDED: tuple[Any, ...] = (
    DPS(), PiGDM(), MMPS(), TMPD(), DAPS(), DiffPIR(), DDNM(), DDRM(), PnPDM(), PredictorCorrector()
)  # fmt: skip


def cost(sampler: Any, problem: Posterior) -> float:
    """Network calls a sample, a backward pass counted as two."""
    calls = sampler.calls(problem, 1)
    return float(calls.forward + 2 * calls.backward)


def equalled(sampler: Any, problem: Posterior, budget: float) -> Any:
    """The sampler with the most steps that cost no more than the budget."""
    fewest = 11 if isinstance(sampler, PnPDM) else 2
    best = replace(sampler, steps=fewest)
    for steps in range(fewest, 400):
        with_steps = replace(sampler, steps=steps)
        if cost(with_steps, problem) > budget:
            break
        best = with_steps
    return best


def line(cell: Cell, sampler: Any, problem: Posterior, truth: Truth) -> list[str]:
    """A row of the table."""
    name = [cell.operator, sampler.name]
    try:
        sampler.check(problem)
        spent = f"{cost(sampler, problem):.0f}"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)
            samples = sampler.sample(problem, cell.chains, batch_size=32, progress=False)
    except IncompatibleError:
        return [*name, "–", "–", "–", "–"]
    except NotFiniteError:
        return [*name, spent, "diverged", "diverged", "not the posterior"]
    found = judged(samples.x[:, 0], truth)
    figures = [f"{found[part]:.3f} ± {found[f'{part}_se']:.3f}" for part in ("mean", "variance")]
    return [*name, spent, *figures, samples.verdict[0].level]


def main(quick: bool) -> str:
    """The table, as Markdown."""
    operators, side, chains = (OPERATORS[:1], 16, 16) if quick else (OPERATORS, 64, 64)
    own, rows = KineticLangevin(), []
    for operator in operators:
        cell = Cell("Gaussian", operator, side, 0.1, "standard", chains)
        problem = problem_of(cell)
        truth = posterior_of(problem, 256)
        for sampler in (own, *(equalled(one, problem, own.budget.calls) for one in (GUIDED[:2] if quick else GUIDED))):
            rows.append(line(cell, sampler, problem, truth))
            print(*rows[-1], sep=" | ", flush=True)
    header = ["measurement", "sampler", "cost", "mean", "variance", "verdict"]
    return page("Guided samplers on images of 64²", FINDING, [markdown_table(header, rows)], __doc__)


if __name__ == "__main__":
    run(main, "scale_guided.md", __doc__)
