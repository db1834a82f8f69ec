r"""The posterior of a noisy image: its score, and what its evidence changes by as the noise does.

$$ \pi_\tau(z) \propto p_\rho(z)\,N(y; Az, \tau^2 I - \rho^2 AA^T), \qquad \rho^2 = \tfrac12\tau^2/\|A\|^2, $$

with p_ρ the law of z = x + ρε, is that of a z whose noise is coupled to the measurement's: no smoothing bias. A draw of
p(x0 | x0 + ρε = z) makes a sample of p(x) N(y; Ax, τ²I) of one of π.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.operators import LinearOperator
from posterior.priors.base import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right

SHARE = 0.5  # ρ²‖A‖²/τ²: curvatures of −log π are then at most 2/ρ²

Problem = Posterior[ScorePrior, GaussianLikelihood[LinearOperator]]


def score(problem: Problem, z: Tensor, rho: Tensor, tau2: Tensor | None = None) -> Tensor:
    """∇log π_τ(z), z (S, B, *event), ρ (B,) and τ² (B,), which is 2ρ²‖A‖² unless it is given: one network call."""
    prior = (problem.prior.denoise(z, rho) - z) / expand_right(rho, len(problem.event_shape)) ** 2
    return prior + _likelihood_score(problem, problem.y - problem.operator(z), rho, tau2)


def denoised(problem: Problem, z: Tensor, score: Tensor, rho: Tensor, tau2: Tensor | None = None) -> Tensor:
    """D(z, ρ), which a score was made of, without a network call."""
    prior = score - _likelihood_score(problem, problem.y - problem.operator(z), rho, tau2)
    return z + expand_right(rho, len(problem.event_shape)) ** 2 * prior


def evidence_slope(problem: Problem, z: Tensor, score: Tensor, rho: Tensor) -> Tensor:
    r"""ρ² dlog Z_τ/dρ² as one z ~ π_τ estimates it, up to a constant: (S, B), without a network call.

    $$ \rho^2 \frac{d\log Z_\tau}{d\rho^2} = E_{\pi_\tau}\Big[
       \tfrac12\, (y - AD(z, \rho))^T (2\|A\|^2 I - AA^T)^{-1} (y - Az)/\rho^2 \Big] - \tfrac{m}{2} $$

    The density of p_ρ, which is not known, obeys the heat equation, and partial integration over π_τ turns its
    Laplacian into scores. The same holds within a mode that chains do not leave.

    Args:
        problem: Prior, likelihood and measurements.
        z: Noisy images (S, B, *event).
        score: ∇log π_τ(z), as z.
        rho: ρ, (B,).
    """
    dims, residual = len(problem.event_shape), problem.y - problem.operator(z)
    likelihood = _likelihood_score(problem, residual, rho)
    squares = residual.abs().square().flatten(2).sum(2, dtype=torch.float64)
    # rᵀ(τ² − ρ²AAᵀ)⁻¹r is r²/τ² and, where A measures, more; y − AD is r less ρ²A times the prior's score.
    wide, norm2 = expand_right(rho, dims) ** 2, _squared_norm(problem, rho)
    inner = SHARE * problem.operator.adjoint(residual) / expand_right(norm2, dims) - wide * (score - likelihood)
    return 0.5 * (SHARE * squares / (norm2 * rho**2) + (likelihood * inner).flatten(2).sum(2, dtype=torch.float64))


def _likelihood_score(problem: Problem, residual: Tensor, rho: Tensor, tau2: Tensor | None = None) -> Tensor:
    """Aᵀ(τ²I − ρ²AAᵀ)⁻¹(y − Az)."""
    tau2 = rho**2 * _squared_norm(problem, rho) / SHARE if tau2 is None else tau2

    def inverse(values: Tensor) -> Tensor:
        wide, own = (expand_right(v, values.ndim).to(values) for v in (tau2, rho**2))
        return 1 / (wide - own * values)

    return problem.operator.gram_function(inverse, problem.operator.adjoint(residual))


def _squared_norm(problem: Problem, rho: Tensor) -> Tensor:
    return problem.operator.norm().to(rho) ** 2
