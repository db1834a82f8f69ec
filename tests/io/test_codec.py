"""Results as arrays and headers, and npz files of them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior import Moments, PointEstimate, Samples
from posterior.errors import FileFormatError, InvalidValueError
from posterior.fairness.measures import fairness
from posterior.fairness.report import FairnessReport, Finding
from posterior.io.archive import Archived
from posterior.io.codec import from_arrays, to_arrays
from posterior.noise import Noise
from posterior.provenance import Provenance
from posterior.verdict import Verdict

VERDICT = (Verdict(), Verdict("doubtful", ("not so: ρ", "no"), "take more"), Verdict("too few to tell", ("few",)))


def normal(*shape: int) -> Tensor:
    return Noise.of(0).normal(shape)[0, 0]


SOURCE = Provenance("HMC", "HMC()", "P", "L", "A", 3, (0, "two", 5), normal(3, 2), 1.5, "0.1")


def samples() -> Samples:
    info = {"beta": normal(4, 3), "log evidence/error": torch.tensor([1.0, torch.nan, torch.inf])}
    return Samples(normal(6, 3, 1, 2, 2), torch.ones(3), torch.zeros(3), info, 2, normal(6, 3, 5), VERDICT, SOURCE)


def estimate() -> PointEstimate:
    return PointEstimate(normal(2, 3), normal(2), torch.tensor([True, False]), torch.ones(2), torch.ones(2))


def moments() -> Moments:
    found = Moments.none_yet(3)
    for _ in range(200):
        found.add(samples())
    return found


def report() -> FairnessReport:
    truth, first, second = (normal(3, 40, 2).softmax(-1)).unbind(0)
    known, unknown = (fairness(truth, first, second, given, resamples=20) for given in (truth, None))
    errors = {"PSNR (dB)": known.representation, "a/b": known.recall}
    findings = (
        Finding("x 4", "DPS", known, errors, truth, first, second, ("no",)),
        Finding("x 4", "TemperedSMC", unknown, {}, truth, first, second),
    )
    return FairnessReport(("a", "b"), findings)


RESULTS = [samples(), estimate(), moments(), report(), FairnessReport((), ())]
each_result = pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, Tensor):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
    elif is_dataclass(a):
        for one in fields(a):
            assert_same(getattr(a, one.name), getattr(b, one.name))
    elif isinstance(a, Mapping):
        assert list(a) == list(b)
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b


@each_result
def test_results_come_back(result: Archived) -> None:
    arrays, header = to_arrays(result)
    assert all(isinstance(value, Tensor) for value in arrays.values())
    assert_same(from_arrays(type(result), arrays, json.loads(json.dumps(header))), result)


@each_result
def test_results_survive_a_file(result: Archived, tmp_path: Path) -> None:
    path = result.save(tmp_path / "deep" / "result")
    assert path.name == "result.npz"
    assert_same(type(result).load(path), result)
    assert_same(type(result).load(tmp_path / "deep" / "result"), result)  # by the name that it was saved under
    assert type(result).load(result.save(tmp_path / "a.b")) is not None and (tmp_path / "a.b.npz").exists()


def test_names_are_the_paths_to_tensors() -> None:
    arrays, header = to_arrays(samples())
    assert set(arrays) == {"x", "nfe", "nfe_grad", "latent", "info/beta", "info/log evidence/error", "provenance/y"}
    assert (
        header["kind"] == "Samples"
        and header["chains"] == 2
        and header["verdict"][1]["findings"] == ["not so: ρ", "no"]
    )
    assert {"centre", "sketch/levels/0", "sketch/levels/1", "sketch/levels/2"} <= to_arrays(moments())[0].keys()
    assert {"findings/0/fairness/parity/low", "findings/1/truth"} <= to_arrays(report())[0].keys()


def test_parts_that_are_missing() -> None:
    arrays, header = to_arrays(samples())
    for change in ({"x": None}, {"x": {"array": "nowhere"}}, {"other": 1}, {"info": [1]}, {"x": 3.0}):
        broken = {name: value for name, value in (header | change).items() if value is not None}
        with pytest.raises(FileFormatError, match="does not hold the fields of Samples"):
            from_arrays(Samples, arrays, broken)
    with pytest.raises(FileFormatError, match=r"holds Samples: use Samples\.load"):
        from_arrays(Moments, arrays, header)


@dataclass
class Nested:
    parts: dict[str, dict[str, Tensor]] = field(default_factory=dict)


def test_names_that_would_clash() -> None:
    with pytest.raises(InvalidValueError, match="'parts/a/b/c'"):
        to_arrays(Nested({"a": {"b/c": normal(1)}, "a/b": {"c": normal(2)}}))
