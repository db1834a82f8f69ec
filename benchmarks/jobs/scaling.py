"""Scaling: shards a minute by one process and by two, of this machine and of Ray.

The job is that of `configs/digits_inpainting.yaml` with `KineticLangevin("fast")` alone: 64 samples of each digit, four
measurements a shard, one thread a process. Bare processes do the same shards, half of them each, without anything that
shares the work out; one alone is the reference of the speed-up. `--workers 2` is a pool of processes, `--engine ray` a
pool of two actors of Ray on a cluster of this machine. The clock starts when every process has written one shard, so
that start-up does not count. All take part in one run, in turn, and write their results as a job does. The target is
a speed-up of the actors of at least .9 times that of two bare processes. Cost: 10 minutes on two cores; --quick: a
minute, without Ray.

The arithmetic is that of `benchmarks/jobs/arithmetic.py`.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.common.pages import met_or_missed, page, run
from benchmarks.jobs.arithmetic import arithmetic
from posterior.app.config import Config, load_config
from posterior.app.jobs.job import Job
from posterior.app.jobs.local_engine import run_local
from posterior.app.jobs.ray_engine import run_ray
from posterior.app.jobs.worker import Done, Worker
from posterior.io.store import Store
from posterior.tables import markdown_table

FINDING = (
    "Two actors of Ray are 2.08 times as fast as one process, two workers of a job 1.61 times and two bare processes "
    "1.83 times. No actor can be faster than a bare process that does the same: by as much as that the run errs, on a "
    "machine that others share, and it finds none of the three to lose anything to the others."
)
ROOT = Path(__file__).resolve().parents[2]
JOB = {
    "methods": [{"name": "KineticLangevin", "accuracy": "fast"}],
    "data": {"name": "digits", "count": 40, "split": "training"},
    "shard_size": 4,
    "keep_samples": False,
}
QUICK = JOB | {"data": {"name": "digits", "count": 6}, "shard_size": 1, "num_samples": 2}
TARGET = 0.9


def bare(config: Config, folder: Path, allow_code: bool, shards: Sequence[int], workers: int) -> Iterator[Done]:
    """Shards by so many processes that know nothing of each other."""
    context = multiprocessing.get_context("spawn")
    done: Any = context.Queue()
    parts = [shards[number::workers] for number in range(workers)]
    processes = [context.Process(target=_bare, args=(config, folder, allow_code, part, done)) for part in parts]
    for process in processes:
        process.start()
    for _ in shards:
        yield done.get()
    for process in processes:
        process.join()


def _bare(config: Config, folder: Path, allow_code: bool, shards: Sequence[int], done: Any) -> None:
    worker = Worker.of(config, folder, allow_code)
    for shard in shards:
        done.put(worker(shard))


def pace(finished: Iterable[Done], workers: int, shards: Path) -> float:
    """Shards a minute, from when each process has finished one, by when their records were written.

    Engines report what is finished in bursts, so that the clock of who waits for them would flatter them.
    """
    for _ in finished:
        pass
    ends = sorted(record.stat().st_mtime for record in shards.glob("*.json"))
    return 60 * (len(ends) - workers) / (ends[-1] - ends[workers - 1])


def main(quick: bool) -> str:
    """The tables, as Markdown."""
    with TemporaryDirectory() as folder:
        config = load_config(ROOT / "configs/digits_inpainting.yaml", (QUICK if quick else JOB) | {"out": folder})
        job = Job(config)
        ways: dict[str, tuple[int, Callable[..., Iterable[Done]]]] = {
            "one bare process": (1, partial(bare, config)),
            "two bare processes": (2, partial(bare, config)),
            "--workers 2": (2, partial(run_local, config)),
        }
        if not quick and importlib.util.find_spec("ray"):
            ways["--engine ray --workers 2"] = 2, partial(run_ray, config)
        paces = {}
        for number, (name, (workers, way)) in enumerate(ways.items()):
            out = Path(folder) / str(number)  # of its own: what is finished is not done again
            store = Store.create(out, job.layout(), job.coordinates(), job.manifest())
            paces[name] = pace(way(out, False, range(store.num_shards), workers), workers, out / "shards")
        size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    one, two = paces["one bare process"], paces["two bare processes"]
    rows = [[name, f"{each:.2f}", f"{each / one:.2f}", f"{each / two:.2f}"] for name, each in paces.items()]
    seconds = 60 / (one * job.shard_size)
    ratio = paces.get("--engine ray --workers 2", paces["--workers 2"]) / two
    parts = [
        markdown_table(["processes", "shards a minute", "speed-up", "of two bare processes"], rows, "lrrr"),
        f"A measurement costs {seconds:.1f} seconds of one core for {config.num_samples} samples, and "
        f"{size / len(job.ids) / 1e3:.1f} kB on disk.",
        f"The target, {TARGET} of two bare processes for Ray: {met_or_missed(ratio >= TARGET)}.",
        *arithmetic(ratio),
    ]
    return page("Scaling of jobs", FINDING, parts, __doc__)


if __name__ == "__main__":
    run(main, "../scale.md", __doc__)
