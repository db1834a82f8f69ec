"""A job that was stopped goes on, and comes to the results of one that was not, bit by bit."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import posterior.app.jobs.run as run_module
import posterior.app.jobs.worker as worker_module
from posterior.app.cli import main
from posterior.app.config import load_config
from posterior.app.jobs.job import Job
from posterior.app.jobs.local_engine import run_local
from posterior.app.jobs.run import run_job
from posterior.app.jobs.shard import Shard
from posterior.app.jobs.worker import Done
from posterior.errors import CheckpointMismatchError, FileWriteError
from posterior.io.locking import locked
from posterior.io.store import Store
from tests.app.jobs.workplace import contents, save_config

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mounted, capture_output=True).returncode != 0:
        pytest.skip("only root mounts a small disk")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def begun(*words: str, **environment: str) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    command = [sys.executable, "-m", "posterior.app.cli", "run", "job.yaml", "--progress=false", *words]
    own = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment
    return subprocess.Popen(command, env=own, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def ran(name: str, **options: Any) -> Store:
    return run_job(load_config(Path("job.yaml"), {"out": name}), progress=False, **options)


def children(process: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def waited(condition: Any, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happens"
        time.sleep(0.01)


@pytest.mark.skipif(not Path("/proc").exists(), reason="there is no /proc to find processes in")
def test_kill_minus_nine_and_any_number_of_workers() -> None:
    save_config(data="simulated:count=24", shard_size=1, out="out")
    run = begun("--workers=2")
    records = Path("out/shards")
    waited(lambda: run.poll() is not None or len([*records.glob("*.json")]) >= 2)
    workers = children(run.pid)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    assert len(workers) >= 2
    waited(lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in workers))  # they end with it
    done = sorted(records.glob("*.json"))
    assert 2 <= len(done) < 24
    done[0].unlink()  # half-written: its arrays are there, its record is not
    (records / "000023.json.1.partial").write_text("{")  # and what a killed process leaves
    stamps = {path: path.stat().st_mtime_ns for path in done[1:]}
    ran("out")
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps  # finished shards are left alone
    ran("whole")
    assert contents(Path("out")) == contents(Path("whole"))
    assert not [*Path("out").rglob("*.partial")]


def test_a_full_disk(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_config(data="simulated:count=6", shard_size=1)
    ran("whole")
    (small_disk / "filler").write_bytes(bytes(2**20 - 140 * 1024))  # room for the empty arrays and a shard or two
    with pytest.raises(SystemExit):
        main(["run", "job.yaml", f"--out={small_disk / 'out'}", "--progress=false"])
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cannot be written: No space left on device" in error
    (small_disk / "filler").unlink()
    main(["run", "job.yaml", f"--out={small_disk / 'out'}", "--progress=false"])
    capsys.readouterr()
    del (found := contents(small_disk / "out"))["summary.csv"]
    assert found == contents(Path("whole"))


def test_a_corrupt_shard_is_said_and_done_again(capsys: pytest.CaptureFixture[str]) -> None:
    save_config()
    store = ran("out")
    before = contents(store.folder)
    file = store.folder / "arrays.zarr/DDRM/samples/c/2/0/0/0/0"
    content = file.read_bytes()
    file.write_bytes(content[:30] + bytes([content[30] ^ 1]) + content[31:])
    (store.folder / "shards/000001.json").write_text("{")
    ran("out")
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2
    assert "shard 1 is done again" in error[0] and "000001.json" in error[0]
    assert str(file) in error[1] and "is not what was written; shard 2 is done again" in error[1]
    assert contents(store.folder) == before


def test_a_job_is_built_by_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    g = np.random.default_rng(0).standard_normal((128, 128))
    np.save("covariance.npy", g @ g.T / 128 + 0.1 * np.eye(128))  # whose eigenvectors are rounded as threads say
    prior = {"name": "gaussian-mixture", "means": [[[[0.5] * 128]]], "covariance": "covariance.npy"}
    save_config(prior=prior, data="simulated:count=2")
    threads = torch.get_num_threads()
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            ran(f"alone-{number}")
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # of processes that begin now
    ran("processes", workers=2)
    assert contents(Path("alone-1")) == contents(Path("alone-2")) == contents(Path("processes"))


def test_a_second_job_on_a_folder_is_told() -> None:
    save_config()
    Path("out").mkdir()
    with locked(Path("out/rank-0")):
        with pytest.raises(FileWriteError, match=r"out/rank-0 is in use by another run \(process \d+.* --rank of"):
            ran("out")
        ran("out", rank=1, world_size=2)  # another rank of the same job is none
    ran("out")
    save_config(seed=1)
    with pytest.raises(CheckpointMismatchError, match="results of another job: different seed"):
        ran("out")


def test_ranks_that_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    save_config()
    store, stamps = ran("out", rank=0, world_size=4), dict[Path, int]()
    with locked(store.record(1)), pytest.raises(FileWriteError, match=r"000001.json is in use .* --rank of their own"):
        ran("out")
    answer = worker_module.run_shard

    def met(job: Job, ids: list[int]) -> Shard:
        # while this run is at shard 1, other ranks do shards 2 and 3
        monkeypatch.setattr(worker_module, "run_shard", answer)
        for rank in (2, 3):
            ran("out", rank=rank, world_size=4)
        stamps.update({path: path.stat().st_mtime_ns for path in (store.record(2), store.record(3))})
        return answer(job, ids)

    monkeypatch.setattr(worker_module, "run_shard", met)
    ran("out")
    assert stamps and stamps == {path: path.stat().st_mtime_ns for path in stamps}
    assert [store.is_finished(shard) for shard in range(4)] == [True] * 4


def test_two_ranks_share_a_folder() -> None:
    save_config(out="out")
    other = begun(RANK="1", WORLD_SIZE="2")
    store = ran("out", rank=0, world_size=2)
    printed, error = other.communicate(timeout=300)
    assert other.returncode == 0, error
    assert [store.is_finished(shard) for shard in range(4)] == [True] * 4
    assert "shards are left to other runs" in printed or "saved to out" in printed
    ran("whole")
    (Path("out") / "summary.csv").unlink(missing_ok=True)
    assert contents(Path("out")) == contents(Path("whole"))


@pytest.mark.parametrize("stop", [KeyboardInterrupt, GeneratorExit])
def test_ctrl_c_stops_all_workers_at_once(stop: type[BaseException], capfd: pytest.CaptureFixture[str]) -> None:
    config = load_config(save_config(methods=["DDRM:steps=1000"], data="simulated:count=6", shard_size=1))
    store = run_job(replace(config, out=Path("out")), rank=5, world_size=6, progress=False)
    done = run_local(config, store.folder, False, range(5), workers=2)
    next(done)
    for process in multiprocessing.active_children():
        os.kill(process.pid or 0, signal.SIGINT)  # as a terminal does, to all that belong together
    with pytest.raises(stop):
        done.throw(stop)
    assert sum(store.is_finished(shard) for shard in range(5)) <= 2  # two may end at the same time
    assert capfd.readouterr().err == ""


def test_ctrl_c_between_shards_stops_the_workers_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = []

    def shards(*_: Any) -> Iterator[Done]:
        try:
            yield Done(0, 0, 0.0)
        except GeneratorExit:
            stopped.append(True)
            raise

    def pressed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "run_local", shards)
    monkeypatch.setattr(run_module.tqdm, "update", pressed)
    save_config()
    with pytest.raises(KeyboardInterrupt) as caught:  # whose traceback holds on to the generator
        ran("out", workers=2)
    assert stopped and caught.value.__notes__ == ["finished shards are kept; the same command goes on"]
