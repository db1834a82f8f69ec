"""Predictor–corrector sampling with the likelihood's gradient (Song)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.checks import NonNegative, Positive, Several
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.guided.base import Guided, noise_variance
from samplers.plan import Calls
from samplers.state import State


@dataclass(frozen=True)
class PredictorCorrector(Guided[State]):
    r"""Reverse diffusion steps, each followed by a Langevin step of a chosen signal-to-noise ratio.

    With \(g = s(x, \sigma) + A^T(y - Ax)/v\), \(v = \sigma_y^2 + (\text{rate}\,\|A\|\,\sigma)^2\), for the score,

    $$ x \leftarrow x + (\sigma^2 - \sigma'^2)\,g + \sqrt{\sigma^2 - \sigma'^2}\,\xi, \qquad
       x \leftarrow x + \epsilon\,g + \sqrt{2\epsilon}\,\xi, \quad \epsilon = 2\,(\text{snr}\,\|\xi\|/\|g\|)^2, $$

    the second at σ', with norms of each draw on its own. So that no step overshoots, v is at least (σ² − σ'²)‖A‖² in
    the first, and ε at most 1/(1/σ'² + ‖A‖²/v). Levels are geometric. Two network calls a step.

    Args:
        snr: Of the corrector.
        rate: How much the likelihood is widened at a noise level.
        sigma_last: Last noise level; unless given 0.01, or a twentieth to a tenth of σ_y/‖A‖ where that is less.

    References:
        Song, Sohl-Dickstein, Kingma, Kumar, Ermon & Poole 2021, Score-Based Generative Modeling through Stochastic
        Differential Equations, arXiv:2011.13456.
    """

    steps: Several = 150
    snr: Positive = 0.16
    rate: NonNegative = 1.0
    sigma_last: Positive | None = None

    def levels(self, prior: ScorePrior, resolution: float) -> tuple[float, ...]:
        first = min(math.sqrt(2 * math.prod(prior.event_shape)) * prior.sigma_data, prior.sigma_max)
        last = min(0.01, 0.1 * resolution) if self.sigma_last is None else self.sigma_last
        last = max(min(last, 0.5 * first), prior.sigma_min)
        return tuple(first * (last / first) ** (i / (self.steps - 1)) for i in range(self.steps))

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        return Calls(
            num_samples * (2 * len(self.levels(problem.prior, math.inf)) - 1)
        )  # the last level has no corrector

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        gap = sigma**2 - following**2
        guided, _ = self.guided_score(problem, x, sigma, gap)
        if following == 0:
            return x + gap * guided
        x = x + gap * guided + math.sqrt(gap) * noise.use("predictor").normal(problem.event_shape)
        guided, curvature = self.guided_score(problem, x, following)
        xi = noise.use("corrector").normal(problem.event_shape)
        lengths = [v.flatten(2).norm(dim=2) for v in (xi, guided)]
        size = 2 * (self.snr * lengths[0] / lengths[1].clamp_min(torch.finfo(x.dtype).tiny)) ** 2
        size = expand_right(size, len(problem.event_shape)).minimum(1 / curvature)
        return x + size * guided + (2 * size).sqrt() * xi

    def guided_score(self, problem: Posterior, x: Tensor, sigma: float, step: float = 0.0) -> tuple[Tensor, Tensor]:
        """G for a step of this length, and the largest curvature of what it is the gradient of."""
        dims, operator = len(problem.event_shape), problem.operator
        squares = expand_right(operator.norm().to(x), dims) ** 2
        width = noise_variance(problem, dims) + (self.rate * sigma) ** 2 * squares
        width = width.maximum(step * squares)
        gradient = operator.adjoint(problem.y - operator(x)) / width
        return (problem.prior.denoise(x, sigma) - x) / sigma**2 + gradient, sigma**-2 + squares / width
