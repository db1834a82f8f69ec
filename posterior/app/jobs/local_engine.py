"""The shards of a job by several processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tqdm import tqdm

from posterior.app.config import Config
from posterior.app.jobs.worker import Done, Worker
from posterior.errors import PosteriorError


class WorkerLostError(PosteriorError, RuntimeError):
    """A process that worked on a job has died."""


def run_local(
    config: Config, folder: Path, allow_code: bool, shards: Sequence[int], workers: int, retry_failed: bool = False
) -> Generator[Done, None, None]:
    """Do shards in so many processes, of one thread each; Ctrl-C ends them all at once.

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
    ended, end = context.Pipe(duplex=False)
    model = (config, folder, allow_code, retry_failed, numbers, ended)
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=model)
    try:
        with _no_interrupts():
            futures = [pool.submit(_do, shard) for shard in shards]
        for done in as_completed(futures):
            yield done.result()
    except (KeyboardInterrupt, GeneratorExit):  # here, or in what is done with a shard
        end.close()
        raise
    except BrokenProcessPool as error:
        raise WorkerLostError(
            "a worker process has died, maybe of too little memory; finished shards are kept: run the same again to go "
            "on, with fewer --workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _no_interrupts() -> Iterator[None]:
    """No Ctrl-C for the block, nor for the processes that begin in it, ever: this one says when they are to end."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows, where a process is interrupted by itself
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_worker: Worker | None = None  # of a process of a pool


def _begin(config: Config, folder: Path, allow_code: bool, retry_failed: bool, numbers: Any, ended: Connection) -> None:
    """Set up a process of the pool, which ends when the one that began it does, or closes its end of a pipe."""
    global _worker
    threading.Thread(target=_end_after, args=(ended,), daemon=True).start()
    tqdm.set_lock(threading.RLock())  # not one of the system, which a process that ends at once leaves behind
    _worker = Worker.of(config, folder, allow_code, retry_failed, numbers.get())


def _end_after(ended: Connection) -> None:
    ended.poll(None)
    os._exit(1)


def _do(shard: int) -> Done:
    assert _worker is not None
    return _worker(shard)
