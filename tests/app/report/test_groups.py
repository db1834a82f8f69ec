"""The groups of a report: figures of `posterior.fairness` from what the store keeps, without what failed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posterior.app.cli import main
from posterior.app.jobs.summary import rows_of
from posterior.app.report.groups import groups
from posterior.app.report.source import Source
from posterior.fairness import Interval, by_group, fairness
from posterior.io.store import Store
from tests.app.commands.workplace import mistake
from tests.app.report.workplace import GROUPS, save_results

SIZE = 30
FAILED = [2]  # by Able, of whose measurements one fails
WHO = np.eye(3, dtype=np.float32)[np.random.default_rng(1).permutation([0] * 8 + [1] * 22)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def memberships(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet([1, 1, 1], SIZE).astype(np.float32)


def told(arrays: dict[str, np.ndarray], **changes: Any) -> tuple[dict[str, Any], Source]:
    save_results(Path("results"), size=SIZE, keep=False, groups={"groups": WHO, **arrays}, **changes)
    source = Source(Path("results"))
    found = groups(source, list(rows_of(source.store)))
    assert found is not None
    return found, source


def column(found: dict[str, Any], method: str, head: str) -> list[Any]:
    (one,) = (one for one in found["methods"] if one["name"] == method)
    return list(one["cells"][found["heads"].index(head)])


def assert_cells(cells: list[Any], expected: Interval, members: tuple[int, ...] = (0, 1)) -> None:
    for k, cell in enumerate(cells):
        if k in members:
            ends = [float(end[k]) for end in (expected.low, expected.value, expected.high)]
            assert cell["ends"] == pytest.approx(ends, abs=1e-6)
        else:
            assert cell is None


def test_figures_by_group_are_those_of_the_rows_that_did_not_fail() -> None:
    found, source = told({})
    assert found["names"] == GROUPS and found["counts"] == ["8 (27%)", "22 (73%)", "0 (0%)"]
    rows = list(rows_of(source.store))
    assert [row.measurement for row in rows if row.error] == [source.store.ids[place] for place in FAILED]
    kept = [place for place in range(SIZE) if place not in FAILED]
    for method, places in (("Able", kept), ("Baker", list(range(SIZE)))):
        values = [row.quality.psnr for row in rows if row.method == method and not row.error]
        expected = by_group(torch.tensor(values), torch.from_numpy(WHO[places]))
        assert_cells(column(found, method, "PSNR (dB)"), expected)
    assert found["heads"] == ["PSNR (dB)", "90 % coverage", "misfit (σ)"]  # nothing classifies
    assert "name one" in found["notes"][0]
    assert found["notes"][-1].startswith("There are fewer than 10 of few, <b>none</b>")


def test_representation_is_that_of_what_is_kept_of_reconstructions() -> None:
    made = {"Able/groups": memberships(1), "Baker/groups": memberships(2), "classified": memberships(3)}
    made["Able/groups"][FAILED] = np.nan
    found, _ = told(made)
    assert [one["name"] for one in found["methods"]] == ["Able", "Baker", "True images"]
    for method, array in zip(("Able", "Baker", "True images"), made.values(), strict=True):
        there = ~np.isnan(array[:, 0])
        truth, seen = torch.from_numpy(WHO[there]), torch.from_numpy(array[there])
        expected = fairness(truth, seen, seen)
        gap, recall = (column(found, method, head) for head in ("PR gap", "recall"))
        assert_cells(gap, expected.representation, members=(0, 1, 2))  # who is made without being there, too
        assert_cells(recall, expected.recall)
    (words,) = {one["words"] for one in found["methods"] if one["name"] == "Baker"}
    truth, seen = torch.from_numpy(WHO), torch.from_numpy(made["Baker/groups"])
    expected = fairness(truth, seen, seen)
    assert words.replace("−", "-").startswith(f"RDP gap {expected.parity}; largest SPE gap {expected.symmetry.worst()}")
    flow = np.einsum("na,nb->ab", WHO, made["Baker/groups"]) / SIZE  # of true images in a, reconstructed as b
    gaps = {(a, b): flow[a, b] - flow[b, a] for a, b in ((0, 1), (0, 2), (1, 2))}
    a, b = max(gaps, key=lambda pair: abs(gaps[pair]))
    assert words.endswith(f"{GROUPS[b]} for {GROUPS[a]}")
    assert "It errs" in found["notes"][0]


def test_one_of_a_group_has_no_interval() -> None:
    one = WHO.copy()
    one[:] = [0, 1, 0]
    one[5] = [1, 0, 0]
    found, _ = told({"groups": one})
    few, many, _ = column(found, "Able", "PSNR (dB)")
    assert few["text"] == "20.0" and many["text"] == "20.0 [20.0, 20.0]"


def test_unanswered_measurements_do_not_count() -> None:
    found, _ = told({"Baker/groups": memberships(2)}, answered=20)
    assert [int(count.split()[0]) for count in found["counts"]] == WHO[:20].sum(0).astype(int).tolist()
    expected = fairness(*(torch.from_numpy(array[:20]) for array in (WHO, memberships(2), memberships(2))))
    assert_cells(column(found, "Baker", "recall"), expected.recall)


def test_too_few_to_compare() -> None:
    save_results(Path("results"), size=1, groups={"groups": WHO[:1], "Able/groups": WHO[:1]})
    source = Source(Path("results"))
    found = groups(source, list(rows_of(source.store)))
    assert found is not None and "recall" not in found["heads"]


def test_results_without_groups() -> None:
    save_results(Path("results"))
    source = Source(Path("results"))
    assert groups(source, list(rows_of(source.store))) is None


def test_damaged_groups_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    save_results(Path("results"), size=SIZE, groups={"groups": WHO, "Able/groups": WHO[:, :2]})
    assert "no Able/groups of 3 groups" in mistake(capsys, main, ["report", "results"])
    next((Store("results").folder / "arrays.zarr/groups/c").rglob("*/0")).write_bytes(b"no array")
    assert "is damaged" in mistake(capsys, main, ["report", "results"])
