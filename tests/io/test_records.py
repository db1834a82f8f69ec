"""What is known of answers is read as it was written, and a record that says something else is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posterior.errors import FileFormatError
from posterior.io.axes import Axes
from posterior.io.records import Record, read_records
from posterior.io.store import Store
from posterior.verdict import Verdict

GOOD: dict[str, Any] = {
    "quality": {"psnr": 20.0, "coverage": None, "verdict": "doubtful"},
    "verdict": {"level": "doubtful", "findings": ["odd"], "remedy": "draw more"},
    "nfe": 3,
    "nfe_grad": 0.5,
    "info": {"accepted": None, "converged": True},
}
FAILED = {"error": "it diverged"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    manifest = {"size": 3, "shard_size": 2, "methods": {"A": {}}}
    made = Store.create(tmp_path, {"y": Axes((1,), ("y",))}, {"measurement": np.arange(3)}, manifest)
    made.write(0, {"y": np.zeros((2, 1))}, {"methods": {"A": [GOOD, FAILED]}, "seconds": 3.0})
    return made


def test_records_are_what_was_written(store: Store) -> None:
    found = read_records(store, 0)
    assert found == {
        "A": [
            Record(
                quality=GOOD["quality"],
                verdict=Verdict("doubtful", ("odd",), "draw more"),
                nfe=3.0,
                nfe_grad=0.5,
                info=GOOD["info"],
                seconds=1.5,
            ),
            Record("it diverged"),
        ]
    }
    assert read_records(store, 1) is None


@pytest.mark.parametrize(
    "rows",
    [
        [GOOD],
        [GOOD, {}],
        [GOOD, 3],
        [GOOD, {"error": 3}],
        [GOOD, GOOD | {"quality": None}],
        [GOOD, GOOD | {"quality": {"psnr": "20", "verdict": None}}],
        [GOOD, GOOD | {"quality": {"psnr": float("nan"), "verdict": None}}],
        [GOOD, GOOD | {"quality": {"psnr": 20, "verdict": "fine"}}],
        [GOOD, GOOD | {"verdict": {"level": "sound", "findings": [1], "remedy": ""}}],
        [GOOD, GOOD | {"verdict": {"level": ["sound"], "findings": [], "remedy": ""}}],
        [GOOD, GOOD | {"nfe": True}],
        [GOOD, GOOD | {"info": {"accepted": "all"}}],
    ],
)
def test_other_records_are_named(rows: Any, store: Store) -> None:
    known = {"methods": {"A": rows}, "seconds": 3}
    store.record(0).write_text(json.dumps({"known": known, "files": {}}))
    with pytest.raises(FileFormatError, match=r"000000\.json is damaged: .+; run the job again"):
        read_records(store, 0)
