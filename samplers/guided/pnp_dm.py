"""Plug-and-play diffusion (PnP-DM)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from torch import Tensor

from posterior.checks import Positive, Range, Several, check_falling
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from samplers.guided.base import Guided, noise_variance
from samplers.plan import Calls
from samplers.state import State


@dataclass(frozen=True)
class PnPDM(Guided[State]):
    r"""Split Gibbs moves between a likelihood step and a draw of the prior, with their coupling ρ annealed.

    $$ z \sim N\bigl(z; x, \rho^2\bigr)\,p(y \mid z), \qquad x \sim p(x_0 \mid x_0 + \rho\varepsilon = z) $$

    At a fixed ρ these moves leave p(x) N(z; x, ρ²) p(y | z) as it is, whose x has the posterior for a measurement of
    noise σ_y² + ρ²AAᵀ; `AuxiliaryGibbs` corrects for that, this sampler only for as long as ρ is small. No gradients
    of the network.

    Args:
        steps: Values of ρ on the way down, from rho_first by a constant ratio.
        burn_out: Moves at the last ρ.
        rho_first, rho_last: Ends of ρ; the last, unless given, is 0.15 to 0.3 σ_y/‖A‖, which makes variances 2 to 9 %
            too large where y pins them down.
        denoise_steps: Network calls of a draw of the prior, but for the first, which is a call more.

    References:
        Wu, Sun, Chen, Zhang, Yue & Bouman 2024, Principled Probabilistic Imaging using Diffusion Models as
        Plug-and-Play Priors, arXiv:2405.18782.
    """

    steps: Several = 40
    burn_out: Annotated[int, Range(0)] = 10
    rho_first: Positive = 10.0
    rho_last: Positive | None = None
    denoise_steps: Annotated[int, Range(3)] = 6

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rho_last is not None:
            check_falling(self, "rho_first", "rho_last")

    def levels(self, prior: ScorePrior, resolution: float) -> tuple[float, ...]:
        last = min(0.3 * resolution, self.rho_first) if self.rho_last is None else self.rho_last
        last = max(last, prior.sigma_min)
        first = max(last, min(self.rho_first, prior.sigma_max))
        ratio = (last / first) ** (1 / (self.steps - 1))
        return (*(max(last, first * ratio**i) for i in range(self.steps)), *[last] * self.burn_out)

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        return Calls(num_samples * len(self.levels(problem.prior, math.inf)) * self.denoise_steps)

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        operator = problem.operator

        def variance(values: Tensor) -> Tensor:
            return 1 / (values / noise_variance(problem, values.ndim) + sigma**-2)

        def ridge(values: Tensor) -> Tensor:
            return 1 / (values + noise_variance(problem, values.ndim) * sigma**-2)

        z = x + operator.gram_function(ridge, operator.adjoint(problem.y - operator(x)))
        xi = noise.use("likelihood").normal(problem.event_shape)
        z = z + operator.gram_function(lambda values: variance(values).sqrt(), xi)
        return problem.prior.sample_denoised(z, sigma, noise.use("prior"), steps=self.denoise_steps)
