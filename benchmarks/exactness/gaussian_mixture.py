"""Gaussian mixtures: how far samples are from an exact posterior with separate modes.

The prior has 25 components N((−8i, −8j, −8i, −8j, …), I), i, j ∈ {−2 … 2}, with random weights; the operator is random
with singular values in (0, 1), and so is the noise (Cardoso et al. 2023, arXiv:2308.07983). The prior is reached
through its denoiser and the ordinary reverse diffusion, as a learned one would be. (d, d_y) are the sizes of image and
measurement. Problems are 0–19 (0–5 at d = 800), the sampler's seed is 0, and each run makes 1,000 samples. Defaults are
the library's, which were chosen on other problems of the kind, with one exception: the first noise level of prior
samples, √(2n)·sigma_data, came after these problems at d = 800 had shown a lower one to be wrong. Targets were set
before the run. The error is the sliced W1 distance on 400 fixed projections to exact samples, averaged over 4 sets of
1,000; the Monte Carlo error is its mean over the 6 pairs of those sets. The other samplers take problems 0–1. Cost: 40
minutes on one core; --quick: seconds.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from benchmarks.common.outcomes import RELATIVE_ERROR, SUMMARY, Outcome, measure, pick, save, summary
from benchmarks.common.pages import met_or_missed, page, run
from posterior.diagnostics import mode_weight_error, sliced_wasserstein, sliced_wasserstein_monte_carlo_error
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Matrix
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import AnnealedLangevin, AuxiliaryGibbs, ReplicaExchange, Sampler, TemperedSMC

FINDING = (
    "The median relative error of `TemperedSMC()` is between 0.98 and 1.21 in all nine cells, within its target and "
    "within 1.2 times that with exact denoising, but it takes 135 to 215 network calls a sample on average, which is "
    "more than the 150 that were aimed at in seven cells. Its weights of the modes are off by at most 0.031 in total "
    "variation. Single problems are harder: the worst has an error of 7.95, with a warning. The other samplers lose "
    "or misjudge modes: their medians reach 16.02 (`ReplicaExchange`), 124.64 (`AuxiliaryGibbs`) and 114.61 "
    "(`AnnealedLangevin`)."
)
CELLS = [(d, d_y) for d in (8, 80, 800) for d_y in (1, 2, 4)]
TARGETS = {1: 1.4, 2: 1.2, 4: 1.2}
SAMPLES, PROJECTIONS, CALLS, VERSUS = 1000, 400, 150, 1.2


def make_problem(d: int, d_y: int, index: int) -> Posterior:
    """Problem `index` of a cell: prior weights, operator, noise level, truth and measurement are all drawn."""
    noise = Noise.of(0, [f"gaussian mixture {d} {d_y} {index}"], dtype=torch.float64)

    def normal(name: str, *shape: int) -> Tensor:
        return noise.use(name).normal(shape)[0, 0]

    def uniform(name: str, *shape: int) -> Tensor:
        return noise.use(name).uniform(shape)[0, 0]

    corners = torch.tensor([[-8.0 * i, -8.0 * j] for i in range(-2, 3) for j in range(-2, 3)], dtype=torch.float64)
    prior = GaussianMixturePrior(corners.repeat(1, d // 2), normal("weights", 25) ** 2, std=1.0)
    u, _, v = torch.linalg.svd(normal("operator", d_y, d), full_matrices=False)
    singular = uniform("singular values", d_y).sort(descending=True).values
    operator = Matrix(u @ singular.diag() @ v, (d,))
    likelihood = GaussianLikelihood(operator, float(uniform("noise level") * singular.max()))
    truth = prior.exact_sample(1, noise.use("truth"))[0]
    return Posterior(prior, likelihood, likelihood.simulate(truth, noise))


def solve(
    problem: Posterior, cell: str, index: int, methods: dict[str, Sampler], size: int, seed: int = 0
) -> list[Outcome]:
    """Run samplers on one problem."""
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    sets = [exact.sample(size, seed=1 + k)[:, 0] for k in range(4)]
    monte_carlo = float(sliced_wasserstein_monte_carlo_error(sets, num_projections=PROJECTIONS))

    def judge(x: Tensor) -> tuple[float, ...]:
        distance = float(np.mean([sliced_wasserstein(x, s, num_projections=PROJECTIONS) for s in sets]))
        weights = problem.prior.responsibilities(x).mean(0)
        return distance / monte_carlo, float(mode_weight_error(weights, exact.weights[0]))

    evidence = float(exact.log_evidence[0])
    return [measure(cell, index, name, m, problem, evidence, size, judge, seed) for name, m in methods.items()]


def main(quick: bool) -> str:
    """The tables, as Markdown."""
    ours: dict[str, Sampler] = {
        "TemperedSMC": TemperedSMC(),
        "TemperedSMC, exact denoising": TemperedSMC(exact_denoise=True),
    }
    others: dict[str, Sampler] = {
        "AuxiliaryGibbs": AuxiliaryGibbs(burn_in=10 if quick else 100),
        "ReplicaExchange": ReplicaExchange(burn_in=10 if quick else 60),
        "AnnealedLangevin": AnnealedLangevin(),
    }
    size = SAMPLES
    if quick:
        size = 64
        ours = {name: TemperedSMC("fast", exact_denoise="exact" in name) for name in ours}
    outcomes: list[Outcome] = []
    table, verdicts, notes = [], [], []
    for d, d_y in CELLS[:1] if quick else CELLS:
        cell, count = f"({d}, {d_y})", 2 if quick else 6 if d == 800 else 20
        for index in range(count):
            with_others = index < (1 if quick else 2) and d < 800
            outcomes += solve(make_problem(d, d_y, index), cell, index, ours | (others if with_others else {}), size)
        for name in {**ours, **others}:
            rows = pick(outcomes, cell, name)
            if rows:
                table.append([cell, name, f"{np.mean([o.extra for o in rows]):.3f}", *summary(rows)])
                print(table[-1], flush=True)
        rows, exact = (pick(outcomes, cell, name) for name in ours)
        error, versus = (np.median([o.relative_error for o in runs]) for runs in (rows, exact))
        calls = np.mean([o.calls for o in rows])
        verdicts.append([
            cell, f"{error:.2f}", f"{TARGETS[d_y]}", f"{calls:.0f}", f"{error / versus:.2f}",
            met_or_missed(error <= TARGETS[d_y] and error <= VERSUS * versus), met_or_missed(calls <= CALLS),
        ])  # fmt: skip
        if error > VERSUS * versus and not quick:  # a ratio of two medians is noisy: is it the sampler or the seed?
            again = [
                [o.relative_error for o in solve(make_problem(d, d_y, index), cell, index, ours, size, seed)]
                for seed in (1, 2, 3)
                for index in range(count)
            ]
            a, b = np.median(np.array(again), axis=0)
            notes.append(
                f"{cell} with sampler seeds 1, 2 and 3 together: medians {a:.2f} and {b:.2f}, ratio {a / b:.2f}."
            )
    if not quick:
        save("gaussian_mixture", outcomes)
    head = [
        "(d, d_y)", "relative error, median", "target", "network calls, mean", "ratio to exact denoising (target 1.2)",
        "errors", "calls",
    ]  # fmt: skip
    return page("Gaussian mixture", FINDING, [
        f"{RELATIVE_ERROR} The targets of `TemperedSMC()` include at most {CALLS} network calls on average; ‘exact "
        "denoising’ is the same sampler with `exact_denoise=True`, which shows what reverse diffusion costs.",
        markdown_table(head, verdicts, "lrrrrll"),
        *notes,
        "Every sampler; TV is the total variation of the mode weights:",
        markdown_table(["(d, d_y)", "sampler", "TV", *SUMMARY], table, "ll"),
    ], __doc__)  # fmt: skip


if __name__ == "__main__":
    run(main, "gaussian_mixture.md", __doc__)
