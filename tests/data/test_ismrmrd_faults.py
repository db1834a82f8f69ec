"""ISMRMRD files that are damaged, half written or of another kind: each is told in a line."""

import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
from ismrmrd import xsd

from posterior.data import read_ismrmrd
from posterior.errors import FileFormatError
from tests.data.scans import (
    ROWS,
    SLICES,
    edit,
    flagged,
    header,
    lines,
    noise_scan,
    parallel,
    write_ismrmrd,
)  # fmt: skip

Lines = list[ismrmrd.Acquisition]


def _number(change: Callable[[ismrmrd.Acquisition], object]) -> Callable[[Lines], Lines]:
    """Change acquisition 12, a line of slice 1."""

    def changed(acquisitions: Lines) -> Lines:
        change(acquisitions[12])
        return acquisitions

    return changed


def _fewer_coils(acquisitions: Lines) -> Lines:
    one = ismrmrd.Acquisition.from_array(np.ascontiguousarray(acquisitions[12].data[1:]))
    one.idx.slice, one.idx.kspace_encode_step_1, one.center_sample = 1, 2, ROWS
    for name in ("position", "read_dir", "phase_dir", "slice_dir"):
        getattr(one, name)[:] = getattr(acquisitions[12], name)
    return [*acquisitions[:12], one, *acquisitions[13:]]


def _turned(acquisitions: Lines) -> Lines:
    for line in acquisitions[10:20]:
        line.read_dir[1] = 3
    return acquisitions


def _last(acquisitions: Lines) -> Lines:
    """The last line of each slice is flagged, and that of slice 2 is missing."""
    for index in (9, 19):
        flagged(acquisitions[index], ismrmrd.ACQ_LAST_IN_SLICE)
    return acquisitions[:-1]


def _twice(average: int) -> Callable[[Lines], Lines]:
    """Line 2 of slice 1 is measured again."""

    def repeated(acquisitions: Lines) -> Lines:
        again = lines()[12]
        again.idx.average, again.idx.segment = average, 5
        return [*acquisitions, again]

    return repeated


def _moved(name: str) -> Callable[[Lines], Lines]:
    """Average 1 of slice 1 is another slice, or the same from another side."""

    def moved(acquisitions: Lines) -> Lines:
        again = lines()[10:20]
        for line in again:
            line.idx.average = 1
            getattr(line, name)[:] = (1.0, 0.0, 0.0) if name == "read_dir" else (1.0, 2.0, 15.0)
        return [*acquisitions, *again]

    return moved


ACQUISITIONS: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "none": (lambda found: [noise_scan()], "has no acquisition of an image, among 1 in `dataset/data`"),
    "nan": (_number(lambda line: line.data.fill(np.nan)), "acquisition 12 of 30 in `dataset/data` holds NaN"),
    "backwards": (_number(lambda line: line.setFlag(ismrmrd.ACQ_IS_REVERSE)), "acquisition 12 of 30 .* backwards"),
    "line": (_number(lambda line: setattr(line.idx, "kspace_encode_step_1", 10)), "acquisition 12 .* is line 10, outs"),
    "partition": (_number(lambda line: setattr(line.idx, "kspace_encode_step_2", 1)), "acquisition 12 .* partition"),
    "encoding": (_number(lambda line: setattr(line, "encoding_space_ref", 1)), "acquisition 12 .* second encoding"),
    "centre": (_number(lambda line: setattr(line, "center_sample", 11)), "acquisition 12 .* keeps samples 0 to 23"),
    "discarded": (_number(lambda line: setattr(line, "discard_pre", 24)), "acquisition 12 .* keeps samples 24 to 23"),
    "direction": (_turned, "acquisition 10 .* says no place: .* unit vectors"),
    "coils": (_fewer_coils, "acquisition 12 of 30 .* has 3 coils, and others have 4"),
    "slice": (lambda found: found[:20], "the acquisitions of slice 2 are missing, of 3 slices that the header"),
    "last": (_last, "the last acquisition of slice 2 is missing; the file is half written"),
    "uneven": (_twice(1), "some lines of slice 1 were measured 1 times and others 2 times"),
    "twice": (_twice(0), r"acquisitions 12 and 30 are both line 2 of slice 1, in average 0 \(segment 0 and 5\);"),
    "moved": (_moved("position"), "acquisitions 10 and 30 are both of slice 1, and lie 6 mm apart; give slices"),
    "turned": (_moved("read_dir"), "acquisitions 10 and 30 are both of slice 1, and are turned against each other"),
    "silent": (lambda found: [line for line in found if line.data.fill(0) is None], "slice 0: k-space is zero"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), ACQUISITIONS.values(), ids=list(ACQUISITIONS))
def test_faults_of_acquisitions_are_named(tmp_path: Path, change: Callable[[Lines], Lines], message: str) -> None:
    found = change(lines())
    with pytest.raises(FileFormatError, match=message) as raised:
        list(read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", found)))
    assert "a.h5" in str(raised.value) and "\n" not in str(raised.value)


def test_line_that_is_missing_of_a_scan_without_acceleration(tmp_path: Path) -> None:
    head = header(parallelImaging=parallel(1))
    assert len(read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", lines(), head))) == SLICES
    with pytest.raises(FileFormatError, match="of slice 2 the acquisition of line 8 is missing, and 1 more, though"):
        read_ismrmrd(write_ismrmrd(tmp_path / "b.h5", lines()[:-2], head))


def _whole(name: str, **changes: Any) -> Any:
    space = getattr(header().encoding[0], name)
    for key, value in changes.items():
        setattr(space.matrixSize if key in "xyz" else space, key, value)
    return header(**{name: space})


def _counted(name: str, last: int) -> Any:
    limits = header().encoding[0].encodingLimits
    setattr(limits, name, xsd.limitType(minimum=0, maximum=last, center=0))
    return header(encodingLimits=limits, parallelImaging=parallel(1))


def _multiband(factor: int) -> Any:
    calibration = xsd.multibandCalibrationType("separable2D")
    band = xsd.multibandType(
        spacing=[xsd.multibandSpacingType(dZ=[30.0])], deltaKz=1.0, multiband_factor=factor, calibration=calibration,
        calibration_encoding=0,
    )  # fmt: skip
    imaging = parallel(1)
    imaging.multiband = band
    return header(parallelImaging=imaging)


def _bandwidth(value: float) -> Any:
    head = header()
    head.acquisitionSystemInformation.relativeReceiverNoiseBandwidth = value
    return head


@pytest.mark.parametrize(
    ("head", "message"),
    [
        (_multiband(2), "a.h5: `dataset/xml`: 2 slices were excited at once .multiband., .*: separate them first"),
        (_counted("slice", 2**16), "`slice` runs from 0 to 65536"),
        (_counted("kspace_encoding_step_1", 2**16), "`kspace_encoding_step_1` runs from 0 to 65536"),
        (_counted("slice", 2**16 - 1), "the acquisitions of slice 3 are missing, of 65536 slices"),
        (_whole("encodedSpace", y=641), "the matrix 24 × 641 .* 64 times what was measured of slice 0, 240 samples"),
        (_bandwidth(-1.0), "makes no sense: .* the receiver's bandwidth -1.0"),
        (header(trajectory=xsd.trajectoryType.RADIAL), "holds a radial scan; only Cartesian ones are read"),
        (_whole("encodedSpace", z=8), "holds a three-dimensional scan, of 8 partitions"),
        (_whole("encodedSpace", fieldOfView_mm=xsd.fieldOfViewMm(x=0.0, y=1.0, z=1.0)), "makes no sense: the matrix"),
        (_whole("encodedSpace", fieldOfView_mm=xsd.fieldOfViewMm(x=math.nan, y=1.0, z=1.0)), "makes no sense"),
        (_whole("reconSpace", fieldOfView_mm=xsd.fieldOfViewMm(x=1e-9, y=1.0, z=1.0)), "makes no sense"),
    ],
)
def test_scans_of_other_kinds(tmp_path: Path, head: xsd.ismrmrdHeader, message: str) -> None:
    with pytest.raises(FileFormatError, match=message):
        read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", lines(), head))


def test_one_band_is_an_ordinary_slice(tmp_path: Path) -> None:
    assert len(read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", lines(), _multiband(1)))) == SLICES


def test_a_header_allocates_no_memory(tmp_path: Path) -> None:
    def change(file: h5py.File) -> None:
        row = file["dataset/data"][0]
        row["head"]["active_channels"] = 2**16 - 1
        file["dataset/data"][0] = row

    file = read_ismrmrd(edit(write_ismrmrd(tmp_path / "a.h5"), change))
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="acquisition 0 of 30 .* its header says 2 × 65535 coils × 24"):
            file[0]
        assert tracemalloc.get_traced_memory()[1] < 2**16 * 24 * 10  # k-space of so many coils takes 8 times as much
    finally:
        tracemalloc.stop()


def _grow(file: h5py.File) -> None:
    """As the writer leaves it when it is stopped between making room for an acquisition and filling it."""
    file["dataset/data"].resize(31, axis=0)


def _shorten(file: h5py.File) -> None:
    row = file["dataset/data"][12]
    row["data"] = row["data"][:100]
    file["dataset/data"][12] = row


def _other_type(file: h5py.File) -> None:
    del file["dataset/data"]
    file["dataset/data"] = np.ones(3)


def _rename(file: h5py.File) -> None:
    file.move("dataset", "b")
    file.create_group("a")


HDF5: dict[str, tuple[Callable[[h5py.File], object], str]] = {
    "no data": (lambda file: file.__delitem__("dataset/data"), "has no dataset `dataset/data`"),
    "no header": (lambda file: file.__delitem__("dataset/xml"), "has no dataset `dataset/xml`"),
    "no group": (lambda file: file.__delitem__("dataset"), "has no group `dataset`"),
    "grown": (_grow, "acquisition 30 of 31 in `dataset/data` was never written|parts were never written"),
    "shortened": (_shorten, "acquisition 12 of 30 in `dataset/data` has 100 numbers; its header says 2 × 4 coils × 24"),
    "numbers": (_other_type, "`dataset/data` has no column `head`: it holds no acquisitions"),
}


@pytest.mark.parametrize(("change", "message"), HDF5.values(), ids=list(HDF5))
def test_half_written_files(tmp_path: Path, change: Callable[[h5py.File], object], message: str) -> None:
    path = edit(write_ismrmrd(tmp_path / "a.h5"), change)
    with pytest.raises(FileFormatError, match=message):
        list(read_ismrmrd(path))


def test_group_of_another_name(tmp_path: Path) -> None:
    assert len(read_ismrmrd(edit(write_ismrmrd(tmp_path / "a.h5"), _rename))) == SLICES
