"""Searches of latents from several starting points, of which the best is kept for each measurement."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from posterior.checks import Count
from posterior.noise import Noise
from posterior.problem import LatentPosterior, Posterior
from samplers.map.descent import Optimiser, blank_memory
from samplers.solver import Found, IterativeSolver
from samplers.state import Info, State, per_draw


@dataclass(kw_only=True)
class Search(State):
    """Where the restarts of every measurement are; x are their best points until now, (restarts, B, ...).

    Attributes:
        h: Current points, as x, NaN where a restart diverged.
        start: First points, as x.
        lowest: Losses at x, (restarts, B).
        memory: What the optimiser remembers, (restarts, B, k, P).
    """

    h: Tensor = per_draw()
    start: Tensor = per_draw()
    lowest: Tensor = per_draw()
    memory: Tensor = per_draw()


SearchT = TypeVar("SearchT", bound=Search)


@dataclass(frozen=True)
class Restarted(IterativeSolver[SearchT]):
    """A solver that begins at `restarts` draws of the latent, and keeps the one with the smallest loss.

    Reports (in `PointEstimate.info`): loss, the trace of the restart that was kept, the last that of the estimate;
    restart (B,), which one that is; diverged (B,), how many restarts ended in NaN or infinity.

    Args:
        restarts: Starting points for each measurement.
    """

    state_type: ClassVar = Search
    remedy: ClassVar = (
        "no restart reached a finite loss; lower the learning rate, and check that generator and operator are finite"
    )
    restarts: Count = 10

    @property
    def num_starts(self) -> int:
        return self.restarts

    def target(self, problem: Posterior, batch_size: int | None) -> LatentPosterior[Any]:
        return LatentPosterior(problem, batch_size)

    def latents(self, problem: LatentPosterior[Any], noise: Noise) -> Tensor:
        """Draws of the latent to begin at, (restarts, B, *latent_shape): those of `problem.noise(seed, restarts)`."""
        return replace(noise, stream="").use("latent").normal(problem.event_shape)


def begin(start: Tensor, optimiser: Optimiser = "adam") -> Search:
    """The state of a search that begins at points (restarts, B, ...)."""
    zero = start.new_zeros(start.shape[1])
    return Search(
        x=start, h=start.clone(), start=start.clone(), lowest=start.new_full(start.shape[:2], torch.inf),
        memory=blank_memory(optimiser, start), done=zero.bool(), progress=zero,
    )  # fmt: skip


def losses_of(trace: Info, *last: Tensor) -> Tensor:
    """Losses (T, restarts, B) that steps reported, (steps, B, restarts), and those that were found after them."""
    return torch.cat([trace["loss"].mT.to(last[0]), torch.stack(last)])


def at_rest(losses: Tensor, tolerance: float) -> Tensor:
    """Whether losses (T, ...) changed by less than `tolerance`, relative to where they ended, over their second half.

    Later on a falling step size would make them stand still in any case.
    """
    return (losses[(len(losses) - 1) // 2] - losses[-1]).abs() <= tolerance * losses[-1].abs()


def best(x: Tensor, latent: Tensor, losses: Tensor, converged: Tensor) -> Found:
    """The restart of each measurement that ended lowest.

    Args:
        x: Images (restarts, B, *event_shape).
        latent: Latents (restarts, B, *latent_shape).
        losses: Their traces, (T, restarts, B).
        converged: Whether each has converged, (restarts, B).
    """
    bad = ~losses[-1].isfinite()
    kept = losses[-1].masked_fill(bad, torch.inf).argmin(0)
    each = torch.arange(len(kept), device=kept.device)
    info = {"loss": losses[:, kept, each], "restart": kept, "diverged": bad.sum(0)}
    return Found(x[kept, each], losses[-1, kept, each], converged[kept, each], info, latent[kept, each])
