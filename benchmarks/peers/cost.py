"""Cost of deepinv's samplers and ours beside the network: milliseconds a step, and memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import torch
from deepinv.sampling.sde_solver import BaseSDESolver
from torch import Tensor

from benchmarks.common.pages import met_or_missed
from benchmarks.peers.adapter import Denoiser, Peer
from posterior.data import load_digits
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting
from posterior.priors import ScorePrior
from posterior.priors.zoo import load_prior
from posterior.problem import Posterior
from posterior.tables import markdown_table
from samplers import DDRM, DPS, MMPS, DiffPIR, PiGDM, PredictorCorrector
from samplers.guided.base import Guided

SHAPE, BATCH, HALF, MEGABYTES = (1, 32, 32), 16, 0.5, 50.0
OURS: dict[str, Guided] = {
    "DDRM": DDRM(),
    "DiffPIR": DiffPIR(),
    "DPS": DPS(),
    "PiGDM": PiGDM(),
    "MMPS": MMPS(iterations=3),
    "ALD": PredictorCorrector(),
}
# denoiser calls and backward passes in a step: ours and deepinv's
PARTS = {
    "DDRM": ((1, 0), (1, 0)), "DiffPIR": ((1, 0), (1, 0)), "DPS": ((1, 1), (1, 1)), "PiGDM": ((1, 1), (1, 1)),
    "MMPS": ((1, 1), (1, 2)), "ALD": ((2, 0), (1, 0)),
}  # fmt: skip


def cheap_problem() -> Posterior:
    """Half of the pixels of 32 × 32, under a denoiser that is one multiplication."""

    def shrink(x: Tensor, sigma: Tensor) -> Tensor:
        return x * (1 / (1 + sigma**2)).reshape(-1, 1, 1, 1)

    prior = ScorePrior.from_denoiser(shrink, SHAPE, sigma_max=150.0, sigma_min=0.001, sigma_data=1.0)
    likelihood = GaussianLikelihood(Inpainting.random(SHAPE, 0.5, seed=0), 0.1)
    return Posterior(prior, likelihood, likelihood.simulate(torch.zeros(1, *SHAPE), Noise.of(0, 1)))


def milliseconds(work: Callable[[], object], repeats: int) -> float:
    """The least time of a call, the first left out: what the machine does besides only adds."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return min(times[1:])


def overhead_table(quick: bool) -> list[str]:
    """Milliseconds a step beyond denoiser and noise, from runs of different lengths."""
    few, many, repeats = (20, 60, 1) if quick else (100, 400, 7)
    problem = cheap_problem()
    x, calm = torch.zeros(BATCH, 1, *SHAPE), torch.zeros(BATCH, *SHAPE)
    source, peer_denoiser = problem.noise(0, BATCH), Denoiser(problem, 1.0, 0.0)

    def call(denoise: Callable[[Tensor], Tensor], x: Tensor) -> tuple[float, float]:
        leaf = x.clone().requires_grad_()
        out = denoise(leaf)
        works = lambda: denoise(x), lambda: torch.autograd.grad(out, leaf, x, retain_graph=True)
        forward, backward = (milliseconds(work, 20 if quick else 300) for work in works)
        return forward, backward

    costs = {
        "ours": call(lambda x: problem.prior.denoise(x, 0.5), x),
        "deepinv": call(lambda x: peer_denoiser(x, 0.5), calm),
    }
    noise = [milliseconds(work, 300) for work in (lambda: torch.randn_like(calm), lambda: source.normal(SHAPE))]
    table = []
    for method, ours in OURS.items():
        runs: dict[str, Callable[[int], object]] = {
            "ours": lambda n, s=ours: replace(s, steps=n).sample(problem, BATCH, progress=False),
            "deepinv": lambda n, m=method: Peer(m, {"steps": n}).sample(problem, BATCH),
        }
        row = {}
        for library, parts in zip(runs, PARTS[method], strict=True):

            def step(run: Callable[[int], object] = runs[library]) -> float:
                a, b = (milliseconds(lambda n=n: run(n), repeats) for n in (few, many))
                return (b - a) / (many - few)

            whole = step()
            with (
                mock.patch.object(Noise, "normal", lambda self, shape=(): torch.zeros(*self.lead, *shape)),
                mock.patch.object(torch, "randn_like", torch.zeros_like),
                mock.patch.object(BaseSDESolver, "randn_like", lambda self, x, seed=None: torch.zeros_like(x)),
            ):
                row[library] = (whole, step() - sum(n * cost for n, cost in zip(parts, costs[library], strict=True)))
        share = row["ours"][1] / row["deepinv"][1]
        table.append([
            method, *(f"{value:.2f}" for library in ("deepinv", "ours") for value in row[library]), f"{share:.2f}",
            met_or_missed(share <= HALF),
        ])  # fmt: skip
    head = ["method", "deepinv, a step", "beyond", "ours, a step", "beyond", "ratio", f"target {HALF}"]
    return [
        f"Milliseconds a step at batch {BATCH} of 1×32×32, one thread, a denoiser of one multiplication, half of the "
        "pixels seen; the least of 7 runs. ‘Beyond’ is without noise, which is zeros then, and less the time of the "
        "denoiser's calls and backward passes alone. ALD of ours is `PredictorCorrector`, of two calls a step; MMPS "
        "needs one iteration here.",
        markdown_table(head, table),
        f"Noise for the batch takes {noise[0]:.2f} ms from torch's generator, and {noise[1]:.2f} ms from ours, which "
        "does not depend on batch size, order or device.",
    ]


def digits_problem() -> Posterior:
    """The upper half of a digit under the shipped network."""
    likelihood = GaussianLikelihood(Inpainting.half_image((1, 28, 28), keep="top"), 0.1)
    return Posterior(load_prior("digits"), likelihood, likelihood.simulate(load_digits()[0][:1], Noise.of(0, 1)))


JOBS: dict[str, Callable[[Posterior], object]] = {
    "nothing": lambda problem: problem.prior.denoise(torch.zeros(1, 1, 28, 28), 1.0),
    "deepinv DiffPIR, 64 samples": lambda problem: Peer("DiffPIR", {"steps": 10}).sample(problem, 64),
    "ours DiffPIR, 64 samples": lambda problem: DiffPIR(steps=10).sample(problem, 64, progress=False),
    "ours DiffPIR, 64 samples, batch_size=16": lambda problem: DiffPIR(steps=10).sample(
        problem, 64, batch_size=16, progress=False
    ),
    "deepinv DPS, 64 samples": lambda problem: Peer("DPS", {"steps": 10}).sample(problem, 64),
    "ours DPS, 64 samples": lambda problem: DPS(steps=10).sample(problem, 64, progress=False),
    'ours DDRM, 100 samples, keep="moments"': lambda problem: DDRM(steps=3).sample(
        problem, 100, batch_size=100, keep="moments", progress=False
    ),
    'ours DDRM, 10,000 samples, keep="moments"': lambda problem: DDRM(steps=3).sample(
        problem, 10_000, batch_size=100, keep="moments", progress=False
    ),
}


def memory_table(quick: bool) -> list[str]:
    """Peak resident memory of one job a process."""
    names = list(JOBS)[:1] if quick else list(JOBS)
    peaks = {}
    for name in names:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.peers.cost", name],
            capture_output=True,
            text=True,
            check=True,
        )
        peaks[name] = float(done.stdout.split()[-1])
    table = [[name, f"{peak:.0f}", f"{peak - peaks['nothing']:.0f}"] for name, peak in peaks.items()]
    lines = [
        "Peak resident memory, MB: the `digits` network, half of a digit, one thread, a process each; 10 steps, or 3.",
        markdown_table(["job", "peak", "above a process that denoises one image"], table),
    ]
    if not quick:
        hundred, many = (peaks[name] for name in names[-2:])
        verdict = met_or_missed(many - hundred <= MEGABYTES)
        lines.append(
            f"10,000 samples take {many - hundred:.0f} MB more than 100 (target {MEGABYTES:g}): {verdict}. If all were "
            "kept they would take 30."
        )
    return lines


if __name__ == "__main__":
    torch.set_num_threads(1)
    JOBS[sys.argv[1]](digits_problem())
    # of this process alone: ru_maxrss starts from that of the parent
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
