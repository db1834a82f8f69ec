"""The estimate of a solver that calls no network of the prior, and does not go step by step."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.diagnostics.verdict import judge_estimate
from posterior.problem import Posterior
from posterior.results import PointEstimate


def estimate_of(
    problem: Posterior,
    x: Tensor,
    loss: Tensor | None = None,
    converged: Tensor | None = None,
    info: dict[str, Tensor] | None = None,
) -> PointEstimate:
    """Images (B, *event_shape) as a `PointEstimate`, with their verdicts; the loss is NaN where there is none."""
    zero = torch.zeros(len(problem), dtype=torch.float64, device=problem.device)
    met = torch.ones_like(zero, dtype=torch.bool) if converged is None else converged
    return PointEstimate(
        x=x,
        loss=torch.full_like(zero, torch.nan).to(problem.dtype) if loss is None else loss,
        converged=met,
        nfe=zero,
        nfe_grad=zero.clone(),
        info=info or {},
        verdict=judge_estimate(problem, x, met),
    )
