"""Truths of the law that a learned prior has at the noise levels of posterior sampling, and methods judged by them.

A trained network is not the denoiser of one law: what it says at one noise level need not agree with what it says at
another. Reverse diffusion and the draws of p(x | x + ρε) that make a posterior sample then have different laws, and
truths of the former find fault with samplers that are right.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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


def rho_of(prior: ScorePrior, likelihood: Likelihood) -> float:
    """ρ with which samplers of a linear Gaussian problem make their moves at β = 1."""
    image = torch.zeros(1, *prior.event_shape)
    problem = Posterior(prior, likelihood, likelihood.operator(image))
    return float(largest_rho(problem, Curvature(problem, image), torch.ones(1)))


@torch.no_grad()
def settled_truths(
    prior: ScorePrior, rho: float, noise: Noise, sweeps: int, calls: int, fine_calls: int
) -> tuple[Tensor, Tensor]:
    """Draws of reverse diffusion, and the same after sweeps without a measurement: (B, *event) each.

    A sweep adds noise of ρ and draws p(x | x + ρε); the last two are of ρ/8 and ρ/64, as those that end a sampler's
    run.

    Args:
        prior: The prior.
        rho: ρ.
        noise: Source of randomness of B rows.
        sweeps: How many at ρ.
        calls, fine_calls: Network calls of each, and of each of the last two.
    """
    first, last = list[Tensor](), list[Tensor]()
    for rows in torch.arange(noise.lead[1]).split(_CHUNK):
        some = noise.select(rows)
        x = draw_truth(prior, some.use("truth"))
        first.append(x)
        level = torch.full((len(rows),), rho)
        ends = [(fine, fine_calls) for fine in fine_rhos(prior, level)]
        for number, (each, steps) in enumerate([(level, calls)] * sweeps + ends):
            source = some.at(number)
            white = source.use("settling").normal(prior.event_shape)
            z = x + each.view(-1, *[1] * len(prior.event_shape)) * white[0]
            x = prior.sample_denoised(z[None], each, source.use("draw"), steps=steps)[0]
        last.append(x)
    return torch.cat(first), torch.cat(last)


def judged_by(truth: Tensor, method: Method, prior: ScorePrior, likelihood: Likelihood, **options: Any) -> Calibration:
    """`calibrate` with truths of the prior's own law, which judge the sampler and not the model."""
    return replace(calibrate(method, prior, likelihood, truth=truth, **options), judged="sampler")
