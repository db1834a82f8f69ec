"""Where workers work: GPUs in turn where there are any, and room for all of them."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posterior.app.config import load_config
from posterior.app.jobs.ray_engine import _share
from posterior.app.jobs.run import Engine, run_job
from posterior.app.jobs.worker import device_of
from tests.app.jobs.workplace import save_config


def test_workers_take_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_of(3) == torch.device("cpu") or torch.cuda.is_available()
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [device_of(number) for number in range(4)] == [torch.device("cuda", number % 2) for number in range(4)]


@pytest.mark.parametrize("each", [1.0, 0.8])
@pytest.mark.parametrize("amount", [1, 2, 3, 8])
def test_all_actors_find_room(amount: int, each: float) -> None:
    for workers in range(1, 20):
        share = _share(amount, workers, each)
        assert amount * math.floor(each / share + 1e-9) >= workers
        assert round(1e4 * share) == pytest.approx(1e4 * share) and share <= 1
        if workers <= amount:
            assert share == each


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize(("engine", "workers"), [("local", 1), ("local", 2), ("ray", 2)])
@pytest.mark.filterwarnings("ignore")  # of Ray's own
def test_a_job_on_gpus_is_that_on_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: Engine, workers: int
) -> None:
    if engine == "ray":
        pytest.importorskip("ray.data", reason="the extra `ray` is not installed")
    monkeypatch.chdir(tmp_path)
    changes: dict[str, Any] = {
        "prior": "digits", "operator": "half:keep=top", "data": "digits:count=4,labels=true", "classifier": "digits",
        "methods": ["DDRM:steps=3", "TotalVariation:steps=3"], "shard_size": 2,
    }  # fmt: skip
    config = load_config(save_config(**changes), {"out": "gpu"})
    on_gpu = run_job(config, engine=engine, workers=workers, progress=False)
    with monkeypatch.context() as patched:
        patched.setattr(torch.cuda, "device_count", lambda: 0)
        on_cpu = run_job(load_config(Path("job.yaml"), {"out": "cpu"}), progress=False)
    for name in ("truth", "y", "DDRM/samples", "DDRM/quantiles", "DDRM/groups", "TotalVariation/estimate"):
        np.testing.assert_allclose(on_gpu.read(name, range(4)), on_cpu.read(name, range(4)), atol=1e-3)
