"""Solvers that call no network of the prior and do not go step by step: the protocol that they share."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.checks import Count, checked
from posterior.diagnostics.verdict import judge_estimate
from posterior.errors import InvalidValueError, warn_caller
from posterior.modes import own_modes
from posterior.operators import MultiCoilMRI
from posterior.operators.coils import CoilOperator
from posterior.priors.base import Prior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from samplers.baselines.scan import scan_of
from samplers.plan import Calls
from samplers.run import provenance_of
from samplers.solver import Found, Solver


@dataclass(frozen=True)
class Reconstruction(Solver):
    """A solver for comparison, which uses the event shape of the prior and nothing else of it.

    Subclasses define `reconstruct`, may define `check`.

    Attributes:
        operators: The kind of operator that it takes, with Gaussian noise.
    """

    priors: ClassVar = (Prior,)
    operators: ClassVar[type[CoilOperator]] = MultiCoilMRI

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        scan_of(self.name, problem, self.operators)

    def calls(self, problem: Posterior) -> Calls:
        return Calls(0)

    def reconstruct(self, problem: Posterior, seed: int, progress: bool) -> Found:
        """The images of measurements that are taken together, and what is reported of them, as in `PointEstimate`."""
        raise NotImplementedError

    @checked
    @own_modes()
    def solve(
        self, problem: Posterior, *, seed: int = 0, batch_size: Count | None = None, progress: bool = True
    ) -> PointEstimate:
        """Reconstruct every measurement; the estimate's `loss` is NaN where none is minimised.

        Args:
            problem: A prior of the right event shape, a likelihood that the method takes, and measurements.
            seed: Any integer, of what is random.
            batch_size: Measurements at a time, all of them unless given.
            progress: Whether to show progress bars.

        Raises:
            IncompatibleError: The likelihood, the operator or the event shape is another, or a package is missing.
            InvalidValueError: An argument is of another type or out of range, or there are no measurements.
            NotFiniteError: An image or a loss became NaN or infinite.
        """
        began = time.monotonic()
        self.check(problem)
        if len(problem) == 0:
            raise InvalidValueError("the problem holds no measurements")
        problem = problem.usable()
        parts = torch.arange(len(problem), device=problem.device).split(batch_size or len(problem))
        bar = tqdm(parts, disable=not progress or len(parts) == 1, desc=self.name)
        x, loss, converged, info, _ = _joined([self.reconstruct(problem.select(part), seed, progress) for part in bar])
        no_calls = torch.zeros(len(problem), dtype=torch.float64, device=problem.device)
        verdict = tuple(judge_estimate(problem, x, converged))
        provenance = provenance_of(self, problem, seed, began)
        estimate = PointEstimate(
            x, loss, converged, no_calls, no_calls.clone(), info, verdict=verdict, provenance=provenance
        )
        for warning in estimate.warnings:
            warn_caller(warning)
        return estimate


def found(x: Tensor) -> Found:
    """Images of which no loss is minimised."""
    none = x.new_full((len(x),), torch.nan)
    return Found(x, none, torch.ones_like(none, dtype=torch.bool), {})


def _joined(parts: Sequence[Found]) -> Found:
    x, loss, converged, infos, _ = zip(*parts, strict=True)
    axes = {name: int(values.ndim == 2) for name, values in infos[0].items()}  # (B,), (steps, B) or (B, H, W)
    info = {name: torch.cat([one[name] for one in infos], axis) for name, axis in axes.items()}
    return Found(torch.cat(x), torch.cat(loss), torch.cat(converged), info)
