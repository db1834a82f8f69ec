"""The shards of a job as a data set of Ray Data, on a pool of actors that hold the model."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from posterior.app.config import Config
from posterior.app.jobs.worker import Done, Worker
from posterior.io.extras import require

_CPUS = 0.8  # of each CPU, for actors: Ray Data reads its input with what is left, and waits for ever if nothing is


class _Actor:
    """A `Worker` as Ray Data calls it."""

    def __init__(self, place: str, *arguments: Any) -> None:
        os.chdir(place)  # relative paths of a config are those of the user
        self._worker = Worker.of(*arguments)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        return self._worker(int(row["shard"]))._asdict()


def run_ray(
    config: Config, folder: Path, allow_code: bool, shards: Sequence[int], workers: int, retry_failed: bool = False
) -> Generator[Done, None, None]:
    """Do shards by so many actors, on the cluster that RAY_ADDRESS names, or on one that is begun on this machine.

    Ray Data begins an actor that has died anew, and its shard with it.

    Args:
        config, allow_code, retry_failed: As for `Worker.of`.
        folder: Where the results go, on a file system that all machines share.
        shards: Their numbers.
        workers: How many actors; each has a GPU, or a part of one, where there are any.
    """
    ray: Any = require("ray", "ray")
    require("ray.data", "ray")
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if not ray.is_initialized():
        # on a machine of our own, actors are no less urgent than other processes
        own = {} if "RAY_ADDRESS" in os.environ else {"_system_config": {"worker_niceness": 0}}
        ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False, **own)
    there = ray.cluster_resources()
    share: dict[str, float] = {"num_cpus": _share(there.get("CPU", 1.0), workers, _CPUS)}
    if gpus := there.get("GPU", 0.0):
        share["num_gpus"] = _share(gpus, workers)
    ray.data.DataContext.get_current().enable_progress_bars = False
    numbers = ray.data.from_items([{"shard": shard} for shard in shards], override_num_blocks=len(shards))
    answered = numbers.map(
        _Actor,
        fn_constructor_args=(os.getcwd(), config, folder, allow_code, retry_failed),
        compute=ray.data.ActorPoolStrategy(size=workers),
        **share,
    )
    try:
        for row in answered.iter_rows():
            yield Done(**row)
    except ray.exceptions.RayTaskError as error:
        raise error.cause or error from error


def _share(amount: float, workers: int, each: float = 1.0) -> float:
    """What each of the workers may have of so many CPUs or GPUs, so that there is room for all.

    A worker has its part of one of them, since Ray gives nobody halves of two: with two GPUs three have a half.

    Args:
        amount: How many there are.
        workers: How many share them.
        each: How much of each is given away.
    """
    return math.floor(1e4 * each / math.ceil(workers / amount)) / 1e4  # in the steps that Ray counts by
