"""Checkpoints: whose they are, what becomes of them when something goes wrong."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from posterior.errors import CheckpointMismatchError, FileFormatError, FileWriteError, InvalidValueError
from posterior.io.checkpoint import Identity, open_checkpoint

VALUES = torch.tensor([[1.0, -3.0, 0.0, 2.0], [torch.nan, 1e-9, torch.inf, 2.5]])
IDENTITY: Identity = {"kind": "work", "seed": "0", "values of the operator": VALUES}
CONTENT: dict[str, Any] = {"x": torch.ones(2, dtype=torch.bfloat16), "list": [{"a": 1}, "text", None, 0.5]}


def keep(path: Path, identity: Identity = IDENTITY, content: dict[str, Any] = CONTENT) -> None:
    with open_checkpoint(path, lambda: identity) as file:
        file.save(content)


def load(path: Path, identity: Identity = IDENTITY) -> dict[str, Any] | None:
    with open_checkpoint(path, lambda: identity) as file:
        return file.load()


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.pt"
    assert load(path) is None
    keep(path)
    found = load(path)
    assert found is not None and found["list"] == CONTENT["list"]
    assert found["x"].dtype == torch.bfloat16 and torch.equal(found["x"], CONTENT["x"])
    assert [file.name for file in path.parent.iterdir()] == ["run.pt"]


def test_without_a_path_nothing_is_kept_and_nobody_is_asked() -> None:
    def never() -> Identity:
        raise AssertionError

    with open_checkpoint(None, never) as file:
        file.save(CONTENT)
        assert file.load() is None


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"seed": "1"}, "different seed; name another file"),
        ({"kind": "another", "seed": "1"}, "different kind, seed;"),
        ({"more": "1"}, "different more;"),
        ({"values of the operator": VALUES + 1e-3}, "different values of the operator;"),
        ({"values of the operator": "text"}, "different values of the operator;"),
        ({"values of the operator": VALUES[:, :3]}, "different values of the operator;"),
        ({"values of the operator": VALUES.to(torch.complex64)}, "different values of the operator;"),
        ({"values of the operator": VALUES.nan_to_num()}, "different values of the operator;"),
    ],
)
def test_other_work_is_told_which_part_is_another(change: Identity, named: str, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    keep(path)
    with pytest.raises(CheckpointMismatchError, match=rf"run\.pt is the checkpoint of another run: {named}"):
        load(path, {**IDENTITY, **change})
    keep(path, {**IDENTITY, **change})
    with pytest.raises(CheckpointMismatchError, match=named):
        load(path)


@pytest.mark.parametrize(
    ("dtype", "forgiven", "refused"),
    [
        (torch.float32, 2e-4, 4e-4),
        (torch.float64, 2e-4, 4e-4),
        (torch.complex64, 2e-4, 4e-4),
        (torch.bfloat16, 0.06, 0.15),
        (torch.float16, 0.08, 0.11),
    ],
)
def test_values_may_round(dtype: torch.dtype, forgiven: float, refused: float, tmp_path: Path) -> None:
    """Within 1e-4 of the largest, which is 3; in sixteen bits within 3 % of the norm, √10."""
    values = torch.tensor([1.0, -3.0, 0.0]).to(dtype)
    keep(tmp_path / "run.pt", {"values": values})

    def at(place: int, by: float) -> Tensor:
        return values + (torch.arange(3) == place) * torch.tensor(by, dtype=dtype)

    for place in (0, 2):
        assert load(tmp_path / "run.pt", {"values": at(place, forgiven)}) is not None
        with pytest.raises(CheckpointMismatchError, match="different values"):
            load(tmp_path / "run.pt", {"values": at(place, refused)})
    assert load(tmp_path / "run.pt", {"values": at(0, forgiven).to(torch.complex64 if dtype.is_complex else dtype)})


def test_values_in_sixteen_bits_may_be_compared_with_wider_ones(tmp_path: Path) -> None:
    values = torch.tensor([1.0, -3.0, 0.3])
    keep(tmp_path / "run.pt", {"values": values})
    assert load(tmp_path / "run.pt", {"values": values.bfloat16()}) is not None


@pytest.mark.parametrize("content", [b"", b"text", "half", "other"])
def test_files_that_cannot_be_read(content: bytes | str, tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    keep(path)
    if content == "other":
        torch.save({"identity": "a digest", "content": {}}, path)
    else:
        path.write_bytes(path.read_bytes()[:300] if content == "half" else content)
    with pytest.raises(FileFormatError, match=r"cannot read the checkpoint .*run\.pt: .*delete it") as caught:
        load(path)
    assert not isinstance(caught.value, CheckpointMismatchError)


def test_a_path_that_cannot_be_written_is_known_before_anybody_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    def never() -> Identity:
        raise AssertionError

    for path in (tmp_path, tmp_path / "file" / "run.pt"):
        with pytest.raises(FileWriteError, match="cannot be written"), open_checkpoint(path, never):
            pass


def test_two_runs_do_not_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with open_checkpoint(path, lambda: IDENTITY) as file:
        with pytest.raises(FileWriteError, match="in use by another run"):
            load(path)
        file.save(CONTENT)
    assert load(path)


def test_the_file_is_free_after_an_identity_that_fails(tmp_path: Path) -> None:
    def fails() -> Identity:
        raise InvalidValueError("no identity")

    with pytest.raises(InvalidValueError), open_checkpoint(tmp_path / "run.pt", fails):
        pass
    keep(tmp_path / "run.pt")


@pytest.mark.parametrize("hidden", [False, True])
def test_a_full_disk_does_not_end_the_work(hidden: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.pt"
    keep(path)

    def full(*_: Any) -> None:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            if hidden:  # as torch.save does
                raise RuntimeError("unexpected pos 704 vs 598") from None
            raise

    with open_checkpoint(path, lambda: IDENTITY) as file:
        with monkeypatch.context() as patch:
            patch.setattr(torch, "save", full)
            with pytest.warns(
                UserWarning, match=r"run\.pt cannot be written: No space left on device; the work goes on"
            ):
                file.save({"x": 2})
        assert [file.name for file in tmp_path.iterdir() if file.suffix != ".lock"] == ["run.pt"]
        found = file.load()
        assert found is not None and found["list"] == CONTENT["list"]
        file.save({"x": 2})
    assert load(path) == {"x": 2}


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError, InvalidValueError])
@pytest.mark.parametrize("saved", ["never", "now", "before"])
def test_what_ends_the_work_says_where_it_is_kept(kind: type[BaseException], saved: str, tmp_path: Path) -> None:
    if saved == "before":
        keep(tmp_path / "run.pt")

    def work() -> None:
        with open_checkpoint(tmp_path / "run.pt", lambda: IDENTITY) as file:
            file.load()
            if saved == "now":
                file.save(CONTENT)
            raise kind("stop")

    with pytest.raises(kind) as caught:
        work()
    notes = [f"what was done is kept in {tmp_path / 'run.pt'}: run the same again to go on"]
    # What this library finds wrong would be found wrong again.
    assert getattr(caught.value, "__notes__", []) == (
        notes if saved != "never" and kind is not InvalidValueError else []
    )


def test_work_within_work(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with open_checkpoint(path, lambda: IDENTITY) as file:
        inner = file.within("inner", {"a": 1}, None)
        assert inner.load() is None
        inner.save({"b": 2})
    found = load(path)
    assert found == {"a": 1, "inner": {"b": 2}}
    with open_checkpoint(path, lambda: IDENTITY) as file:
        assert file.within("inner", {"a": 1}, found["inner"]).load() == {"b": 2}
