"""Linear-Gaussian inpainting of 8×8 images: mean and covariance against the closed form.

A Gaussian prior with a smooth covariance, half of the pixels seen (seeded), σ_y = 0.1, 12 seeds of truth, noise and
sampler, 2,000 samples. The floor is the error of 2,000 exact draws. The sampler's defaults were chosen with
seeds 0–5 in view, at 512 samples. Cost: 5 minutes on one core; --quick: seconds.
"""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.table import bootstrap, markdown, run
from posterior.diagnostics import covariance_error, mean_error
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers import TemperedSMC

SHAPE, SEEDS, SAMPLES, BAR = (1, 8, 8), 12, 2000, 1.2


def smooth_gaussian() -> GaussianMixturePrior:
    """Zero mean, unit variance, correlation exp(−r²/2ℓ²) with ℓ = 1.5 pixels, and 1 % of white noise."""
    grid = torch.cartesian_prod(torch.arange(8.0), torch.arange(8.0)).double()
    squares = (grid[:, None] - grid).square().sum(-1)
    covariance = 0.99 * torch.exp(-squares / (2 * 1.5**2)) + 0.01 * torch.eye(64, dtype=torch.float64)
    return GaussianMixturePrior(torch.zeros(1, *SHAPE, dtype=torch.float64), covariance=covariance)


def make_problem(seed: int) -> Posterior:
    """One measurement of a draw from the prior."""
    prior = smooth_gaussian()
    likelihood = GaussianLikelihood(Inpainting.random(SHAPE, 0.5, seed=0), 0.1)
    noise = Noise.of(seed, ["linear Gaussian"], dtype=torch.float64)
    truth = prior.exact_sample(1, noise.use("truth"))[0]
    return Posterior(prior, likelihood, likelihood.simulate(truth, noise))


def main(quick: bool) -> str:
    """The table, as Markdown."""
    seeds, size = (2, 200) if quick else (SEEDS, SAMPLES)
    methods = {
        "exact draws (floor)": None,
        "TemperedSMC": TemperedSMC(),
        "TemperedSMC, exact draws of x0 given z": TemperedSMC(exact_denoise=True),
    }
    found: dict[str, list[tuple[float, float, float, float]]] = {name: [] for name in methods}
    for seed in range(seeds):
        problem = make_problem(seed)
        exact = problem.prior.posterior(problem.likelihood, problem.y)
        for name, sampler in methods.items():
            if sampler is None:
                x, calls, evidence = exact.sample(size, seed=100 + seed), 0.0, float("nan")
            else:
                samples = sampler.sample(problem, size, seed=seed, progress=False)
                x, calls = samples.x, float(samples.nfe[0])
                evidence = float(samples.info["log_evidence"][0] - exact.log_evidence[0])
            found[name].append((
                float(mean_error(x[:, 0], exact.mean()[0], exact.std()[0])),
                float(covariance_error(x[:, 0], exact.covariance()[0])), calls, evidence,
            ))  # fmt: skip
    floor = np.array(found["exact draws (floor)"]).mean(0)
    rows = []
    for name, values in found.items():
        array = np.array(values)
        low, high = bootstrap(array[:, 1] / floor[1])
        rows.append([
            name, f"{array[:, 0].mean():.4f}", f"{array[:, 0].mean() / floor[0]:.2f}", f"{array[:, 1].mean():.4f}",
            f"{array[:, 1].mean() / floor[1]:.2f} [{low:.2f}, {high:.2f}]", f"{array[:, 2].mean():.0f}",
            "–" if np.isnan(array[:, 3]).any() else f"{array[:, 3].mean():+.2f}",
        ])  # fmt: skip
    ratio = float(np.array(found["TemperedSMC"])[:, 1].mean() / floor[1])
    head = [
        "method", "error of the mean", "÷ floor", "error of the covariance", "÷ floor [95 %]", "network calls",
        "error of log p(y)",
    ]  # fmt: skip
    each = [[str(s), *(f"{v[s][1]:.4f}" for v in found.values())] for s in range(seeds)]
    return "\n\n".join([
        "# Linear-Gaussian inpainting, 8×8",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        markdown(head, rows),
        f"Bar: covariance error of `TemperedSMC()` at most {BAR} × the floor, mean of the seeds: {ratio:.2f}, "
        f"{'met' if ratio <= BAR else 'MISSED'}.",
        "## Error of the covariance, every seed",
        markdown(["seed", *found], each),
    ])  # fmt: skip


if __name__ == "__main__":
    run(main, "linear_gaussian.md", __doc__ or "")
