"""Run a job to its end, from wherever an earlier run of it stopped."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import closing
from typing import Literal

from tqdm import tqdm

from posterior.app.config import Config
from posterior.app.jobs.job import Job
from posterior.app.jobs.local_engine import run_local
from posterior.app.jobs.ray_engine import run_ray
from posterior.app.jobs.worker import OVERLAP, Done, Worker, device_of, one_thread, why_left
from posterior.io.locking import locked
from posterior.io.store import Store
from posterior.io.writing import check_writable

Engine = Literal["local", "ray"]


@one_thread()  # in which a job is built and tried, too: what parts of it compute then they keep
def run_job(
    config: Config,
    *,
    workers: int = 1,
    engine: Engine = "local",
    rank: int = 0,
    world_size: int = 1,
    allow_code: bool = False,
    retry_failed: bool = False,
    progress: bool = True,
) -> Store:
    """Answer all measurements of a job that are not answered yet, shard by shard.

    What comes out does not depend on the number of processes, nor on how often the job was stopped.

    Args:
        config: What is asked for.
        workers: Processes, of one thread each; actors of Ray.
        engine: "local" for processes of this machine, "ray" for actors of a Ray cluster, whose machines see one folder.
        rank, world_size: Of several runs that share the folder, this does the shards rank, rank + world_size, ….
        allow_code: Whether the operator may be a function of the user's.
        retry_failed: Whether to do shards again in which a method failed for a measurement.
        progress: Whether to show a progress bar.

    Returns:
        The results, in `config.out`; of one rank of several maybe not all of them.

    Raises:
        CheckpointMismatchError: The folder holds results of another job.
        FileWriteError: The folder cannot be written, or another run of the same rank, or at the same shard, uses it.
        PosteriorError: The config cannot be built, or a method does not take the problem.
    """
    alone = engine == "local" and workers == 1
    job = Job(config, allow_code=allow_code, device=device_of(rank) if alone else "cpu")
    job.check()
    check_writable(config.out / f"rank-{rank}")
    with locked(config.out / f"rank-{rank}", OVERLAP):
        store = Store.create(config.out, job.layout(), job.coordinates(), job.manifest())
        shards = [shard for shard in range(rank, store.num_shards, world_size) if _is_left(store, shard, retry_failed)]
        count = min(workers, len(shards))
        if alone:
            _watch(map(Worker(job, store, retry_failed), shards), len(shards), progress)
        elif shards:
            several = run_ray if engine == "ray" else run_local
            with closing(several(config, config.out.resolve(), allow_code, shards, count, retry_failed)) as done:
                _watch(done, len(shards), progress)
    return store


def _is_left(store: Store, shard: int, retry_failed: bool) -> bool:
    """Whether a shard has to be done; why one has to be done again is said."""
    reason = why_left(store, shard, retry_failed)
    if reason is not None and store.is_finished(shard):
        print(f"{reason}; shard {shard} is done again", file=sys.stderr)
    return reason is not None


def _watch(run: Iterable[Done], total: int, progress: bool) -> None:
    failed = 0
    with tqdm(total=total, disable=not progress, unit="shard") as bar:
        try:
            for done in run:
                failed += done.failed
                if failed:
                    bar.set_postfix(failed=failed)
                bar.update()
        except KeyboardInterrupt as stop:
            stop.add_note("finished shards are kept; the same command goes on")
            raise
