"""Truths of the law that a learned prior has at the noise levels of posterior sampling, and methods judged by them.

A trained network is not the denoiser of one law: what it says at one noise level need not agree with what it says at
another. Reverse diffusion and the draws of p(x | x + ρε) that make a posterior sample then have different laws, and
truths of the former find fault with samplers that are right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from posterior.diagnostics import Calibration, calibrate
from posterior.diagnostics.calibration import draw_truth
from posterior.likelihoods import Likelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.priors import ScorePrior
from posterior.problem import Posterior
from samplers.auxiliary_kernel import fine_rhos, largest_rho
from samplers.curvature import Curvature

_CHUNK = 50


class Truths(NamedTuple):
    """Images (B, *event) on their way.

    Attributes:
        raw: Draws of reverse diffusion.
        at_rho: The same after sweeps at ρ.
        settled: The same after one at ρ/8 and one at ρ/64.
    """

    raw: Tensor
    at_rho: Tensor
    settled: Tensor


def last_rho(prior: ScorePrior, likelihood: Likelihood) -> float:
    """ρ with which samplers of a linear Gaussian problem make their moves at β = 1."""
    image = torch.zeros(1, *prior.event_shape)
    problem = Posterior(prior, likelihood, likelihood.operator(image))
    return float(largest_rho(problem, Curvature(problem, image), torch.ones(1)))


@torch.no_grad()
def settled_truths(prior: ScorePrior, rho: float, noise: Noise, sweeps: int, calls: int, fine_calls: int) -> Truths:
    """Draws of reverse diffusion, swept without a measurement: noise of ρ is added, and p(x | x + ρε) drawn.

    Args:
        prior: The prior.
        rho: ρ.
        noise: Source of randomness of B rows.
        sweeps: How many at ρ.
        calls, fine_calls: Network calls of each, and of each of the two of small ρ that end a sampler's run.
    """
    parts = []
    for rows in torch.arange(noise.lead[1]).split(_CHUNK):
        some = noise.select(rows)
        raw = x = draw_truth(prior, some.use("truth"))
        for number in range(sweeps):
            x = _swept(prior, x, rho, some.at(number), calls)
        parts.append(Truths(raw, x, ended(prior, x, rho, some.at(sweeps), fine_calls)))
    return Truths(*map(torch.cat, zip(*parts, strict=True)))


@torch.no_grad()
def ended(prior: ScorePrior, x: Tensor, rho: float, noise: Noise, calls: int) -> Tensor:
    """Images (B, *event) after the sweeps of small ρ that end a sampler's run."""
    for i, fine in enumerate(fine_rhos(prior, torch.tensor([rho]))):
        x = _swept(prior, x, float(fine), noise.use("fine", i), calls)
    return x


def _swept(prior: ScorePrior, x: Tensor, rho: float, noise: Noise, calls: int) -> Tensor:
    z = x[None] + rho * noise.use("settling").normal(prior.event_shape)
    return prior.sample_denoised(z, rho, noise.use("draw"), steps=calls)[0]


def judged_by(truth: Tensor, method: Method, prior: ScorePrior, likelihood: Likelihood, **options: Any) -> Calibration:
    """`calibrate` with truths of the prior's own law, which judge the sampler and not the model."""
    return replace(calibrate(method, prior, likelihood, truth=truth, **options), judged="sampler")
