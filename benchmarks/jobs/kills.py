"""Interrupted jobs: the results of a job that was killed beside those of one that was not.

The job is `configs/gaussian_mixture.yaml`: 2,000 simulated measurements of a mixture of 25 Gaussians, 64 samples of
`TemperedSMC` each, in 20 shards, by one process of one thread. It is run once to its end. Then it is begun anew, and
its process is killed (SIGKILL) five times, each time after a random number of new shards, 0 to 3, and a random part of
the time that a shard takes, of a seed that was fixed beforehand; in between, and at last, the same command is run
again. Every file of the results is compared byte by byte, but for records of how long shards took. The target is a job
of at most 60 seconds, and identical results. Cost: 5 minutes on one core; --quick: a minute.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.common.pages import met_or_missed, page, run
from posterior.tables import markdown_table

FINDING = "A job of 2,000 measurements that is killed five times gives the results of one that is not, byte by byte."
ROOT = Path(__file__).resolve().parents[2]
SEED, KILLS = 20260, 5
QUICK = ["--set=data.count=6", "--shard_size=1", "--num_samples=4", "--set=methods.0.population=8"]


def begun(out: Path, *words: str) -> subprocess.Popen[bytes]:
    """The job, in a process of its own."""
    command = [sys.executable, "-m", "posterior.app.cli", "run", str(ROOT / "configs/gaussian_mixture.yaml")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, f"--out={out}", "--progress=false", *words], env=environment, stdout=subprocess.DEVNULL
    )


def finished(out: Path) -> int:
    """How many shards have been written to their end."""
    return len([*(out / "shards").glob("*.json")])


def killed(out: Path, new: int, wait: float, *words: str) -> tuple[int, int]:
    """Run the job, and kill it after some new shards and some seconds: how many there were before, and are now."""
    before, process = finished(out), begun(out, *words)
    lock = out / "rank-0.lock"  # says which process is at work
    while finished(out) < before + new or not (lock.exists() and f"process {process.pid} " in lock.read_text()):
        if process.poll() is not None:
            raise RuntimeError("the job ended before it was killed")
        time.sleep(0.002)
    time.sleep(wait)
    process.kill()
    process.wait()
    return before, finished(out)


def files(out: Path) -> dict[str, bytes]:
    """The results, without the records of shards, which say how long these took."""
    found = [path for path in out.rglob("*") if path.is_file() and path.parent.name != "shards"]
    return {str(path.relative_to(out)): path.read_bytes() for path in found}


def main(quick: bool) -> str:
    """The table, as Markdown."""
    words, kills, most = (QUICK, 1, 1) if quick else ([], KILLS, 3)
    moments, rows = random.Random(SEED), []
    with TemporaryDirectory() as folder:
        whole, other = Path(folder, "whole"), Path(folder, "killed")
        process = begun(whole, *words)
        while not finished(whole) and process.poll() is None:
            time.sleep(0.002)
        start = time.perf_counter()
        if process.wait() != 0:
            raise RuntimeError("the job failed")
        each = (time.perf_counter() - start) / max(1, finished(whole) - 1)
        for number in range(kills):
            before, after = killed(other, moments.randint(0, most), each * moments.random(), *words)
            rows.append([str(number + 1), str(before), str(after)])
        if begun(other, *words).wait() != 0:
            raise RuntimeError("the job could not go on")
        expected, found = files(whole), files(other)
        same = sum(content == expected.get(name) for name, content in found.items())
        shards = finished(whole)
    outcome = [
        ["shards", "files", "identical files", "seconds"],
        [[str(shards), str(len(expected)), str(same) if len(found) == len(expected) else "not the same files",
          f"{each * shards:.1f}"]],
    ]  # fmt: skip
    head = ["kill", "shards finished at the start", "shards finished when killed"]
    return page(
        "Interrupted jobs",
        FINDING,
        [
            markdown_table(head, rows, "lrr"),
            f"The whole job, of 60 seconds at the most: {met_or_missed(each * shards <= 60)}.",
            markdown_table(*outcome, "rrrr"),
        ],
        __doc__,
    )


if __name__ == "__main__":
    run(main, "kills.md", __doc__)
