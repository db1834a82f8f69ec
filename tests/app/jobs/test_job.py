"""A job's results: those of the methods themselves, and what is left of them when something fails."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import posterior.app.jobs.shard as shard_module
from posterior import Samples
from posterior.app.cli import main
from posterior.app.config import load_config
from posterior.app.jobs.job import LEVELS, Job
from posterior.app.jobs.run import run_job
from posterior.app.jobs.shard import run_shard
from posterior.app.jobs.summary import rows_of
from posterior.app.jobs.worker import one_thread
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError
from posterior.io.store import Store
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Inpainting
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers import DDRM, Plan, TemperedSMC
from tests.app.jobs.workplace import contents, save_config


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ran(name: str = "out", workers: int = 1, **changes: Any) -> Store:
    return run_job(load_config(save_config(**changes), {"out": name}), workers=workers, progress=False)


def test_results_are_those_of_the_methods() -> None:
    store = ran(methods=[{"name": "TemperedSMC", "accuracy": "fast", "population": 8}, "DDRM:steps=3"])
    places = [0, 1, 2]
    y = torch.from_numpy(store.read("y", places))
    prior = Job(load_config(Path("job.yaml"))).prior
    problem = Posterior(prior, GaussianLikelihood(Inpainting.half_image((1, 1, 3), "left"), 0.5), y)
    for name, method in (("TemperedSMC", TemperedSMC(accuracy="fast", population=8)), ("DDRM", DDRM(steps=3))):
        with one_thread():
            expected = method.sample(problem, 4, progress=False)
        np.testing.assert_array_equal(store.read(f"{name}/samples", places), expected.x.transpose(0, 1))
        np.testing.assert_array_equal(store.read(f"{name}/mean", places), expected.mean())
        np.testing.assert_array_equal(store.read(f"{name}/std", places), expected.std())
        quantiles = expected.quantile(torch.tensor(LEVELS)).transpose(0, 1)
        np.testing.assert_array_equal(store.read(f"{name}/quantiles", places), quantiles)
        loaded = Samples.load("out", name, ids=[2, 0])
        assert torch.equal(loaded.x, expected.x[:, [2, 0]])
        assert loaded.verdict == (expected.verdict[2], expected.verdict[0])
        assert torch.equal(loaded.nfe, expected.nfe[[2, 0]])
        assert loaded.chains == expected.chains
        for key, values in loaded.info.items():
            torch.testing.assert_close(values.double(), expected.info[key][[2, 0]].double(), equal_nan=True)
        assert {key for key, values in expected.info.items() if values.ndim == 1} == loaded.info.keys()
        source = loaded.provenance
        assert source is not None and expected.provenance is not None
        assert source.ids == (2, 0) and source.settings == repr(method) and source.prior == "GaussianMixturePrior"
        assert torch.equal(source.y, y[[2, 0]])
    # truths and measurements do not depend on what else is in the data set
    other = ran("other", data="simulated:count=1,first=9")
    np.testing.assert_array_equal(other.read("truth", [0]), store.read("truth", [9]))
    np.testing.assert_array_equal(other.read("y", [0]), store.read("y", [9]))


def test_what_is_not_there_is_said() -> None:
    store = ran(keep_samples=False, methods=["DDRM:steps=3"])
    with pytest.raises(InvalidValueError, match="keep_samples: true"):
        Samples.load("out")
    store = ran("kept", methods=["DDRM:steps=3"])
    assert Samples.load("kept").x.shape == (4, 10, 1, 1, 3)
    with pytest.raises(InvalidValueError, match="results of DDRM, and none of DPS"):
        Samples.load("kept", "DPS")
    with pytest.raises(InvalidValueError, match="no measurement 10"):
        Samples.load("kept", ids=[10])
    (store.folder / "shards/000001.json").unlink()
    assert len(Samples.load("kept", ids=[0, 9]).verdict) == 2
    with pytest.raises(FileFormatError, match="measurement 4 is not answered yet"):
        Samples.load("kept", ids=[4])
    with pytest.raises(FileFormatError, match="holds no results"):
        Samples.load(".")
    store = ran("single", methods=["DDRM:steps=3"], shard_size=1, data="simulated:count=2")
    (store.folder / "arrays.zarr/DDRM/samples/c/1/0/0/0/0").write_bytes(b"")  # taken for one that is not there
    with pytest.raises(FileFormatError, match=r"c/1/0/0/0/0 is not what was written; run the job again"):
        Samples.load("single", ids=[1])


def test_point_estimates_and_shards_of_one() -> None:
    store = ran(methods=["TotalVariation:steps=3"], shard_size=1, data="simulated:count=2")
    assert np.isfinite(store.read("TotalVariation/estimate", [0, 1])).all()
    known = store.known(1)
    assert known is not None and "loss" in known["methods"]["TotalVariation"][0]["info"]


def test_a_measurement_that_fails_is_recorded_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    y = np.zeros((7, 1, 1, 3))
    np.save("y.npy", y)
    whole = ran("whole", data="measurements:path=y.npy")
    y[4, 0, 0, 2] = 1.0  # where nothing is measured
    np.save("y.npy", y)
    store = ran(data="measurements:path=y.npy")
    known = store.known(1)
    assert known is not None
    rows = known["methods"]["PiGDM"]
    assert ["error" in row for row in rows] == [False, True, False]
    assert "where Inpainting measures nothing" in rows[1]["error"]
    for name in ("PiGDM/mean", "DDRM/samples"):
        values = store.read(name, range(7))
        assert np.isnan(values[4]).all()
        others = [0, 1, 2, 3, 5, 6]
        np.testing.assert_allclose(values[others], whole.read(name, others), atol=1e-5)
    with pytest.raises(InvalidValueError, match="PiGDM failed for measurement 4: y holds values"):
        Samples.load("out", "PiGDM", ids=[3, 4])
    with pytest.raises(SystemExit, match="1"):
        main(["run", "job.yaml", "--out=out", "--progress=false"])
    printed = capsys.readouterr()
    assert "|              7 |        1 |" in printed.out
    assert "2 of the answers failed, the first that of DDRM for measurement 4: y holds" in printed.err
    lines = Path("out/summary.csv").read_text().splitlines()
    assert lines[0].endswith("verdict,error") and "measures nothing" in next(x for x in lines if x.startswith("4,"))


@pytest.mark.parametrize("shard_size", [1, 3])
def test_measurements_that_are_broken_do_not_stop_the_others(shard_size: int) -> None:
    y = np.zeros((12, 1, 1, 3))
    y[[0, 1, 2, 3, 10], 0, 0, 0] = [np.nan, np.nan, np.inf, 1e39, -np.inf]  # 1e39 is infinite in single precision
    np.save("y.npy", y)
    store = ran(data="measurements:path=y.npy", shard_size=shard_size)
    failed = {row.measurement: row.error for row in rows_of(store) if row.error and row.method == "DDRM"}
    assert failed == {
        place: f"y: NaN or infinity in measurement(s) [{place}]; remove or repair them" for place in (0, 1, 2, 3, 10)
    }
    np.save("y.npy", np.full((101, 1, 1, 3), np.nan))
    with pytest.raises(NotFiniteError, match=r"measurement\(s\) \[0\]"):
        ran("none", data="measurements:path=y.npy")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        getattr(torch, "AcceleratorError", RuntimeError)("CUDA error: an illegal memory access was encountered"),
        RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling cublasSgemm"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
        OSError(5, "Input/output error"),
    ],
    ids=repr,
)
def test_faults_of_the_machine_are_no_faults_of_a_measurement(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(shard_module, "quality", broken)
    with pytest.raises(type(error)):
        ran(data="simulated:count=2")
    assert not Store("out").is_finished(0)


def test_shards_with_failures_are_done_again_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, sound = ran("whole"), shard_module.quality

    def unlucky(result: Any, b: int, y: torch.Tensor, **others: Any) -> Any:
        if y[b, 0, 0, 0] == torch.from_numpy(whole.read("y", [4]))[0, 0, 0, 0]:
            raise RuntimeError("a matrix is singular")
        return sound(result, b, y, **others)

    with monkeypatch.context() as patched:
        patched.setattr(shard_module, "quality", unlucky)
        ran()
    words = ["run", "job.yaml", "--out=out", "--progress=false"]
    stamps = {path: path.stat().st_mtime_ns for path in Path("out/shards").iterdir()}
    with pytest.raises(SystemExit, match="1"):
        main(words)
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    main([*words, "--retry_failed"])
    changed = [path.name for path in stamps if stamps[path] != path.stat().st_mtime_ns]
    assert changed == ["000001.json"]
    del (found := contents(Path("out")))["summary.csv"]
    assert found == contents(Path("whole"))


def test_a_shard_is_a_function_of_its_ids() -> None:
    job = Job(
        load_config(save_config(prior="digits", operator="half:keep=top", data="digits", methods=["DDRM:steps=2"]))
    )
    with one_thread():
        first, again = (run_shard(job, [4, 5, 6]) for _ in range(2))
        alone = run_shard(job, [5])  # among copies of itself
    for name, values in first.arrays.items():
        np.testing.assert_array_equal(values, again.arrays[name])
        np.testing.assert_allclose(values[1], alone.arrays[name][0], atol=1e-5)


def test_calls_have_one_shape_whatever_the_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    job, seen = Job(load_config(save_config(methods=["DDRM:steps=3"]))), list[int]()
    denoise = GaussianMixturePrior._denoise
    job.specimen  # noqa: B018 - which tries the prior

    def watched(self: GaussianMixturePrior, x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append(len(x))
        return denoise(self, x, sigma)

    monkeypatch.setattr(GaussianMixturePrior, "_denoise", watched)
    run_shard(job, [0, 1, 2])
    whole, seen[:] = list(seen), []
    run_shard(job, [9])  # the last shard
    assert seen == whole and len(whole) >= 3


def test_a_dry_run_plans_the_whole_job(capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", str(save_config(methods=["DDRM:steps=3"])), "--dry_run", "--workers=2"])
    printed = capsys.readouterr().out
    assert "4 samples of 10 measurements" in printed
    assert "3 network calls each, 120 in all" in printed
    # y, truth, mean, std: 4 images of 3 float32; 5 quantiles and 4 samples: 13 images, 10 times
    assert "10 measurements, 4 shards of 3" in printed and "by 2 processes; 1.6 kB on disk" in printed
    assert not Path("results").exists()


@pytest.mark.parametrize(("workers", "said"), [(1, "8 hours by 1 p"), (3, "4 hours by 3 p"), (9, "2 hours by 4 p")])
def test_a_dry_run_foretells_shards_of_one_thread(
    workers: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    threads, plans = list[int](), Job.plans

    def planned(job: Job) -> dict[str, Plan]:
        threads.append(torch.get_num_threads())
        return {name: replace(plan, seconds=8 * 3600.0) for name, plan in plans(job).items()}

    monkeypatch.setattr(Job, "plans", planned)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        main(["run", str(save_config(methods=["DDRM:steps=3"])), "--dry_run", f"--workers={workers}"])
    finally:
        torch.set_num_threads(before)
    assert f"4 shards of 3; about {said}" in capsys.readouterr().out
    assert threads == [1]


def test_the_manifest_says_what_made_the_results() -> None:
    manifest = json.loads((ran().folder / "manifest.json").read_text())
    assert manifest["config"]["seed"] == 0 and manifest["config"]["operator"] == "half:keep=left"
    assert manifest["size"] == 10 and manifest["shard_size"] == 3
    assert manifest["versions"]["version of torch"] == torch.__version__
    assert manifest["methods"]["DDRM"]["settings"] == repr(DDRM(steps=3))
    assert all(len(digest) == 128 for digest in manifest["digests"].values())
    assert contents(Path("out"))
