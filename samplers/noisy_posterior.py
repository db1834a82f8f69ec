r"""The posterior of a noisy image: its score, and what its evidence changes by as the noise does.

$$ \pi_\tau(z) \propto p_\rho(z)\,N(y; Az, \tau^2 I - \rho^2 AA^T), \qquad \rho^2 = \tfrac34\tau^2/\|A\|^2, $$

with p_ρ the law of z = x + ρε, is that of a z whose noise is coupled to the measurement's: no smoothing bias. A draw of
p(x0 | x0 + ρε = z) makes a sample of p(x) N(y; Ax, τ²I) of one of π.
"""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.operators import LinearOperator
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right

SHARE = 0.75  # ρ²‖A‖²/τ²: the larger, the larger is ρ in the end, and the narrower what A measures beside it

Problem = Posterior[ScorePrior, GaussianLikelihood[LinearOperator]]


def score(problem: Problem, z: Tensor, rho: Tensor, tau2: Tensor | None = None) -> Tensor:
    """∇log π_τ(z), z (S, B, *event), ρ (B,) and τ² (B,), as `tau_squared` unless it is given: one network call."""
    likelihood = _likelihood_score(problem, problem.y - problem.operator(z), rho, tau2)
    wide = expand_right(rho, len(problem.event_shape)) ** 2
    return torch.addcdiv(likelihood, problem.prior.denoise(z, rho) - z, wide)


def denoised(problem: Problem, z: Tensor, score: Tensor, rho: Tensor, tau2: Tensor | None = None) -> Tensor:
    """D(z, ρ), which a score was made of, without a network call."""
    prior = score - _likelihood_score(problem, problem.y - problem.operator(z), rho, tau2)
    return z + expand_right(rho, len(problem.event_shape)) ** 2 * prior


def evidence_slope(problem: Problem, z: Tensor, score: Tensor, rho: Tensor) -> Tensor:
    r"""ρ² dlog Z_τ/dρ² as one z ~ π_τ estimates it, up to a constant: (S, B), without a network call.

    $$ \rho^2 \frac{d\log Z_\tau}{d\rho^2} = E_{\pi_\tau}\Big[
       \tfrac12\, (y - AD(z, \rho))^T (\tau^2 I - \rho^2 AA^T)^{-1} (y - Az) \Big] - \tfrac{m}{2} $$

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
    wide, tau2 = expand_right(rho, dims) ** 2, tau_squared(problem, rho)
    inner = wide * (problem.operator.adjoint(residual) / expand_right(tau2, dims) - score + likelihood)
    return 0.5 * (squares / tau2 + (likelihood * inner).flatten(2).sum(2, dtype=torch.float64))


def tau_squared(problem: Problem, rho: Tensor) -> Tensor:
    """τ² = ρ²‖A‖²/`SHARE`, (B,), and σ_y² at the least, where ρ is as large as the prior knows and A small."""
    return torch.maximum(rho**2 * _squared_norm(problem, rho) / SHARE, problem.likelihood.noise_std.to(rho) ** 2)


def preconditioned(problem: Problem, v: Tensor, share: Tensor | float = SHARE) -> Tensor:
    r"""Lv with \(L = I - (1 - \sqrt{1 - \kappa})\, A^T A/\|A\|^2\), κ = ρ²‖A‖²/τ²: v (S, B, *event), κ (B,) or of all.

    Along a right singular vector of A curvatures of −log π are at most \((1 - \kappa s^2/\|A\|^2)^{-1}/\rho^2\), s its
    singular value: four times as large in what A measures as elsewhere. Those of L(−∇² log π)L are at most 1/ρ², so
    that one step is as long as is stable everywhere.
    """
    return _damped(problem, v, 1 - (1 - torch.as_tensor(share)).sqrt())


def flow(problem: Problem, score: Tensor) -> Tensor:
    r"""Velocity of z towards smaller ρ, divided by ρ: \((I - (2 - 1/\kappa)\, A^T A/\|A\|^2)\, \nabla\log\pi_\tau\).

    It is the probability flow where nothing is measured, and keeps pace with π_τ where A measures at ‖A‖ what the prior
    leaves open.
    """
    return _damped(problem, score, torch.tensor(2 - 1 / SHARE))


def _damped(problem: Problem, v: Tensor, amount: Tensor) -> Tensor:
    """v − a AᵀAv/‖A‖², a of all or (B,)."""
    scale = (amount / _squared_norm(problem, v)).to(v)
    return v - expand_right(scale, len(problem.event_shape)) * problem.operator.gram(v)


def _likelihood_score(problem: Problem, residual: Tensor, rho: Tensor, tau2: Tensor | None = None) -> Tensor:
    """Aᵀ(τ²I − ρ²AAᵀ)⁻¹(y − Az)."""
    tau2 = tau_squared(problem, rho) if tau2 is None else tau2

    def inverse(values: Tensor) -> Tensor:
        wide, own = (expand_right(v, values.ndim).to(values) for v in (tau2, rho**2))
        return 1 / (wide - own * values)

    back = problem.operator.adjoint(residual)
    del residual  # of large images every copy counts
    return problem.operator.gram_function(inverse, back)


def _squared_norm(problem: Problem, like: Tensor) -> Tensor:
    return (problem.operator.norm().to(like) ** 2).clamp_min(torch.finfo(like.dtype).tiny)  # A may be 0
