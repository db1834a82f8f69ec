from pathlib import Path

import numpy as np
import pytest

from posterior.data import read_kspace
from posterior.errors import FileFormatError, ShapeError
from tests.data.scans import SLICES, bart_values, edit, fastmri_arrays, write_bart, write_hdf5, write_ismrmrd


def test_formats_are_told_apart(tmp_path: Path) -> None:
    """The first two by what they hold: both are called .h5."""
    paths = [
        write_hdf5(tmp_path / "a.h5", fastmri_arrays()),
        write_ismrmrd(tmp_path / "b.h5"),
        edit(write_ismrmrd(tmp_path / "c.mrd"), lambda file: file.move("dataset", "scan")),
        write_bart(tmp_path / "d", *bart_values()),
        tmp_path / "d.hdr",
    ]
    for path in paths:
        file = read_kspace(path)
        assert len(file) == SLICES and file.path == path
        np.testing.assert_allclose(file[1].kspace, read_kspace(paths[0])[1].kspace, atol=1e-6)


def test_other_files(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("text")
    (tmp_path / "b.h5").mkdir()
    write_hdf5(tmp_path / "c.h5", {"images": np.ones(3)})
    write_hdf5(tmp_path / "d.h5", {})
    write_hdf5(tmp_path / "e.npy", fastmri_arrays())
    (tmp_path / "f.h5").touch()
    for name, message in {
        "a.h5": "a.h5 is corrupt or cut off, and not readable as raw data: .*signature",
        "b.h5": "there is no file .*b.h5",
        "c.h5": "has neither `kspace`, .* nor `dataset/xml`, .*; it has images",
        "d.h5": "it has nothing",
        "e.npy": r"e.npy is not a kind of raw data that is read here: .h5, .hdf5, .mrd \(fastMRI, ISMRMRD\) or .cfl",
        "f.h5": "f.h5 is corrupt or cut off",
        "g.cfl": "there is no file .*g.hdr",
    }.items():
        with pytest.raises(FileFormatError, match=message) as raised:
            read_kspace(tmp_path / name)
        assert "\n" not in str(raised.value)


def test_maps_of_another_file(tmp_path: Path) -> None:
    path = write_hdf5(tmp_path / "a.h5", fastmri_arrays())
    values, dims = bart_values()
    file = read_kspace(path, write_bart(tmp_path / "maps", 2 * values, dims))
    for index in range(SLICES):
        np.testing.assert_allclose(file[index].maps, 2 * read_kspace(path)[index].kspace, atol=1e-5)
        np.testing.assert_array_equal(file[index].kspace, read_kspace(path)[index].kspace)
    fewer = write_bart(tmp_path / "fewer", values[..., :2], [*dims[:13], 2, 1, 1])
    with pytest.raises(FileFormatError, match=r"fewer.cfl holds coil maps of 2 slices, and .*a.h5 has 3"):
        read_kspace(path, fewer)
    narrow = write_bart(tmp_path / "narrow", values[:, :-1], [dims[0], dims[1] - 1, *dims[2:]])
    with pytest.raises(ShapeError, match=r"a.h5, slice 0: maps of shape \(4, 12, 9\); expected \(4, 12, 10\)"):
        read_kspace(path, narrow)[0]
