"""Plug-and-play restoration with a diffusion model (DiffPIR)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from posterior.checks import Positive, Share
from posterior.noise import Noise
from posterior.problem import Posterior
from samplers.guided.base import Guided, noise_variance
from samplers.state import State


@dataclass(frozen=True)
class DiffPIR(Guided[State]):
    r"""The image that weighs measurement against denoiser, with noise put back.

    $$ \hat x = \operatorname{argmin}_x \frac{\|y - Ax\|^2}{2\sigma_y^2} + \frac{\lambda}{2\sigma^2}\|x - D\|^2, \qquad
       x' = \hat x + \sigma'\bigl(\sqrt{1 - \zeta}\,(x - \hat x)/\sigma + \sqrt\zeta\,\xi\bigr) $$

    No gradients of the network.

    Args:
        weight: λ.
        zeta: Share of fresh noise, in [0, 1].

    References:
        Zhu, Zhang, Liang, Cao, Wen, Timofte & Van Gool 2023, Denoising Diffusion Models for Plug-and-Play Image
        Restoration, arXiv:2305.08995.
    """

    weight: Positive = 7.0
    zeta: Share = 0.3

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        operator = problem.operator
        clean = problem.prior.denoise(x, sigma)
        back = operator.adjoint(problem.y - operator(clean))
        ridge = self.weight / sigma**2
        best = clean + operator.gram_function(
            lambda values: 1 / (values + ridge * noise_variance(problem, values.ndim)), back
        )
        if following == 0:
            return best
        kept, fresh = math.sqrt(1 - self.zeta) * following / sigma, math.sqrt(self.zeta) * following
        return best + kept * (x - best) + fresh * noise.use("renoise").normal(problem.event_shape)
