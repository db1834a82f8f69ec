"""One shard of a job: measurements that are answered together, and of which one may fail."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.app.jobs.job import LEVELS, Job
from posterior.app.machine import is_of_the_machine
from posterior.diagnostics.quality import quality
from posterior.errors import PosteriorError, TrustWarning
from posterior.results import PointEstimate, Samples

Rows = list[dict[str, Any]]


class Shard:
    """What came of the measurements of a shard.

    Attributes:
        arrays: By the names of `Job.layout`, (n, …) each; NaN where a measurement failed.
        known: Of each method, what is known of each measurement, or its "error", as JSON has it.
    """

    def __init__(self, job: Job, ids: Sequence[int]) -> None:
        self.job, self.ids = job, list(ids)
        self.arrays: dict[str, NDArray[Any]] = {
            name: np.full((len(ids), *axes.shape), np.nan, dtype=axes.dtype) for name, axes in job.layout().items()
        }
        self.known: dict[str, Rows] = {name: [{} for _ in ids] for name in job.methods}

    def measure(self, places: Sequence[int]) -> None:
        """Take in the measurements at some places."""
        ids = [self.ids[place] for place in places]
        y, truth = self.job.measure(ids)
        self._put("y", places, y)
        if truth is not None:
            self._put("truth", places, truth)
        if (grouping := self.job.grouping) is not None:
            self._put("groups", places, grouping.of_truths(ids, truth))
            if "classified" in self.arrays and truth is not None:
                self._put("classified", places, grouping.of_images(truth))

    def answer(self, name: str, places: Sequence[int]) -> None:
        """Take in what a method makes of the measurements at some places."""
        job, config, method = self.job, self.job.config, self.job.methods[name]
        y = torch.from_numpy(self.arrays["y"][list(places)]).to(job.device)
        problem = job.problem([self.ids[place] for place in places], y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrustWarning)  # what they say is in the verdicts
            result = method(
                problem, num_samples=config.num_samples, seed=config.seed, batch_size=config.batch_size, progress=False
            )
        count = len(places)
        if isinstance(result, Samples):
            self._put(f"{name}/mean", places, result.mean()[:count])
            self._put(f"{name}/std", places, _std(result.x)[:count])
            self._put(f"{name}/quantiles", places, result.quantile(torch.tensor(LEVELS)).transpose(0, 1)[:count])
            if config.keep_samples:
                self._put(f"{name}/samples", places, result.x.transpose(0, 1)[:count])
        else:
            self._put(f"{name}/estimate", places, result.x[:count])
        if job.grouping is not None and job.grouping.classifier is not None:
            self._put(f"{name}/groups", places, job.grouping.of_result(result)[:count])
        truth = None
        if "truth" in self.arrays:
            truth = torch.from_numpy(self.arrays["truth"][list(places)])
        for b, place in enumerate(places):
            good = quality(
                result, b, problem.y, truth=truth, likelihood=problem.likelihood, value_range=problem.prior.value_range
            )
            self.known[name][place] = {"quality": _plain(asdict(good)), **_known(result, b)}

    def _put(self, name: str, places: Sequence[int], values: Tensor) -> None:
        self.arrays[name][list(places)] = values.detach().cpu().numpy()


def run_shard(job: Job, ids: Sequence[int]) -> Shard:
    """Answer some measurements by all methods of a job: a function of the job and the ids, and of nothing else.

    Measurements are answered together, and each on its own where that fails, among copies of itself, so that network
    calls have the same shape. Faults of the machine are raised, since they say nothing of a measurement.

    Args:
        job: The job.
        ids: Names of measurements, `job.shard_size` at the most.
    """
    shard = Shard(job, ids)
    broken = _one_by_one(shard.measure, range(len(ids)))
    whole = [place for place in range(len(ids)) if place not in broken]
    for name, rows in shard.known.items():
        for place, error in (broken | _one_by_one(partial(shard.answer, name), whole)).items():
            rows[place] = {"error": error}
    return shard


def _one_by_one(work: Callable[[Sequence[int]], None], places: Sequence[int]) -> dict[int, str]:
    """Do work on all places, or on each alone if that fails: why it fails even so, by place."""
    try:
        if places:
            work(places)
    except Exception as error:
        if is_of_the_machine(error):
            raise
        if len(places) > 1:
            return {place: words for one in places for place, words in _one_by_one(work, [one]).items()}
        words = str(error) if isinstance(error, PosteriorError) else f"{type(error).__name__}: {error}"
        return {places[0]: " ".join(words.split())}
    return {}


def _std(x: Tensor) -> Tensor:
    return x.std(0) if len(x) > 1 else torch.full_like(x[0], math.nan)


def _known(result: Samples | PointEstimate, b: int) -> dict[str, Any]:
    """What a result says of one measurement."""
    info = {name: values[b].item() for name, values in result.info.items() if values.ndim == 1}
    if isinstance(result, PointEstimate):
        info |= {"loss": result.loss[b].item(), "converged": float(result.converged[b])}
    verdict = asdict(result.verdict[b]) if result.verdict else None
    return {
        "verdict": verdict, "nfe": result.nfe[b].item(), "nfe_grad": result.nfe_grad[b].item(), "info": _plain(info),
    }  # fmt: skip


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as JSON has them: None for what is no number."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}
