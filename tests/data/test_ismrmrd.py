from pathlib import Path
from typing import Any

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
    flagged,
    header,
    images,
    kspace,
    lines,
    noise_scan,
    parallel,
    write_ismrmrd,
)  # fmt: skip

CLOSE = {"atol": 1e-6, "rtol": 1e-5}
Lines = list[ismrmrd.Acquisition]


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


def test_one_slice_is_read_at_a_time(tmp_path: Path) -> None:
    """A fault of slice 2 is found when that slice is read, and not before."""
    acquisitions = lines()
    acquisitions[25].data.fill(np.nan)
    file = read_ismrmrd(write_ismrmrd(tmp_path / "a.h5", acquisitions))
    torch.testing.assert_close(file[1].kspace, kspace()[1], **CLOSE)
    with pytest.raises(FileFormatError, match="acquisition 25"):
        file[2]
