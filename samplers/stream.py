"""Draws made block by block, of which moments are kept."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from posterior.checkpoint import Checkpoint
from posterior.moments import Moments
from posterior.problem import Posterior
from samplers.base import Callback, Sampler
from samplers.run import Run, identity

_BLOCK = 256  # draws, unless batch_size says otherwise


def moments(
    sampler: Sampler, problem: Posterior, num_samples: int, seed: int, batch_size: int | None,
    callback: Callback | None, checkpoint: str | Path | None, progress: bool,
) -> Moments:  # fmt: skip
    """The moments of `num_samples` draws; arguments as those of `Sampler.sample`."""
    block = sampler.block(num_samples, batch_size or _BLOCK)
    file = Checkpoint(checkpoint, identity(sampler, problem, num_samples, seed, f"moments by {block}"))
    saved = file.load(problem.device)
    kept = Moments.of(**saved) if saved else Moments.none_yet(len(problem), problem.device)
    with tqdm(total=num_samples, initial=len(kept), disable=not progress, desc=sampler.name, unit="draw") as bar:
        while len(kept) < num_samples:
            size = min(block, num_samples - len(kept))
            samples = Run(sampler, problem, size, seed, batch_size, callback, None, False, first=len(kept)).samples()
            kept.add(samples)
            bar.update(size)
            file.save({"tensors": kept.tensors(), "info": kept.info, "warnings": kept.warnings})
    return kept
