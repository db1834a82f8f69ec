"""Files are whole or not there: full disks, folders in the way, links."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from posterior import Samples
from posterior.data import Geometry, write_cfl, write_dicom, write_fastmri, write_nifti
from posterior.errors import FileWriteError
from posterior.figures import sample_sheet, save_figure, save_gif
from posterior.io.folders import save_folder
from posterior.io.writing import atomic_write, check_writable, write_text


def samples(value: float = 0.0) -> Samples:
    return Samples(torch.full((3, 1, 1, 4, 4), value), torch.zeros(1), torch.zeros(1))


def sheet(value: float) -> object:
    return sample_sheet(samples(value).x[:, 0], (-1.0, 1.0))


def linear(value: float) -> nn.Module:
    network = nn.Linear(2, 2)
    nn.init.constant_(network.weight, value)
    return network


PLACE = Geometry((3, 2, 1))


def magnitudes(value: float) -> torch.Tensor:
    return torch.full((1, 3, 4), value)


# Writes a file whose content depends on a number.
WRITERS: dict[str, tuple[str, Callable[[Path, float], object]]] = {
    "text": ("a.md", lambda path, value: write_text(path, str(value))),
    "samples": ("a.npz", lambda path, value: samples(value).save(path)),
    "figure": ("a.png", lambda path, value: save_figure(sheet(value), path)),
    "vectors": ("a.svg", lambda path, value: save_figure(sheet(value), path)),
    "gif": ("a.gif", lambda path, value: save_gif(samples(value).x[:, 0], path)),
    "weights": ("weights.safetensors", lambda path, value: save_folder(path.parent, {}, linear(value))),
    "fastMRI": ("a.h5", lambda path, value: write_fastmri(path, magnitudes(value))),
    "BART": ("a.cfl", lambda path, value: write_cfl(path, magnitudes(value))),
    "NIfTI": ("a.nii.gz", lambda path, value: write_nifti(path, magnitudes(value), Geometry((3, 2, 1)))),
    "DICOM": (
        "mean/0001.dcm",
        lambda path, value: write_dicom(path.parents[1], magnitudes(value), Geometry((3, 2, 1))),
    ),
    "config": ("config.json", lambda path, value: save_folder(path.parent, {"value": value}, linear(0))),
}
each_writer = pytest.mark.parametrize(("name", "write"), WRITERS.values(), ids=list(WRITERS))


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@each_writer
def test_a_full_disk_leaves_what_was_there(
    name: str, write: Callable[[Path, float], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / name
    write(path, 0.0)
    before, files = path.read_bytes(), set(path.parent.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        with pytest.raises(FileWriteError, match="cannot be written: No space left on device"):
            write(path, 1.0)
    assert path.read_bytes() == before and set(path.parent.iterdir()) == files
    write(path, 1.0)
    assert path.read_bytes() != before and set(path.parent.iterdir()) == files


def test_a_folder_s_weights_and_config_change_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_folder(tmp_path, {"value": 0}, linear(0.0))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr("posterior.io.folders.json.dumps", lambda *_, **__: full_disk())
    with pytest.raises(FileWriteError, match=r"config\.json cannot be written"):
        save_folder(tmp_path, {"value": 1}, linear(1.0))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_block_that_fails_for_another_reason_leaves_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")

    def fail(kind: type[BaseException]) -> None:
        with atomic_write(tmp_path / "a") as stream:
            stream.write(b"new")
            raise kind

    for kind in (KeyError, RuntimeError, KeyboardInterrupt):
        with pytest.raises(kind):
            fail(kind)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_processes_of_one_number_do_not_share_what_they_write(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as one, atomic_write(tmp_path / "a") as other:  # as those of containers
        one.write(b"one, at length")
        other.write(b"other")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["one, at length"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "elsewhere" / "file")
    write_text(link, "text")
    assert link.is_symlink() and (tmp_path / "elsewhere" / "file").read_text() == "text"


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    for path in (tmp_path, Path(os.devnull)):
        for write in (check_writable, lambda path: write_text(path, "text")):
            with pytest.raises(FileWriteError, match="a folder or a device"):
                write(path)
    assert Path(os.devnull).is_char_device()
    with pytest.raises(FileWriteError, match="null byte"):
        check_writable("a\0b")


def test_paths_that_cannot_be_written_are_found_by_trying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_writable(tmp_path / "new" / "a")
    assert list((tmp_path / "new").iterdir()) == []
    write_text(tmp_path / "file", "old")
    check_writable(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "old"
    with pytest.raises(FileWriteError, match=r"file/a cannot be written: .*file: (File exists|Not a directory)"):
        check_writable(tmp_path / "file" / "a")
    with pytest.raises(FileWriteError, match="File name too long"):
        check_writable(tmp_path / ("a" * 250))
