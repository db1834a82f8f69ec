"""What a process does of a job: its model, and shards that it answers and writes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from posterior.app.config import Config
from posterior.app.jobs.job import Job
from posterior.app.jobs.shard import run_shard
from posterior.app.jobs.summary import rows_of
from posterior.io.locking import locked
from posterior.io.store import Store

OVERLAP = "give runs that share a folder each a --rank of their own, and all the same --world_size"


class Done(NamedTuple):
    """A shard that is written: its number, how many of its answers failed, and the time it took."""

    shard: int
    failed: int
    seconds: float


class Worker:
    """Answers the shards of a job, one at a time.

    Args:
        job: What is asked for.
        store: Where the results go.
        retry_failed: Whether to do shards again in which a method failed for a measurement.
    """

    def __init__(self, job: Job, store: Store, retry_failed: bool = False) -> None:
        self.job, self.store, self.retry_failed = job, store, retry_failed

    @classmethod
    def of(cls, config: Config, folder: Path, allow_code: bool, retry_failed: bool = False, number: int = 0) -> Worker:
        """A worker in a process of its own.

        Args:
            config: What is asked for.
            folder: Where the results go.
            allow_code: Whether the operator may be a function of the user's.
            retry_failed: As for the worker.
            number: Which of several workers of a machine it is: they share its GPUs.
        """
        with one_thread():
            return cls(Job(config, allow_code=allow_code, device=device_of(number)), Store(folder), retry_failed)

    def __call__(self, shard: int) -> Done:
        """Answer a shard, and write it, unless another run of the job has done so meanwhile.

        Raises:
            FileWriteError: It cannot be written, or another run is at it.
        """
        record = self.store.record(shard)
        record.parent.mkdir(exist_ok=True)
        with locked(record, OVERLAP):
            if why_left(self.store, shard, self.retry_failed) is None:
                return Done(shard, 0, 0.0)
            return self._do(shard)

    def _do(self, shard: int) -> Done:
        start = time.perf_counter()
        with one_thread():
            places = self.store.places(shard)
            answered = run_shard(self.job, self.job.ids[places.start : places.stop])
        seconds = time.perf_counter() - start
        self.store.write(shard, answered.arrays, {"methods": answered.known, "seconds": round(seconds, 3)})
        failed = sum("error" in row for rows in answered.known.values() for row in rows)
        return Done(shard, failed, seconds)


def why_left(store: Store, shard: int, retry_failed: bool) -> str | None:
    """Why a shard has to be done, None where it has not.

    Args:
        store: The results.
        shard: Its number.
        retry_failed: Whether an answer that failed is a reason.
    """
    if not store.is_finished(shard):
        return "it is not finished"
    if fault := store.fault(shard):
        return fault
    failed = retry_failed and any(row.error for row in rows_of(store, [shard]))
    return f"{store.record(shard)} has answers that failed" if failed else None


def device_of(number: int = 0) -> torch.device:
    """The device of a worker: one GPU after the other, the CPU where there are none."""
    gpus = torch.cuda.device_count()
    return torch.device("cuda", number % gpus) if gpus else torch.device("cpu")


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch for the block: sums, and the factors of matrices, are rounded by their number."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
