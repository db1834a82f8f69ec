"""Reverse diffusion by a denoiser that knows the measurement."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Several, Share
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from samplers.guided.base import Guided, karras_levels, renoise
from samplers.state import State, per_draw


@dataclass(kw_only=True)
class ConditionalState(State):
    """What a step of second order needs.

    Attributes:
        before: Conditional means one level higher, as x.
    """

    before: Tensor = per_draw()


@dataclass(frozen=True)
class Conditional(Guided[ConditionalState]):
    r"""Reverse diffusion by an approximation m(x, σ) of E[x0 | x, y], in steps of second order.

    DDIM's step, or DDPM's, towards the conditional mean as it will be half a step on, judged by the last one:

    $$ x' = \text{DDIM}_\eta\Bigl(x, m + \frac{h}{2h_-}(m - m_-)\Bigr), \qquad h = \log\frac{\sigma}{\sigma'} $$

    which is DPM-Solver++(2M), or its stochastic form, at one evaluation of m a step. Levels are those of Karras et al.
    from the highest of the prior to 0.02 σ_d, or .05 to .1 σ_y/‖A‖ where that is less: the samples are means given
    what is left of the noise, and of a pixel known to the variance v by y they have v/(1 + σ²/v).

    Subclasses define `mean`.

    Args:
        eta: Fresh noise in a step: 1 as DDPM, 0 none.

    References:
        Lu, Zhou, Bao, Chen, Li & Zhu 2022, DPM-Solver++, arXiv:2211.01095.
    """

    state_type: ClassVar = ConditionalState
    steps: Several = 50
    eta: Share = 1.0

    def mean(self, problem: Posterior, x: Tensor, sigma: float) -> Tensor:
        """M(x, σ), as x."""
        raise NotImplementedError

    def levels(self, prior: ScorePrior, resolution: float) -> tuple[float, ...]:
        last = min(0.02 * prior.sigma_data, 0.1 * resolution)
        return karras_levels(self.steps, max(prior.sigma_min, last), prior.sigma_max)

    def memory(self, problem: Posterior, x: Tensor) -> dict[str, Tensor]:
        return {"before": torch.zeros_like(x)}

    def advance(
        self, problem: Posterior, state: ConditionalState, sigma: float, following: float, noise: Noise
    ) -> ConditionalState:
        mean = ahead = self.mean(problem, state.x, sigma)
        if state.step > 0 and following > 0:
            last = (2 * sigma ** (1 / 7) - following ** (1 / 7)) ** 7  # levels are evenly spaced in σ^(1/7)
            ahead = mean + math.log(sigma / following) / (2 * math.log(last / sigma)) * (mean - state.before)
        return replace(state, x=renoise(ahead, state.x, sigma, following, noise, self.eta), before=mean)
