"""How fast CSGM is in batches, and beside deepinv's."""

from __future__ import annotations

import importlib.util
import time

import torch
from torch import Tensor

from benchmarks.generators.problems import problem_of
from posterior.noise import Noise
from posterior.operators import Downsampling
from posterior.priors import GeneratorPrior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers.map import CSGM

SPEED = ["16 faces", "restarts", "steps", "seconds", "RMS residual at the end"]


def speed(prior: GeneratorPrior, quick: bool) -> str:
    """Restarts of many faces in one batch, one at a time, and with deepinv where it is installed."""
    count, restarts, steps = (1, 2, 1) if quick else (16, 10, 10)
    truth = prior.sample(1, Noise.of(0, count).use("truth"))[0]
    problem = problem_of(prior, Downsampling(prior.event_shape, 4), 0.05, truth)
    rows = []
    for name, size in (("CSGM, one batch", None), ("CSGM, one at a time", 1)):
        start = time.perf_counter()
        CSGM(restarts, steps).solve(problem, batch_size=size)
        rows.append([name, str(restarts), str(steps), f"{time.perf_counter() - start:.1f}", "–"])
    if importlib.util.find_spec("deepinv") is None:
        return markdown_table(SPEED, rows)

    for steps in (2,) if quick else (100, 250):
        start = time.perf_counter()
        x = CSGM(1, steps, learning_rate=0.2, weight=0.0).solve(problem).x
        rows.append(
            ["CSGM without prior, one batch", "1", str(steps), f"{time.perf_counter() - start:.1f}", rms(problem, x)]
        )
    steps = 2 if quick else 100
    start = time.perf_counter()
    x = deepinv_csgm(prior, problem, steps)
    rows.append(["deepinv CSGMGenerator", "1", str(steps), f"{time.perf_counter() - start:.1f}", rms(problem, x)])
    return markdown_table(SPEED, rows)


def rms(problem: Posterior, x: Tensor) -> str:
    """Root mean squared residual of the measurements."""
    return f"{float((problem.y - problem.operator(x)).square().mean().sqrt()):.4f}"


def deepinv_csgm(prior: GeneratorPrior, problem: Posterior, steps: int) -> Tensor:
    """The estimates of deepinv's CSGM, one image after the other: it has neither restarts nor batches."""
    import deepinv  # type: ignore[import-not-found]

    class Backbone(torch.nn.Module):
        nz = prior.latent_shape[0]

        def forward(self, z: Tensor) -> Tensor:
            return prior(z.flatten(1))

    physics = deepinv.physics.LinearPhysics(A=lambda x, **_: problem.operator(x))
    solver = deepinv.models.CSGMGenerator(Backbone(), inf_max_iter=steps, inf_tol=0.0, inf_lr=0.1).eval()
    torch.manual_seed(0)
    return torch.cat([solver(y[None], physics).detach() for y in problem.y])
