"""Searches from several starting points at once, of which the best is kept for each measurement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.errors import InvalidValueError, NotFiniteError
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from samplers.base import Solver


class Ended(NamedTuple):
    """Where searches ended, one a row.

    Attributes:
        x: Images (N, *event_shape).
        latent: z (N, *latent_shape) in which they began, or that they are the images of.
        trace: Losses, the last that of x, (T, N).
        converged: Whether each had come to rest, (N,).
        nfe, nfe_grad: Forward and backward network calls of each.
    """

    x: Tensor
    latent: Tensor
    trace: Tensor
    converged: Tensor
    nfe: int
    nfe_grad: int


@dataclass(frozen=True)
class Restarted(Solver):
    """A solver that begins at `restarts` draws of the latent, and keeps the one with the smallest loss.

    Subclasses define `steps_in_all` and `search`.

    Args:
        restarts: Starting points for each measurement.
    """

    restarts: int = 10

    @property
    def steps_in_all(self) -> int:
        """Gradients of one search."""
        raise NotImplementedError

    def search(self, problem: Posterior, z: Tensor, noise: Noise, update: Callable[[], object]) -> Ended:
        """Search from rows z, one for each measurement of `problem` and of `noise`; call `update` after each step."""
        raise NotImplementedError

    @torch.no_grad()
    def solve(
        self, problem: Posterior, *, seed: int = 0, batch_size: int | None = None, progress: bool = True
    ) -> PointEstimate:
        """Estimate the image of every measurement.

        Args:
            problem: A `GeneratorPrior`, a likelihood and measurements.
            seed: Any integer; the same seed gives the same estimate.
            batch_size: Latents a network call at the most; memory, not results, depends on it.
            progress: Whether to show a progress bar.

        Returns:
            The estimate with `latent` z. Its `info` has `loss` (steps + 1, B), the trace of the restart that was kept,
            `restart` (B,), which one that is, and `diverged` (B,), how many restarts ended in NaN or infinity.

        Raises:
            IncompatibleError: The prior is no generator, or the method does not take the likelihood.
            NotFiniteError: All restarts of a measurement diverged.
        """
        self.check(problem)
        prior, count = problem.prior, len(problem)
        assert isinstance(prior, GeneratorPrior)
        if count == 0 or (batch_size is not None and batch_size < 1):
            raise InvalidValueError(f"needs a measurement and a batch_size of at least 1, got {count} and {batch_size}")
        start = problem.noise(seed, self.restarts).use("latent").normal(prior.latent_shape).flatten(0, 1)
        noise = problem.noise(seed, 1).split(self.restarts)  # each restart its own, those of a measurement together
        rows = torch.arange(len(start), device=problem.device).split(batch_size or len(start))
        with tqdm(total=len(rows) * self.steps_in_all, disable=not progress, desc=self.name) as bar:
            runs = []
            for part in rows:
                measurement, restart = part % count, part // count
                own = noise.select(measurement * self.restarts + restart)
                runs.append(self.search(problem.select(measurement), start[part], own, bar.update))
        x, z, converged = (
            torch.cat([getattr(run, name) for run in runs]).unflatten(0, (self.restarts, count))
            for name in ("x", "latent", "converged")
        )
        trace = torch.cat([run.trace for run in runs], -1).unflatten(-1, (self.restarts, count))

        bad = ~torch.isfinite(trace[-1])
        if bool(bad.all(0).any()):
            names = [problem.ids[b] for b in bad.all(0).nonzero().flatten().tolist()]
            raise NotFiniteError(
                f"all {self.restarts} restarts of {self.name} ended in NaN or infinity for measurement(s) {names}: "
                "lower the learning rate, and check that generator and operator are finite"
            )
        kept = trace[-1].masked_fill(bad, torch.inf).argmin(0)
        each = torch.arange(count, device=problem.device)
        calls = torch.ones(count, dtype=torch.float64, device=problem.device) * self.restarts
        return PointEstimate(
            x=x[kept, each],
            loss=trace[-1, kept, each],
            converged=converged[kept, each],
            nfe=calls * runs[0].nfe,
            nfe_grad=calls * runs[0].nfe_grad,
            info={"loss": trace[:, kept, each], "restart": kept, "diverged": bad.sum(0)},
            latent=z[kept, each],
        )


def at_rest(trace: Tensor, tolerance: float) -> Tensor:
    """Whether losses (T, N) changed by less than `tolerance`, relative to where they ended, over their second half.

    Later on a falling step size would make them stand still in any case.
    """
    return (trace[(len(trace) - 1) // 2] - trace[-1]).abs() <= tolerance * trace[-1].abs()
