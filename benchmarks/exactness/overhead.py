"""Overhead: the wall time of a sampler relative to that of the same network calls alone.

The network is that of `digits`, the measurement one half of an image; 64 samples are made on one thread. The network's
forward and backward passes in each sampler are counted, and as many of the same batch shape are timed alone, five times
in turn with the sampler. The target is a median ratio of at most 1.05. Cost: 25 minutes on one core; --quick: seconds.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch
from torch import Tensor

from benchmarks.common.pages import met_or_missed, page, run
from posterior.data import load_digits
from posterior.errors import TrustWarning
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting
from posterior.priors.score_prior import ScorePrior
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import (
    DAPS,
    DDNM,
    DDRM,
    DPS,
    MMPS,
    TDS,
    TMPD,
    AnnealedLangevin,
    AuxiliaryGibbs,
    DiffPIR,
    MCGDiff,
    PiGDM,
    PnPDM,
    PredictorCorrector,
    ReplicaExchange,
    Sampler,
    TemperedSMC,
)  # fmt: skip

FINDING = (
    "Samplers take 0.974 to 1.054 times as long as the network calls that they make, but for `DAPS`, which takes "
    "1.234 times as long. It makes a hundred Langevin steps of the likelihood, each with noise of its own, for every "
    "five calls."
)
SHAPE, SIZE, TARGET = (1, 28, 28), 64, 1.05
SAMPLERS: list[Sampler] = [
    TemperedSMC("fast", population=SIZE),
    AnnealedLangevin(levels=11),
    AuxiliaryGibbs(chains=SIZE, burn_in=4, thinning=1, steps=4, prior_steps=6),
    ReplicaExchange(chains=SIZE // 4, replicas=4, burn_in=4, thinning=1, steps=4, prior_steps=6),
    *(kind(steps=12) for kind in (DDRM, DDNM, DiffPIR, DPS, PiGDM, TMPD)),
    MMPS(steps=6, iterations=3),
    DAPS(steps=4),
    PnPDM(steps=4, burn_out=2),
    PredictorCorrector(steps=12),
    TDS(steps=12, population=SIZE),
    MCGDiff(steps=12, population=SIZE),
]


def network_time(prior: ScorePrior, x: Tensor, forward: int, backward: int) -> float:
    """Seconds of so many passes of the network alone, the backward ones spread evenly over the forward ones."""
    sigma, start = torch.tensor(0.5), time.perf_counter()
    for call in range(forward):
        passes = (call + 1) * backward // forward - call * backward // forward
        with torch.set_grad_enabled(passes > 0):
            leaf = x.detach().requires_grad_(passes > 0)
            out = prior.denoise(leaf, sigma)
            for left in range(passes, 0, -1):
                torch.autograd.grad(out, leaf, x, retain_graph=left > 1)
    return time.perf_counter() - start


def main(quick: bool) -> str:
    """The table, as Markdown."""
    samplers, size, repeats = ([DDRM(steps=2), DPS(steps=2)], 4, 1) if quick else (SAMPLERS, SIZE, 5)
    prior = load_prior("digits")
    assert isinstance(prior, ScorePrior)
    likelihood = GaussianLikelihood(Inpainting.half_image(SHAPE, keep="top"), 0.1)
    truth = load_digits()[0][:1]
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, 1)))
    x = torch.randn(size, 1, *SHAPE, generator=torch.Generator().manual_seed(0))
    rows = []
    for sampler in samplers:
        times = []
        for repeat in range(repeats + 1):  # the first warms up
            start = time.perf_counter()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", TrustWarning)
                samples = sampler.sample(problem, size, progress=False)
            whole = time.perf_counter() - start
            forward, backward = round(float(samples.nfe[0])), round(float(samples.nfe_grad[0]))
            alone = network_time(prior, x, forward, backward)
            if repeat or quick:
                times.append((whole, alone))
        seconds = np.array(times)
        ratio = float(np.median(seconds[:, 0] / seconds[:, 1]))
        rows.append([
            sampler.name, f"{forward} + {backward}", f"{np.median(seconds[:, 0]):.1f}",
            f"{np.median(seconds[:, 1]):.1f}", f"{ratio:.3f}", met_or_missed(ratio <= TARGET),
        ])  # fmt: skip
        print(rows[-1], flush=True)
    head = ["sampler", "passes forward + backward", "seconds", "network alone", "ratio", f"target ≤ {TARGET}"]
    return page("Overhead", FINDING, [markdown_table(head, rows, "lrrrrl")], __doc__)


if __name__ == "__main__":
    run(main, "overhead.md", __doc__)
