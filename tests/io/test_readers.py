"""Files of every format, whole and damaged: a reader gives what was written, or `FileFormatError`."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from posterior import Samples
from posterior.app.arrays import load_array
from posterior.data import (
    Geometry,
    RawFile,
    Volume,
    load_images,
    read_bart,
    read_dicom,
    read_fastmri,
    read_ismrmrd,
    read_kspace,
    read_nifti,
    write_dicom,
    write_nifti,
)  # fmt: skip
from posterior.errors import FileFormatError, PosteriorError
from posterior.io.readers import read_array, read_arrays, read_json, read_safetensors, read_torch
from tests.data.pngs import RGB, save_png
from tests.data.scans import bart_values, fastmri_arrays, lines, noise_scan, write_bart, write_hdf5, write_ismrmrd

RNG = np.random.default_rng(0)
ARRAY = RNG.uniform(-1, 1, (5, 8, 9)).astype(np.float32)
TENSORS = {"weight": torch.from_numpy(ARRAY), "bias": torch.arange(4)}
CHECKPOINT = {"model": TENSORS, "epoch": 3, "name": "x"}
SHORT = {"a": [1, 2, {"b": "c"}], "d": 1e-3}
PIXELS = RNG.integers(0, 256, (12, 13, 3))


def samples() -> Samples:
    return Samples(TENSORS["weight"][:, None], torch.ones(1), torch.zeros(1))


PLACE = Geometry((3, 2, 1), (0, 1, 2), ((0, 0, 1), (0, 1, 0), (1, 0, 0)))
VOLUME = TENSORS["weight"]


def _slices(read: Callable[[Path], RawFile]) -> Callable[[Path], Any]:
    return lambda path: {index: raw.kspace for index, raw in enumerate(read(path))}


def _volume(read: Callable[[Path], Volume]) -> Callable[[Path], Any]:
    return lambda path: read(path).values


def _write_dicom(path: Path) -> None:
    write_dicom(path.parent / "series", VOLUME[:1], PLACE)
    (path.parent / "series" / "mean" / "0001.dcm").replace(path)


# how to write a file, how to read it, and whether check sums in it tell that a value was changed
FORMATS: dict[str, tuple[Callable[[Path], Any], Callable[[Path], Any], bool]] = {
    "array.npy": (lambda path: np.save(path, ARRAY), read_array, False),
    "numbers.npy": (lambda path: np.save(path, ARRAY), load_array, False),
    "images.npy": (lambda path: np.save(path, ARRAY), load_images, False),
    "stored.npz": (lambda path: np.savez(path, x=ARRAY, label=np.arange(3)), read_arrays, True),
    "deflated.npz": (lambda path: np.savez_compressed(path, x=ARRAY, label=np.arange(3)), read_arrays, True),
    "samples.npz": (lambda path: samples().save(path), lambda path: Samples.load(path).x, True),
    "zipped.pth": (lambda path: torch.save(CHECKPOINT, path), read_torch, False),
    "legacy.pth": (
        lambda path: torch.save(CHECKPOINT, path, _use_new_zipfile_serialization=False),
        read_torch,
        False,
    ),
    "weights.safetensors": (lambda path: save_file(TENSORS, path), read_safetensors, False),
    "config.json": (lambda path: path.write_text(json.dumps(SHORT)), read_json, False),
    "picture.png": (lambda path: Image.fromarray(PIXELS.astype(np.uint8)).save(path), load_images, True),
    "sixteen.png": (lambda path: save_png(path, 257 * PIXELS, RGB, 16), load_images, True),
    "fastmri.h5": (lambda path: write_hdf5(path, fastmri_arrays()), _slices(read_fastmri), False),
    "scan.mrd": (lambda path: write_ismrmrd(path, [noise_scan(9), *lines()]), _slices(read_ismrmrd), False),
    "either.h5": (write_ismrmrd, _slices(read_kspace), False),
    "kspace.cfl": (lambda path: write_bart(path, *bart_values()), _slices(read_bart), False),
    "kspace.hdr": (lambda path: write_bart(path, *bart_values()), _slices(read_bart), False),
    "volume.nii": (lambda path: write_nifti(path, VOLUME, PLACE), _volume(read_nifti), False),
    "volume.nii.gz": (lambda path: write_nifti(path, VOLUME, PLACE), _volume(read_nifti), True),
    "image.dcm": (_write_dicom, _volume(read_dicom), False),
    "picture.jpg": (lambda path: Image.fromarray(PIXELS.astype(np.uint8)).save(path), load_images, False),
}  # fmt: skip
every_format = pytest.mark.parametrize("name", FORMATS)


def plain(value: Any) -> Any:
    """Tensors and arrays as what can be compared."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    return (value.dtype.str, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else value


def outcome(read: Callable[[Path], Any], path: Path, content: bytes) -> Any:
    """What is read of a file of this content, or the error that is meant for it; any other error is raised."""
    path.write_bytes(content)
    try:
        return plain(read(path))
    except PosteriorError as error:
        return error


def damaged(whole: bytes) -> Iterator[bytes]:
    """The file with one byte changed, left out, or doubled, at some fifty places."""
    for place in range(0, len(whole), max(1, len(whole) // 50)):
        for byte in (whole[place] ^ 1, whole[place] ^ 0x80, int(RNG.integers(256))):
            yield whole[:place] + bytes([byte]) + whole[place + 1 :]
        yield whole[:place] + whole[place + 1 :]
        yield whole[:place] + whole[place : place + 1] + whole[place:]


@every_format
def test_a_file_that_was_cut_off_is_named(name: str, tmp_path: Path) -> None:
    write, read, _ = FORMATS[name]
    path = tmp_path / name
    write(path)
    whole, content = plain(read(path)), path.read_bytes()
    for length in range(0, len(content), max(1, len(content) // 100)):
        found = outcome(read, path, content[:length])
        if found != whole:  # Pillow does without the end mark
            assert isinstance(found, FileFormatError) and str(path) in str(found)


@every_format
def test_a_damaged_file_is_read_right_or_named(name: str, tmp_path: Path) -> None:
    write, read, has_check_sums = FORMATS[name]
    path = tmp_path / name
    write(path)
    whole = plain(read(path))
    for content in damaged(path.read_bytes()):
        found = outcome(read, path, content)
        if has_check_sums and found != whole:
            assert isinstance(found, FileFormatError) and str(path) in str(found)


@every_format
def test_what_is_no_file_is_named(name: str, tmp_path: Path) -> None:
    _, read, _ = FORMATS[name]
    (tmp_path / "folder").with_name(name).mkdir()
    os.mkfifo(tmp_path / f"pipe{name}")  # nobody writes to it: to open it would be to wait
    for path in (tmp_path / name, tmp_path / f"missing{name}", tmp_path / f"pipe{name}"):
        with pytest.raises(FileFormatError, match=r"there is no file|does not exist|a folder without pictures|holds no results"):
            read(path)


def test_python_objects_are_not_read(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"x": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="not readable as an npy array: Object arrays cannot be loaded"):
        read_array(tmp_path / "a.npy")
    torch.save({"path": tmp_path}, tmp_path / "a.pt")
    with pytest.raises(FileFormatError, match="could run code; if you trust it, save the weights in a .safetensors"):
        read_torch(tmp_path / "a.pt", instead="the weights")


def test_several_arrays_in_one_npy_file_are_not_one(tmp_path: Path) -> None:
    with (tmp_path / "a.npy").open("wb") as file:
        np.save(file, ARRAY)
        np.save(file, ARRAY)
    with pytest.raises(FileFormatError, match="more in it than one array"):
        read_array(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [">f4", ">i2", ">c16", "f2", "i8", "?"])
def test_numbers_of_any_kind(dtype: str, tmp_path: Path) -> None:
    values = np.array([[0, 1], [1, 0]]).astype(dtype)
    np.save(tmp_path / "a.npy", values)
    loaded = load_array(tmp_path / "a.npy")
    assert torch.equal(loaded, torch.tensor([[0, 1], [1, 0]], dtype=loaded.dtype))
    assert loaded.is_floating_point() == (values.dtype.kind == "f")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_are_finite(value: float, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([0.0, value]))
    with pytest.raises(PosteriorError, match=r"a\.npy: NaN or infinity in 1 of 2 values"):
        load_array(tmp_path / "a.npy")
