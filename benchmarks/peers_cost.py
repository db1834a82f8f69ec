"""What deepinv's samplers and ours cost beside the network: milliseconds a step, and memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from benchmarks.deepinv_peers import Denoiser, Peer, physics_of
from benchmarks.table import markdown
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from samplers import DDRM, DPS, MMPS, AnnealedLangevin, DiffPIR, PiGDM
from samplers.guided.base import Guided

SHAPE, BATCH = (1, 32, 32), 16
OURS = {"DDRM": DDRM(), "DiffPIR": DiffPIR(), "DPS": DPS(), "PiGDM": PiGDM(), "MMPS": MMPS(iterations=3)}


def cheap_problem() -> Posterior:
    """Half of the pixels of 32 × 32, under a denoiser that is one multiplication."""

    def shrink(x: Tensor, sigma: Tensor) -> Tensor:
        return x * (1 / (1 + sigma**2)).reshape(-1, 1, 1, 1)

    prior = ScorePrior.from_denoiser(shrink, SHAPE, sigma_max=150.0, sigma_min=0.001, sigma_data=1.0)
    likelihood = GaussianLikelihood(Inpainting.random(SHAPE, 0.5, seed=0), 0.1)
    return Posterior(prior, likelihood, likelihood.simulate(torch.zeros(1, *SHAPE), Noise.of(0, 1)))


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Median time of a call."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times[1:]))
