"""What a sampler costs beyond its network: wall time ÷ time of the same network calls alone.

The `digits` network, one measurement of half an image, 64 draws; for each sampler the number of network calls is
counted, and as many calls of the same batch shape are timed alone, five times in turn with the sampler. The bar is a
median ratio of at most 1.05. Cost: about 6 minutes on two cores; --quick: seconds.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from benchmarks.table import markdown, run
from posterior.data import load_digits
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from samplers import AnnealedLangevin, TemperedSMC
from samplers.base import Sampler

SHAPE, DRAWS, BAR = (1, 28, 28), 64, 1.05


@torch.no_grad()
def main(quick: bool) -> str:
    """The table, as Markdown."""
    samplers: list[Sampler] = [TemperedSMC("fast", population=DRAWS), AnnealedLangevin(levels=33)]
    count, repeats = DRAWS, 5
    if quick:
        samplers, count, repeats = [AnnealedLangevin(levels=3)], 4, 1
    prior = load_prior("digits")
    likelihood = GaussianLikelihood(Inpainting.half(SHAPE, keep="top"), 0.1)
    truth = load_digits()[0][:1]
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(0, 1)))
    rows = []
    for sampler in samplers:
        draws = sampler.draws_at_once(count)
        x, sigma = torch.randn(draws, 1, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.tensor(0.5)
        times = []
        for repeat in range(repeats + 1):  # the first warms up
            start = time.perf_counter()
            samples = sampler.sample(problem, draws, progress=False)
            whole = time.perf_counter() - start
            calls = round(float(samples.nfe[0]))
            start = time.perf_counter()
            for _ in range(calls):
                prior.denoise(x, sigma)
            alone = time.perf_counter() - start
            if repeat or quick:
                times.append((whole, alone))
        seconds = np.array(times)
        ratio = float(np.median(seconds[:, 0] / seconds[:, 1]))
        rows.append([
            sampler.name, str(draws), str(calls), f"{np.median(seconds[:, 0]):.1f}", f"{np.median(seconds[:, 1]):.1f}",
            f"{1000 * np.median(seconds[:, 1]) / calls / draws:.2f}", f"{ratio:.3f}",
            "met" if ratio <= BAR else "MISSED",
        ])  # fmt: skip
    head = ["sampler", "draws", "network calls", "seconds", "network alone", "ms an image", "ratio", f"bar ≤ {BAR}"]
    return "\n\n".join([
        "# Overhead", (__doc__ or "").split("\n\n", 1)[1].strip(), markdown(head, rows),
    ])  # fmt: skip


if __name__ == "__main__":
    run(main, "overhead.md", __doc__ or "")
