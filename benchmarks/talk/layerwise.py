"""Layer-wise inversion: from how many outputs a layer is inverted, what noise does, and gradient descent beside it.

Generators have random Gaussian weights and an activation after every layer (`Perceptron`), and latents are N(0, I);
both are seeds 0 to N − 1, a new network for every trial of the first and the third table. A trial succeeds where the
relative error of the latent is below 10⁻³, and intervals are Wilson's of 95 %. Noiseless outputs are given a noise of
10⁻⁸. In the second table the network is one, of 20, 100 and 500 units with ReLU, the error is the median of 20
latents, and noise is uniform in [−s, s], Gaussian of standard deviation s, or Gaussian of a fifth of the size of an
output on one output in twenty. Gradient descent is `CSGM` with Adam, one restart, and no prior of the latent: 1500
steps in the second table, 250 and 1500 in the third. The noise is known to all of them as Gaussian. Cost: 8 minutes
on one core; --quick: seconds.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from torch import Tensor

from benchmarks.common.pages import met_or_missed, page, run
from posterior.errors import TrustWarning
from posterior.likelihoods import GaussianLikelihood
from posterior.networks.perceptron import Perceptron
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.priors.generators import NetworkGenerator
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers.map import CSGM, LayerwiseInversion
from samplers.solver import Solver

FINDING = (
    "One layer of 100 inputs is inverted in 0.97 of trials at 2.3 times as many outputs with ReLU, and in all at "
    "1.0 times with LeakyReLU; of 20 inputs in 0.90. Errors grow in proportion to the noise where the norm is "
    "that of the noise, and gross errors in one output of twenty do nothing to the linear programs of the l1 "
    "norm. At equal time gradient descent inverts two layers of ReLU up to 70 latents, and the linear programs "
    "110 in 0.90 of trials."
)
RATIOS = {0.0: (1.8, 2.0, 2.1, 2.2, 2.3, 2.5, 3.0), 0.1: (0.8, 0.9, 1.0, 1.1, 1.2, 1.4)}
FROM = {0.0: 2.3, 0.1: 1.2}  # n/k from which 95 % succeed
NAMES = {0.0: "ReLU", 0.1: "LeakyReLU, 0.1"}
WIDTHS = (10, 30, 50, 70, 90, 110)  # latents of the networks on which gradient descent is tried
LEVELS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
EXACT = 1e-8
DOUBLE = torch.float64


def network(sizes: list[int], slope: float, seed: int) -> NetworkGenerator:
    """A generator of random weights, in double precision."""
    return NetworkGenerator(Perceptron(sizes, slope, seed).double().requires_grad_(False))


def latents(prior: NetworkGenerator, seeds: list[int]) -> Tensor:
    """A latent for each seed."""
    return Noise.of(0, seeds, dtype=DOUBLE).use("truth").normal(prior.latent_shape)[0]


def errors(solver: Solver, prior: NetworkGenerator, z: Tensor, y: Tensor, std: float) -> Tensor:
    """Relative errors of latents (B,), found from their outputs."""
    problem = Posterior(prior, GaussianLikelihood(Identity(prior.event_shape), std), y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrustWarning)
        found = solver.solve(problem, progress=False).latent
    assert found is not None
    return (found - z).norm(dim=1) / z.norm(dim=1)


def wilson(successes: int, trials: int) -> str:
    """A share with its interval of 95 %."""
    p, z = successes / trials, 1.96
    centre, half = p + z**2 / (2 * trials), z * (p * (1 - p) / trials + z**2 / (4 * trials**2)) ** 0.5
    low, high = (max(0.0, centre + sign * half) / (1 + z**2 / trials) for sign in (-1, 1))
    return f"{p:.2f} [{low:.2f}, {high:.2f}]"


def transition(slope: float, widths: tuple[int, ...], trials: int) -> str:
    """Shares of layers that are inverted, by the number of their outputs."""
    rows = []
    for ratio in RATIOS[slope]:
        row = [f"{ratio:.1f}"]
        for k in widths:
            successes = 0
            for seed in range(trials):
                prior = network([k, round(ratio * k)], slope, seed)
                z = latents(prior, [seed])
                successes += int(errors(LayerwiseInversion(), prior, z, prior(z), EXACT) < 1e-3)
            row.append(wilson(successes, trials))
        reached = successes >= 0.95 * trials
        row.append("–" if ratio < FROM[slope] else met_or_missed(reached))
        rows.append(row)
        print(NAMES[slope], row, flush=True)
    return markdown_table(["n/k", *(f"k = {k}" for k in widths), f"target: 0.95 at k = {widths[-1]}"], rows)


def noisy(x: Tensor, kind: str, level: float) -> Tensor:
    """Outputs with noise of a kind."""
    noise = Noise.of(1, len(x), dtype=DOUBLE).use(kind)
    if kind == "uniform":
        return x + level * (2 * noise.uniform(x.shape[1:])[0] - 1)
    normal = noise.normal(x.shape[1:])[0]
    if kind == "Gaussian":
        return x + level * normal
    hit = noise.use("where").uniform(x.shape[1:])[0] < 0.05
    return x + level * normal + torch.where(hit, 0.2 * x.std() * noise.use("gross").normal(x.shape[1:])[0], 0.0)


def noise_table(levels: tuple[float, ...], count: int, steps: int) -> str:
    """Relative errors of latents by the noise of the outputs."""
    prior = network([20, 100, 500], 0.0, 0)
    z = latents(prior, list(range(count)))
    solvers: dict[str, Solver] = {
        "linear programs, linf": LayerwiseInversion("linf"),
        "linear programs, l1": LayerwiseInversion("l1"),
        "gradient descent": CSGM(restarts=1, steps=steps, weight=0.0),
    }
    rows = []
    for kind in ("uniform", "Gaussian", "sparse"):
        for name, solver in solvers.items():
            began, found = time.perf_counter(), []
            for level in levels:
                std = level / 3**0.5 if kind == "uniform" else level
                found.append(f"{float(errors(solver, prior, z, noisy(prior(z), kind, level), std).median()):.1e}")
            rows.append([kind, name, *found, f"{(time.perf_counter() - began) / len(levels) / count:.2f}"])
            print(rows[-1], flush=True)
    return markdown_table(["noise", "method", *(f"{level:.0e}" for level in levels), "seconds"], rows, "ll")


def against_descent(widths: tuple[int, ...], trials: int, steps: int) -> str:
    """Shares of networks of two layers that are inverted, and the time of each."""
    rows = []
    for slope in (0.0, 0.1):
        solvers: dict[str, Solver] = {
            "linear programs": LayerwiseInversion(),
            "gradient descent, equal time": CSGM(restarts=1, steps=steps, weight=0.0),
            "gradient descent, six times as long": CSGM(restarts=1, steps=6 * steps, weight=0.0),
        }
        for name, solver in solvers.items():
            row, seconds = [NAMES[slope], name], []
            for k in widths:
                successes, began = 0, time.perf_counter()
                for seed in range(trials):
                    prior = network([k, 250, 600], slope, seed)
                    z = latents(prior, [seed])
                    successes += int(errors(solver, prior, z, prior(z), EXACT) < 1e-3)
                seconds.append((time.perf_counter() - began) / trials)
                row.append(f"{successes / trials:.2f}")
            rows.append([*row, f"{np.mean(seconds):.2f}"])
            print(rows[-1], flush=True)
    return markdown_table(["activation", "method", *(f"k = {k}" for k in widths), "seconds"], rows, "ll")


def main(quick: bool) -> str:
    """The page, as Markdown."""
    trials, widths = (4, (10,)) if quick else (100, (20, 100))
    return page("Layer-wise inversion", FINDING, [
        "## Outputs that invert a layer",
        "ReLU:", transition(0.0, widths, trials),
        "LeakyReLU of slope 0.1:", transition(0.1, widths, trials),
        "## Noise", noise_table(LEVELS[2:3] if quick else LEVELS, 1 if quick else 20, 20 if quick else 1500),
        "## Gradient descent",
        "Networks of k, 250 and 600 units:",
        against_descent((10,) if quick else WIDTHS, 1 if quick else 10, 5 if quick else 250),
    ], __doc__)  # fmt: skip


if __name__ == "__main__":
    run(main, "layerwise.md", __doc__)
