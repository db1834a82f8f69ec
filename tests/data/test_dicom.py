import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from pydicom.data import get_testdata_file

from posterior.data import Geometry, read_dicom, write_dicom
from posterior.errors import (
    FileFormatError,
    FileWriteError,
    InvalidValueError,
    NotFiniteError,
    PosteriorError,
    ShapeError,
)
from posterior.noise import Noise

VALUES = 3 * Noise.of(0).uniform((3, 5, 4))[0, 0] - 0.5  # slices, rows, columns
STD = 1e-3 * VALUES.square()
SPACING = (5.0, 2.0, 1.5)
SLANTED = ((0.0, 0.6, 0.8), (0.0, 0.8, -0.6), (1.0, 0.0, 0.0))  # the normal is that of DICOM, column × row
PLACED = Geometry(SPACING, (10.0, -20.0, 30.0), SLANTED)


DESCRIPTIONS = {
    "mean": "posterior mean",
    "std": "posterior standard deviation",
    "draw_01": "posterior draw 1 of 2",
    "draw_02": "posterior draw 2 of 2",
}
MAY_BE_EMPTY = (  # and must be there, in both kinds of image (type 2 of the standard)
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "Laterality",
    "AccessionNumber", "ReferringPhysicianName", "PatientOrientation",
)  # fmt: skip


@pytest.fixture(autouse=True)
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that break DICOM's rules for them are errors of pydicom, when they are written and when they are read."""
    monkeypatch.setattr(pydicom.config.settings, "writing_validation_mode", pydicom.config.RAISE)
    monkeypatch.setattr(pydicom.config.settings, "reading_validation_mode", pydicom.config.RAISE)


@pytest.mark.parametrize("geometry", [PLACED, Geometry(SPACING)])
def test_pydicom_reads_what_is_written(tmp_path: Path, geometry: Geometry) -> None:
    write_dicom(tmp_path / "new", VALUES, geometry, std=STD, draws=torch.stack([VALUES, 2 * VALUES]))
    folders = {path.name: sorted(path.iterdir()) for path in (tmp_path / "new").iterdir()}
    assert set(folders) == {"mean", "std", "draw_01", "draw_02"} and all(len(files) == 3 for files in folders.values())
    truths = {"mean": VALUES, "std": STD, "draw_01": VALUES, "draw_02": 2 * VALUES}
    series, instances, studies = set(), set(), set()
    for name, files in folders.items():
        resolution = float(truths[name].max() - truths[name].min()) / 65535
        for index, file in enumerate(files):
            dataset = pydicom.dcmread(file)
            pixels = pydicom.pixels.apply_rescale(dataset.pixel_array, dataset)
            np.testing.assert_allclose(pixels, truths[name][index].numpy(), atol=0.51 * resolution)
            assert [float(s) for s in dataset.PixelSpacing] == pytest.approx(SPACING[1:])
            assert dataset.InstanceNumber == index + 1 and dataset.PatientName == ""
            assert dataset.SeriesDescription == dataset.DerivationDescription == DESCRIPTIONS[name]
            assert [attribute for attribute in MAY_BE_EMPTY if attribute not in dataset] == []
            series.add(dataset.SeriesInstanceUID)
            instances.add(dataset.SOPInstanceUID)
            studies.add(dataset.StudyInstanceUID)
            if geometry is PLACED:
                assert dataset.SOPClassUID == pydicom.uid.MRImageStorage
                assert "PatientPosition" in dataset and "PositionReferenceIndicator" in dataset
                place = np.array([10, -20, 30]) + 5 * index * np.array(SLANTED[0])
                np.testing.assert_allclose(np.array(dataset.ImagePositionPatient, float), place, atol=1e-6)
                along = np.array([*SLANTED[2], *SLANTED[1]])  # as columns are counted, and as rows are
                np.testing.assert_allclose(np.array(dataset.ImageOrientationPatient, float), along, atol=1e-6)
            else:
                assert dataset.SOPClassUID == pydicom.uid.SecondaryCaptureImageStorage
                assert "ImagePositionPatient" not in dataset
    assert (len(series), len(instances), len(studies)) == (4, 12, 1)
    volume = read_dicom(tmp_path / "new" / "std")
    torch.testing.assert_close(volume.values, STD, atol=float(STD.max()) / 65535, rtol=0)
    if geometry is PLACED:
        np.testing.assert_allclose(volume.geometry.affine(), PLACED.affine(), atol=1e-6)
    else:
        assert volume.geometry == Geometry(SPACING)


@pytest.mark.parametrize(
    ("geometry", "spacing", "thickness"),
    [
        (replace(PLACED, thickness=4.0), 5, 4),
        (PLACED, 5, None),
        (Geometry(SPACING, thickness=4.0), 5, 4),
        (Geometry(SPACING, thickness=5.0), "absent", 5),
        (Geometry(SPACING), 5, "absent"),
    ],
    ids=["gaps", "unknown", "gaps, no place", "no place", "spacing alone"],
)
def test_thickness_and_spacing_of_slices(
    tmp_path: Path, geometry: Geometry, spacing: object, thickness: object
) -> None:
    """Slices may be thinner than they are apart; what is not known is not written, or empty where it must be there."""
    write_dicom(tmp_path, VALUES, geometry)
    dataset = pydicom.dcmread(tmp_path / "mean" / "0002.dcm")
    assert dataset.get("SpacingBetweenSlices", "absent") == spacing
    assert dataset.get("SliceThickness", "absent") == thickness
    found = read_dicom(tmp_path / "mean").geometry
    assert found.thickness == geometry.thickness and found.spacing == pytest.approx(SPACING)


def test_pixels_of_a_size_that_is_not_known(tmp_path: Path) -> None:
    write_dicom(tmp_path, VALUES, None)
    volume = read_dicom(tmp_path / "mean")
    torch.testing.assert_close(volume.values, VALUES, atol=1e-4, rtol=0)
    assert volume.geometry is None
    _change(PixelSpacing=[1, 1])(tmp_path / "mean")
    with pytest.raises(FileFormatError, match="some images lack PixelSpacing"):
        read_dicom(tmp_path / "mean")


def test_the_same_values_have_the_same_identifiers(tmp_path: Path) -> None:
    for name, values in (("a", VALUES), ("b", VALUES), ("c", VALUES + 1)):
        write_dicom(tmp_path / name, values, PLACED)
    first, again, other = ((tmp_path / name / "mean" / "0001.dcm") for name in "abc")
    assert first.read_bytes() == again.read_bytes()
    assert pydicom.dcmread(first).StudyInstanceUID != pydicom.dcmread(other).StudyInstanceUID


@pytest.mark.parametrize("value", [0.0, 0.1, -3e-7, 1e12])
def test_images_of_one_value(tmp_path: Path, value: float) -> None:
    write_dicom(tmp_path, torch.full((1, 2, 2), value), PLACED)
    assert read_dicom(tmp_path / "mean").values.flatten().tolist() == pytest.approx([value] * 4, rel=1e-6)


def scanned() -> Path:
    """A file of a scanner, which comes with pydicom."""
    return Path(str(get_testdata_file("MR_small.dcm")))


def test_a_scanner_s_file() -> None:
    volume, dataset = read_dicom(scanned()), pydicom.dcmread(scanned())
    np.testing.assert_array_equal(volume.values[0].numpy(), dataset.pixel_array.astype(np.float32))
    assert volume.geometry.origin == pytest.approx(dataset.ImagePositionPatient)
    assert volume.geometry.pixel_spacing == pytest.approx(dataset.PixelSpacing)


def test_order_is_that_of_positions(tmp_path: Path) -> None:
    """Whatever files are called, and however they are numbered."""
    write_dicom(tmp_path, VALUES, PLACED)
    for old, new in (("0001", "z"), ("0002", "m"), ("0003", "a")):
        (tmp_path / "mean" / f"{old}.dcm").rename(tmp_path / "mean" / new)
    volume = read_dicom(tmp_path / "mean")
    torch.testing.assert_close(volume.values, VALUES, atol=1e-4, rtol=0)
    np.testing.assert_allclose(volume.geometry.affine(), PLACED.affine(), atol=1e-6)


def test_slices_against_the_normal(tmp_path: Path) -> None:
    """They come back in the other order, and each at its place."""
    against = Geometry(SPACING, (10.0, -20.0, 30.0), ((0.0, -0.6, -0.8), *SLANTED[1:]))
    write_dicom(tmp_path, VALUES, against)
    volume = read_dicom(tmp_path / "mean")
    torch.testing.assert_close(volume.values, VALUES.flip(0), atol=1e-4, rtol=0)
    first, last = volume.geometry.affine() @ [2, 1, 3, 1], against.affine() @ [0, 1, 3, 1]
    np.testing.assert_allclose(first, last, atol=1e-6)


def _change(**values: Any) -> Callable[[Path], None]:
    """Change attributes of the second file; None takes one away."""

    def change(folder: Path) -> None:
        dataset = pydicom.dcmread(folder / "0002.dcm")
        for name, value in values.items():
            if value is None:
                delattr(dataset, name)
            else:
                setattr(dataset, name, value)
        dataset.save_as(folder / "0002.dcm")

    return change


def _compress(folder: Path) -> None:
    dataset = pydicom.dcmread(folder / "0002.dcm")
    dataset.compress(pydicom.uid.RLELossless)
    dataset.save_as(folder / "0002.dcm")


FAULTS: dict[str, tuple[Callable[[Path], object], str]] = {
    "last file": (lambda folder: (folder / "0003.dcm").unlink(), "has 2 files of 3 images that they announce"),
    "no files": (lambda folder: [file.unlink() for file in folder.iterdir()], "there is no file in .*mean"),
    "other file": (lambda folder: (folder / "notes.txt").write_text("x" * 200), "notes.txt is corrupt .* DICOM"),
    "folder in it": (lambda folder: (folder / "0004.dcm").mkdir(), "there is no file .*0004.dcm"),
    "spacing": (_change(PixelSpacing=None), "0002.dcm lacks PixelSpacing"),
    "pixels": (_change(PixelData=None), "0002.dcm lacks PixelData"),
    "fewer pixels": (_change(PixelData=bytes(38)), "0002.dcm: PixelData has 38 bytes; 40 are announced"),
    "more pixels": (_change(PixelData=bytes(42)), "0002.dcm: PixelData has 42 bytes; 40 are announced"),
    "size": (_change(Rows=4, Columns=5), "0002.dcm is of another series than .*0001.dcm, or its image"),
    "series": (_change(SeriesInstanceUID="1.2.3"), "0002.dcm is of another series"),
    "colour": (_change(PhotometricInterpretation="RGB"), "0002.dcm is no single image in grey"),
    "inverted": (_change(PhotometricInterpretation="MONOCHROME1"), "0002.dcm is no single image in grey"),
    "frames": (_change(NumberOfFrames=2), "0002.dcm is no single image"),
    "position": (_change(ImagePositionPatient=[0, 0, 0]), "not evenly spaced on a line; .* images of the series are"),
    "no position": (_change(ImagePositionPatient=None), "turned against each other|have none"),
    "orientation": (_change(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "0002.dcm"),
    "compressed": (_compress, r"0002.dcm is compressed \(RLE Lossless\)"),
    "rescale": (_change(RescaleSlope="1e39"), "NaN or infinity"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), FAULTS.values(), ids=list(FAULTS))
def test_faults_are_named(tmp_path: Path, damage: Callable[[Path], object], message: str) -> None:
    write_dicom(tmp_path, VALUES, PLACED)
    damage(tmp_path / "mean")
    with pytest.raises((FileFormatError, NotFiniteError), match=message) as raised:
        read_dicom(tmp_path / "mean")
    assert "\n" not in str(raised.value)


def test_slice_that_is_missing_in_a_scanner_s_series(tmp_path: Path) -> None:
    """Such series need not say how many images there are."""
    write_dicom(tmp_path, torch.cat([VALUES, VALUES]), PLACED)
    for file in (tmp_path / "mean").iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.ImagesInAcquisition
        dataset.save_as(file)
    assert len(read_dicom(tmp_path / "mean").values) == 6
    (tmp_path / "mean" / "0003.dcm").unlink()
    with pytest.raises(FileFormatError, match="images of the series are missing"):
        read_dicom(tmp_path / "mean")


def test_thickness_is_needed_where_no_positions_tell(tmp_path: Path) -> None:
    write_dicom(tmp_path, VALUES, PLACED)
    for file in (tmp_path / "mean").iterdir():
        dataset = pydicom.dcmread(file)
        del dataset.SliceThickness, dataset.SpacingBetweenSlices
        dataset.save_as(file)
    np.testing.assert_allclose(read_dicom(tmp_path / "mean").geometry.affine(), PLACED.affine(), atol=1e-6)
    with pytest.raises(FileFormatError, match="0002.dcm lacks SliceThickness"):
        read_dicom(tmp_path / "mean" / "0002.dcm")


def test_files_of_another_series_are_in_the_way(tmp_path: Path) -> None:
    write_dicom(tmp_path, VALUES, PLACED)
    with pytest.raises(FileWriteError, match="0003.dcm is in the way"):
        write_dicom(tmp_path, VALUES[:2], PLACED)
    write_dicom(tmp_path, VALUES + 1, PLACED)
    torch.testing.assert_close(read_dicom(tmp_path / "mean").values, VALUES + 1, atol=1e-4, rtol=0)


def test_cut_off_file_of_a_scanner(tmp_path: Path) -> None:
    path = tmp_path / "a.dcm"
    shutil.copy(scanned(), path)
    content = path.read_bytes()
    for size in range(0, len(content) - 130, 611):  # what follows the pixels is padding
        path.write_bytes(content[:size])
        with pytest.raises(FileFormatError, match="a.dcm") as raised:
            read_dicom(path)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arrays", "error"),
    [
        ({"mean": VALUES[0]}, ShapeError),
        ({"mean": VALUES * 1j}, InvalidValueError),
        ({"mean": VALUES, "std": STD[:2]}, ShapeError),
        ({"mean": VALUES, "draws": VALUES}, ShapeError),
        ({"mean": VALUES, "std": STD * torch.nan}, NotFiniteError),
    ],
)
def test_what_is_not_written(tmp_path: Path, arrays: dict[str, Any], error: type[PosteriorError]) -> None:
    with pytest.raises(error):
        write_dicom(tmp_path / "a", geometry=PLACED, **arrays)
    assert not list(tmp_path.iterdir())
