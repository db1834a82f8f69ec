"""A job on a pool of two actors of Ray, one of which is killed at work."""

import os
import signal
from pathlib import Path

import pytest

from posterior.app.config import load_config
from posterior.app.jobs.ray_engine import run_ray
from posterior.app.jobs.run import run_job
from posterior.io.store import Store
from tests.app.jobs.workplace import contents, save_config


def actors_of(process: int) -> list[int]:
    """The processes of actors that descend from one."""
    found = []
    for pid in map(int, Path(f"/proc/{process}/task/{process}/children").read_text().split()):
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::MapWorker"):
            found.append(pid)
        found += actors_of(pid)
    return found


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc").exists(), reason="there is no /proc to find processes in")
@pytest.mark.filterwarnings("ignore")  # of Ray's own
def test_two_actors_and_one_that_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="the extra `ray` is not installed")
    pytest.importorskip("ray.data")
    monkeypatch.chdir(tmp_path)
    config = load_config(save_config(data="simulated:count=24", shard_size=1), {"out": "out"})
    whole = run_job(config, progress=False).folder.rename("whole")
    store = run_job(config, rank=23, world_size=24, progress=False)  # makes the folder, and does the last shard
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False, _system_config={"worker_niceness": 0})
    try:
        done = run_ray(config, store.folder.resolve(), False, range(23), workers=2)
        shards = [next(done).shard]
        actors = actors_of(os.getpid())
        assert len(actors) == 2
        os.kill(actors[0], signal.SIGKILL)
        shards += [one.shard for one in done]
    finally:
        ray.shutdown()
    assert sorted(shards) == list(range(23))
    assert contents(Path("out")) == contents(whole)
    assert all(Store("out").fault(shard) is None for shard in range(24))
