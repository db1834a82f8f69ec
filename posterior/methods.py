"""The protocol that samplers and solvers meet, so that studies can call them from below."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples


@runtime_checkable
class Method(Protocol):
    """Anything that answers a problem: with draws (a sampler) or with one image (a solver)."""

    @property
    def name(self) -> str:
        """What tables and figures call it."""
        ...

    def __call__(
        self,
        problem: Posterior,
        *,
        num_samples: int = 64,
        seed: int = 0,
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Samples | PointEstimate:
        """Answer a problem; a solver ignores num_samples."""
        ...
