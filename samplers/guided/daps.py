"""Decoupled annealing posterior sampling (DAPS)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

from torch import Tensor

from posterior.checks import Count, Positive, Range, Several, check_falling
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.curvature import Curvature
from samplers.guided.base import Guided, karras_levels
from samplers.plan import Calls
from samplers.state import State


@dataclass(kw_only=True)
class DAPSState(State):
    """The draws, and the largest curvature of the likelihood, (B,)."""

    curvature: Tensor


@dataclass(frozen=True)
class DAPS(Guided[DAPSState]):
    r"""At each level a clean image by the probability flow, Langevin steps towards the measurement, and noise anew.

    $$ x_0 \leftarrow x_0 + h\,\nabla\Bigl(\log p(y \mid x_0) - \frac{\|x_0 - \hat x_0\|^2}{2\sigma^2}\Bigr)
       + \sqrt{2h}\,\xi, \qquad x' = x_0 + \sigma'\varepsilon $$

    from \(\hat x_0\), the end of `ode_steps` Euler steps of the flow; \(h\) is `step_size` over the sum of the two
    curvatures, 1/σ² and ‖A‖²/σ_y² (of other likelihoods, their information at the prior's mean). The paper's code takes
    .01 for the noise of the measurement; here it is the likelihood's own. Any differentiable likelihood.

    Args:
        ode_steps: Network calls a level.
        langevin_steps: Steps without the network.
        step_size: Below 2 to be stable.
        sigma_first, sigma_last: Levels, evenly spaced in σ^(1/7); the first is the prior's largest if that is smaller.

    References:
        Zhang, Chu, Berner, Meng, Anandkumar & Song 2024, Improving Diffusion Inverse Problem Solving with Decoupled
        Noise Annealing, arXiv:2407.01521.
    """

    steps: Several = 50
    ode_steps: Count = 5
    langevin_steps: Count = 100
    step_size: Annotated[float, Range(0, 2, "()")] = 0.3
    sigma_first: Positive = 100.0
    sigma_last: Positive = 0.1

    linear_only: ClassVar[bool] = False
    state_type: ClassVar = DAPSState

    def __post_init__(self) -> None:
        super().__post_init__()
        check_falling(self, "sigma_first", "sigma_last")

    def levels(self, prior: ScorePrior, resolution: float) -> tuple[float, ...]:
        last = max(self.sigma_last, prior.sigma_min)
        return karras_levels(self.steps, last, max(last, min(self.sigma_first, prior.sigma_max)))

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        return Calls(num_samples * len(self.levels(problem.prior, math.inf)) * self.ode_steps)

    def memory(self, problem: Posterior, x: Tensor) -> dict[str, Tensor]:
        pilot = problem.prior.mean().to(x).expand(len(problem), *problem.event_shape)
        return {"curvature": Curvature(problem, pilot).norm}

    def advance(self, problem: Posterior, state: DAPSState, sigma: float, following: float, noise: Noise) -> DAPSState:
        anchor = flow_to_clean(problem.prior, state.x, sigma, self.ode_steps)
        h = expand_right(self.step_size / (sigma**-2 + state.curvature), len(problem.event_shape))
        clean = anchor
        for k in range(self.langevin_steps):
            slope = problem.log_likelihood_grad(clean) - (clean - anchor) / sigma**2
            clean = clean + h * slope + (2 * h).sqrt() * noise.use("langevin", k).normal(problem.event_shape)
        if following > 0:
            clean = clean + following * noise.use("renoise").normal(problem.event_shape)
        return replace(state, x=clean)


def flow_to_clean(prior: ScorePrior, x: Tensor, sigma: float, steps: int) -> Tensor:
    """The end of the probability flow from x at σ, by Euler steps: one call each."""
    last = min(sigma, max(prior.sigma_min, 0.01 * sigma)) if steps > 1 else sigma
    levels = karras_levels(steps, last, sigma)
    for level, following in zip(levels, (*levels[1:], 0.0), strict=True):
        clean = prior.denoise(x, level)
        x = clean + (following / level) * (x - clean)
    return x
