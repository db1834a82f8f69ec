"""Results shard by shard: written whole, told when damaged, and of one job."""

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from posterior.errors import CheckpointMismatchError, FileFormatError, FileWriteError
from posterior.io.axes import Axes
from posterior.io.store import Store

ARRAYS = {"y": Axes((2,), ("y_dim_0",)), "A/mean": Axes((3, 2), ("x_dim_0", "x_dim_1"), "float64")}
MANIFEST = {"config": {"seed": 0, "prior": "digits"}, "size": 5, "shard_size": 2, "methods": {"A": {}}}


def made(folder: Path, **changes: object) -> Store:
    coordinates = {"measurement": np.arange(10, 15)}
    return Store.create(folder, ARRAYS, coordinates, MANIFEST | changes)


def values(shard: int, count: int = 2) -> dict[str, np.ndarray]:
    return {"y": np.full((count, 2), shard, "float32"), "A/mean": shard + np.arange(6.0 * count).reshape(count, 3, 2)}


def test_shards_are_rows_of_whole_arrays(tmp_path: Path) -> None:
    store = made(tmp_path)
    assert store.num_shards == 3
    assert [list(store.places(shard)) for shard in range(3)] == [[0, 1], [2, 3], [4]]
    store.write(2, values(2, 1), {"of": "two"})
    store.write(0, values(0), {"of": "zero"})
    assert [store.is_finished(shard) for shard in range(3)] == [True, False, True]
    assert store.known(2) == {"of": "two"} and store.known(1) is None
    again = Store(tmp_path)
    assert again.ids == [10, 11, 12, 13, 14]
    np.testing.assert_array_equal(again.read("A/mean", [4, 1]), [values(2, 1)["A/mean"][0], values(0)["A/mean"][1]])
    assert np.isnan(again.read("y", [2])).all()  # nothing there yet
    group = zarr.open_group(tmp_path / "arrays.zarr", mode="r")  # as any other program reads it
    assert group.metadata.zarr_format == 3
    assert group["A/mean"].metadata.dimension_names == ("measurement", "x_dim_0", "x_dim_1")
    assert group["A/mean"].shards == (2, 3, 2) and group["A/mean"].chunks == (1, 3, 2)


def test_a_job_finds_its_results_and_no_others(tmp_path: Path) -> None:
    made(tmp_path).write(0, values(0), {})
    assert made(tmp_path).is_finished(0)
    for changes, words in (
        ({"config": {"seed": 1, "prior": "digits"}}, "different seed;"),
        ({"size": 6}, "different size;"),
        ({"shard_size": 3}, "different shard_size;"),
    ):
        with pytest.raises(CheckpointMismatchError, match=f"results of another job: {words}"):
            made(tmp_path, **changes)


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "record", "list"])
def test_damage_is_found(damage: str, tmp_path: Path) -> None:
    store = made(tmp_path)
    store.write(1, values(1), {})
    assert store.fault(1) is None
    file, record = tmp_path / "arrays.zarr/A/mean/c/1/0/0", tmp_path / "shards/000001.json"
    content = file.read_bytes()
    if damage == "flip":
        file.write_bytes(content[:20] + bytes([content[20] ^ 1]) + content[21:])
    elif damage == "cut":
        file.write_bytes(content[:-5])
    elif damage == "missing":
        file.unlink()
    elif damage == "record":
        record.write_text('{"files": {"A/me')
    else:
        record.write_text("[1]")
    fault = store.fault(1)
    assert fault is not None and ("mean/c/1/0/0" in fault or "000001.json" in fault)
    if damage in ("record", "list"):
        with pytest.raises(FileFormatError, match=r"000001\.json"):
            store.known(1)
    store.write(1, values(1), {})
    assert store.fault(1) is None
    assert file.read_bytes() == content


def test_a_shard_that_cannot_be_written_whole_is_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = made(tmp_path)
    store.write(0, values(0), {})
    (tmp_path / "arrays.zarr/y/c/0/0").unlink()
    (tmp_path / "arrays.zarr/y/c/0/0").mkdir()
    with pytest.raises(FileWriteError):
        store.write(0, values(0), {})
    assert not store.is_finished(0)


def test_a_damaged_array_is_a_named_error(tmp_path: Path) -> None:
    store = made(tmp_path)
    store.write(0, values(0), {})
    file = tmp_path / "arrays.zarr/A/mean/c/0/0/0"
    file.write_bytes(b"\xff" * len(file.read_bytes()))
    with pytest.raises(FileFormatError, match=r"A/mean/c/0/0/0 is not what was written; run the job again"):
        store.read("A/mean", [0])
    (tmp_path / "arrays.zarr/A/mean/zarr.json").write_text("{")
    with pytest.raises(FileFormatError, match=r"A/mean/zarr\.json describes no array"):
        Store(tmp_path).read("A/mean", [0])


class Planted:
    """What runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("ran"),)


def test_no_code_in_a_store_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path)
    shutil.rmtree(tmp_path / "arrays.zarr/y")
    (tmp_path / "arrays.zarr/y").mkdir()
    old = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "|O", "filters": [{"id": "pickle", "protocol": 5}]}
    settings = json.dumps(old | {"compressor": None, "fill_value": None, "order": "C"})
    (tmp_path / "arrays.zarr/y/.zarray").write_text(settings)
    (tmp_path / "arrays.zarr/y/0").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(FileFormatError, match="no array of Zarr 3"):
        Store(tmp_path).read("y", [0])
    assert not Path("ran").exists()


def test_other_folders_are_no_results(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="holds no results"):
        Store(tmp_path)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(FileFormatError, match="not a manifest"):
        made(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST | {"shard_size": 0}))
    with pytest.raises(FileFormatError, match="no size and shard_size"):
        Store(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(MANIFEST)[:20])
    with pytest.raises(FileFormatError, match=r"manifest\.json"):
        Store(tmp_path)
