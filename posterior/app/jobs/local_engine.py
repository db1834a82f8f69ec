"""The shards of a job by several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from posterior.app.config import Config
from posterior.app.jobs.worker import Done, Worker
from posterior.errors import PosteriorError


class WorkerLostError(PosteriorError, RuntimeError):
    """A process that worked on a job has died."""


def run_local(
    config: Config, folder: Path, allow_code: bool, shards: Sequence[int], workers: int, retry_failed: bool = False
) -> Iterator[Done]:
    """Do shards in so many processes, of one thread each.

    Args:
        config, folder, allow_code, retry_failed: As for `Worker.of`.
        shards: Their numbers.
        workers: How many processes.

    Raises:
        WorkerLostError: One of them was killed.
    """
    context = multiprocessing.get_context("spawn")
    numbers = context.SimpleQueue()
    for number in range(workers):
        numbers.put(number)
    model = (config, folder, allow_code, retry_failed, numbers)
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=model)
    try:
        for done in as_completed([pool.submit(_do, shard) for shard in shards]):
            yield done.result()
    except BrokenProcessPool as error:
        raise WorkerLostError(
            "a worker process has died, maybe of too little memory; finished shards are kept: run the same again to go "
            "on, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_worker: Worker | None = None  # of a process of a pool


def _begin(config: Config, folder: Path, allow_code: bool, retry_failed: bool, numbers: Any) -> None:
    """Set up a process of the pool, which ends when the one that began it does."""
    global _worker
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    _worker = Worker.of(config, folder, allow_code, retry_failed, numbers.get())


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


def _do(shard: int) -> Done:
    assert _worker is not None
    return _worker(shard)
