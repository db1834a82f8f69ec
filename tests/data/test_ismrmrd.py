import math
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import ismrmrd
import numpy as np
import pytest
import torch
from ismrmrd import xsd

from posterior.data import Geometry, read_ismrmrd
from posterior.data.acquisitions import Scan
from posterior.errors import FileFormatError
from posterior.operators.fourier import centred_ifft
from tests.data.scans import (
    COILS,
    COLUMNS,
    MAPS,
    ROWS,
    SLICES,
    SPACING,
    edit,
    header,
    images,
    kspace,
    lines,
    noise_scan,
    write_ismrmrd,
)  # fmt: skip

CLOSE = {"atol": 1e-6, "rtol": 1e-5}
Lines = list[ismrmrd.Acquisition]


def parallel(acceleration: int, mode: xsd.calibrationModeType | None = None) -> xsd.parallelImagingType:
    factor = xsd.accelerationFactorType(kspace_encoding_step_1=acceleration, kspace_encoding_step_2=1)
    return xsd.parallelImagingType(accelerationFactor=factor, calibrationMode=mode)


def flagged(acquisition: ismrmrd.Acquisition, flag: int) -> ismrmrd.Acquisition:
    acquisition.setFlag(flag)
    return acquisition


def test_slices_without_oversampling(tmp_path: Path) -> None:
    path = write_ismrmrd(tmp_path / "a.mrd")
    file = read_ismrmrd(path)
    assert len(file) == SLICES
    for index, raw in enumerate(file):
        torch.testing.assert_close(raw.kspace, kspace()[index], **CLOSE)
        torch.testing.assert_close(centred_ifft(raw.kspace), MAPS * images()[index], **CLOSE)
        assert raw.mask.shape == (COLUMNS,) and bool(raw.mask.all()) and raw.noise is None
        assert raw.source == f"{path}, slice {index}"
        assert (
            raw.notes == ()
            and raw.facts["slice"] == index
            and raw.facts["averages"] == 1
            and raw.facts["vendor"] == "Phantom Inc."
        )
        assert raw.geometry is not None and raw.geometry.spacing == pytest.approx(SPACING)
        middle = raw.geometry.affine() @ [0, ROWS // 2, COLUMNS // 2, 1]  # at the scanner's position of the slice
        np.testing.assert_allclose(middle, [1, 2, 3 + 6 * index, 1], atol=1e-5)
        below = raw.geometry.affine() @ [0, ROWS // 2 + 1, COLUMNS // 2, 1] - middle
        np.testing.assert_allclose(below, [0, SPACING[1], 0, 0], atol=1e-5)  # along the readout
    stack = Geometry.stacked([raw.geometry for raw in file if raw.geometry is not None])
    assert stack.spacing == pytest.approx((6.0, *SPACING[1:])) and stack.thickness == SPACING[0]


def test_order_of_acquisitions_does_not_matter(tmp_path: Path) -> None:
    file = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", lines()[::-1]))
    for index, raw in enumerate(file):
        torch.testing.assert_close(raw.kspace, kspace()[index], **CLOSE)


def test_partial_fourier_is_a_mask(tmp_path: Path) -> None:
    measured = [0, 1, 2, 3, 4, 5, 6, 8]
    raw = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", lines(measured)))[1]
    expected = torch.zeros(COLUMNS, dtype=torch.bool)
    expected[measured] = True
    assert torch.equal(raw.mask, expected)
    torch.testing.assert_close(raw.kspace, torch.where(expected, kspace()[1], 0), **CLOSE)


def test_counters_are_about_their_centre(tmp_path: Path) -> None:
    """The first lines, which partial Fourier sampling leaves out, may not be counted."""
    limits = header().encoding[0].encodingLimits
    limits.kspace_encoding_step_1 = xsd.limitType(minimum=0, maximum=6, center=2)
    late = lines(range(3, COLUMNS))
    for line in late:
        line.idx.kspace_encode_step_1 -= 3
    raw = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", late, header(encodingLimits=limits)))[0]
    assert torch.equal(raw.mask, torch.arange(COLUMNS) >= 3)
    torch.testing.assert_close(raw.kspace, torch.where(raw.mask, kspace()[0], 0), **CLOSE)


@pytest.mark.parametrize("discarded", [0, 2])
def test_partial_echo_keeps_its_oversampling(tmp_path: Path, discarded: int) -> None:
    echoes = []
    for line in lines():
        short = ismrmrd.Acquisition.from_array(np.ascontiguousarray(line.data[:, 5 - discarded :]))
        short.center_sample, short.discard_pre, short.discard_post = ROWS - 5 + discarded, discarded, 2
        short.idx.slice, short.idx.kspace_encode_step_1 = line.idx.slice, line.idx.kspace_encode_step_1
        echoes.append(short)
    raw = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", echoes))[2]
    rows = torch.arange(2 * ROWS)
    expected = ((rows >= 5) & (rows < 2 * ROWS - 2))[:, None].expand(-1, COLUMNS)
    assert torch.equal(raw.mask, expected)
    torch.testing.assert_close(raw.kspace, torch.where(expected, kspace(2)[2], 0), **CLOSE)
    assert raw.facts["readout_oversampling"] == 2
    assert raw.geometry == Geometry(
        raw.geometry.spacing, thickness=SPACING[0]
    ) and raw.geometry.spacing == pytest.approx(SPACING)
    plain = header(2, reconSpace=header().encoding[0].encodedSpace)  # an image of all that was encoded
    assert "readout_oversampling" not in read_ismrmrd(write_ismrmrd(tmp_path / "b.h5", echoes, plain))[2].facts


def test_noise_is_as_strong_as_in_the_image(tmp_path: Path) -> None:
    """Of twice the bandwidth, and of a receiver that passes 0.8 of white noise: variance 1 becomes 2 / 0.8.

    The variance of 3200 normal numbers is off by 2.5 % (standard deviation): 10 % is four of them.
    """
    scans = [noise_scan(), *lines(), noise_scan(100)]
    raw = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", scans))[0]
    assert raw.noise is not None and raw.noise.shape == (COILS, 500)
    assert float(torch.view_as_real(raw.noise).var()) == pytest.approx(2 / 0.8, rel=0.1)
    torch.testing.assert_close(raw.kspace, kspace()[0], **CLOSE)
    silent = lines()
    for line in silent:
        line.sample_time_us = 0  # then nothing is known of bandwidths
    raw = read_ismrmrd(write_ismrmrd(tmp_path / "b.h5", [noise_scan(), *silent]))[0]
    torch.testing.assert_close(raw.noise, torch.from_numpy(noise_scan().data))


def test_noise_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, whole = [], Scan.samples

    def samples(self: Scan, data: Any, number: int, coils: int) -> Any:
        read.append(number)
        return whole(self, data, number, coils)

    monkeypatch.setattr(Scan, "samples", samples)
    slices = list(read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", [noise_scan(), *lines(), noise_scan(100)])))
    assert sorted(read) == list(range(2 + SLICES * COLUMNS))
    for raw in slices:
        torch.testing.assert_close(raw.noise, slices[0].noise)


def test_averages(tmp_path: Path) -> None:
    again = lines()
    for line in again:
        line.idx.average = 1
        line.data[:] *= 3
    raw = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", [noise_scan(), *lines(), *again]))[0]
    torch.testing.assert_close(raw.kspace, 2 * kspace()[0], **CLOSE)
    assert raw.facts["averages"] == 2
    assert raw.notes == ("2 averages of each line were averaged",)
    assert float(torch.view_as_real(raw.noise).var()) == pytest.approx(1 / 0.8, rel=0.1)


def test_contrasts_are_images(tmp_path: Path) -> None:
    second = lines()
    for line in second:
        line.idx.contrast = 1
        line.data[:] *= 2
    file = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", [*second, *lines()]))
    assert [(raw.facts["contrast"], raw.facts["slice"]) for raw in file] == [(c, s) for c in (0, 1) for s in (0, 1, 2)]
    torch.testing.assert_close(file[4].kspace, 2 * kspace()[1], **CLOSE)
    assert file[4].source.endswith("contrast 1, slice 1")
    assert file.volumes == ["contrast 0"] * 3 + ["contrast 1"] * 3 and file[1:4].volumes == file.volumes[1:4]


def _numbered(*slices: int) -> Lines:
    """Slices of the phantom, from its foot to its head, with these numbers."""
    found = lines()
    for line in found:
        line.idx.slice = slices[line.idx.slice]
    return found


def test_interleaved_slices_are_in_the_order_of_their_positions(tmp_path: Path) -> None:
    file = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", _numbered(0, 2, 1)))
    for index, raw in enumerate(file):
        torch.testing.assert_close(raw.kspace, kspace()[index], **CLOSE)
        assert raw.notes == ("slices are in the order of their positions: 0, 2, 1",)
    assert file[1].source.endswith("slice 2") and file.volumes == [""] * 3
    assert Geometry.stacked([raw.geometry for raw in file if raw.geometry is not None]).spacing[0] == pytest.approx(6)
    falling = read_ismrmrd(write_ismrmrd(tmp_path / "b.h5", _numbered(2, 1, 0)))  # one way as well
    torch.testing.assert_close(falling[0].kspace, kspace()[2], **CLOSE)
    assert falling[0].notes == ()


def test_one_slice(tmp_path: Path) -> None:
    limits = header().encoding[0].encodingLimits
    limits.slice = xsd.limitType(minimum=0, maximum=0, center=0)
    file = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", lines()[:COLUMNS], header(encodingLimits=limits)))
    assert len(file) == 1
    torch.testing.assert_close(file[0].kspace, kspace()[0], **CLOSE)
    limits.slice = xsd.limitType(minimum=2, maximum=1, center=0)
    with pytest.raises(FileFormatError, match="`dataset/xml`: `slice` runs from 2 to 1"):
        read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", lines(), header(encodingLimits=limits)))


def test_what_is_no_part_of_the_image_is_counted(tmp_path: Path) -> None:
    wrong = lines()[0]
    wrong.data[:] = 100
    extra = [flagged(wrong, ismrmrd.ACQ_IS_NAVIGATION_DATA)]
    raw = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", [*extra, *lines()]))[0]
    torch.testing.assert_close(raw.kspace, kspace()[0], **CLOSE)
    assert raw.facts["left_out"] == {"navigator": 1}


@pytest.mark.parametrize("mode", ["embedded", "separate"])
def test_calibration_lines(tmp_path: Path, mode: str) -> None:
    some = [flagged(line, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION) for line in lines([4, 6])]
    head = header(parallelImaging=parallel(2, xsd.calibrationModeType(mode)))
    raw = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", [*lines([1, 3, 5, 7, 9]), *some], head))[0]
    expected = torch.arange(COLUMNS) % 2 == 1
    if mode == "embedded":
        expected[[4, 6]] = True
    assert torch.equal(raw.mask, expected)
    assert "left_out" not in raw.facts and raw.notes == ()
    if mode == "embedded":
        assert raw.calibration is None
    else:
        apart = (torch.arange(COLUMNS) == 4) | (torch.arange(COLUMNS) == 6)
        torch.testing.assert_close(raw.calibration, torch.where(apart, kspace()[0], 0), **CLOSE)


def test_contrasts_have_one_calibration_and_at_their_place(tmp_path: Path) -> None:
    head = header(parallelImaging=parallel(2, xsd.calibrationModeType("separate")))
    second, apart = lines([1, 3, 5, 7, 9]), lines([4, 6])
    for line in second:
        line.idx.contrast = 1
    for line in apart:
        line.setFlag(ismrmrd.ACQ_IS_PARALLEL_CALIBRATION)
    scan = [*lines([1, 3, 5, 7, 9]), *second, *apart]
    file = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", scan, head))
    assert file[1].calibration is not None and file[4].calibration is not None
    torch.testing.assert_close(file[4].calibration, file[1].calibration)
    apart[2].position[2] = 30
    with pytest.raises(FileFormatError, match="are both of slice 1, and lie 21 mm apart"):
        read_ismrmrd(write_ismrmrd(tmp_path / "b.h5", scan, head))


def test_calibration_lines_that_cannot_be_used_are_said(tmp_path: Path) -> None:
    """They are short, which leaves the oversampling of the readout, or of another encoding."""
    head = header(parallelImaging=parallel(2, xsd.calibrationModeType("separate")))
    short, other = [], [flagged(line, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION) for line in lines([4])]
    for line in other:
        cut = ismrmrd.Acquisition.from_array(np.ascontiguousarray(line.data[:, 6:-6]))
        cut.idx.slice, cut.idx.kspace_encode_step_1, cut.center_sample = line.idx.slice, 4, ROWS - 6
        for name in ("position", "read_dir", "phase_dir", "slice_dir"):
            getattr(cut, name)[:] = getattr(line, name)
        short.append(flagged(cut, ismrmrd.ACQ_IS_PARALLEL_CALIBRATION))
        line.encoding_space_ref = 1
    for extra, count, words in ((short, 1, "they are shorter than the image's"), (other, 3, "they are of a second")):
        raw = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", [*lines([1, 3, 5, 7, 9]), *extra], head))[0]
        assert raw.calibration is None
        (note,) = raw.notes
        assert note.startswith(f"{count} separate calibration lines were left out: {words}")
        torch.testing.assert_close(raw.kspace, torch.where(torch.arange(COLUMNS) % 2 == 1, kspace()[0], 0), **CLOSE)


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


def test_one_slice_is_read_at_a_time(tmp_path: Path) -> None:
    """A fault of slice 2 is found when that slice is read, and not before."""
    acquisitions = lines()
    acquisitions[25].data.fill(np.nan)
    file = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", acquisitions))
    torch.testing.assert_close(file[1].kspace, kspace()[1], **CLOSE)
    with pytest.raises(FileFormatError, match="acquisition 25"):
        file[2]
