"""Methods as commands run them: without warnings, from checkpoints, and with a word on how to go on after Ctrl-C."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch

from posterior.errors import IncompatibleError, TrustWarning
from posterior.problem import Posterior
from posterior.results import PointEstimate, Samples
from samplers import Sampler, Solver
from samplers.solver import IterativeSolver


def answer(
    problem: Posterior,
    method: Sampler | Solver,
    *,
    num_samples: int = 64,
    seed: int = 0,
    batch_size: int | None = None,
    progress: bool = True,
    checkpoint: Path | None = None,
) -> Samples | PointEstimate:
    """Run a method, without the warnings that its result's `summary` repeats; arguments as for `Sampler.sample`.

    Ctrl-C has a note on how to go on.

    Raises:
        IncompatibleError: There is a checkpoint, and the method cannot go on from one.
    """
    options: dict[str, Any] = {"seed": seed, "batch_size": batch_size, "progress": progress}
    if isinstance(method, Sampler | IterativeSolver):
        options["checkpoint"] = checkpoint
    elif checkpoint is not None:
        raise IncompatibleError(f"{method.name} takes no steps to go on from: leave the checkpoint out")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)
            if isinstance(method, Sampler):
                return method.sample(problem, num_samples, **options)
            return method.solve(problem, **options)
    except KeyboardInterrupt as stop:
        if checkpoint is None:
            stop.add_note("the unfinished run is not kept; with --checkpoint FILE the same command goes on")
        raise


def default_device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
