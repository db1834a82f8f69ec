"""Volumes as series of DICOM files."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from posterior.checks import Real, checked
from posterior.data.geometry import Geometry, Volume, check_estimates, check_magnitudes
from posterior.errors import FileFormatError, FileWriteError, IncompatibleError
from posterior.io.extras import require
from posterior.io.readers import reading
from posterior.io.writing import atomic_write

_WHAT = "a DICOM image"
_LARGEST = 65535
_NEEDED = ("SeriesInstanceUID", "Rows", "Columns", "BitsAllocated", "PixelData", "PixelSpacing")


@checked
def read_dicom(path: str | Path) -> Volume:
    """The volume of a file, or of all files in a folder, which are of one series.

    Values are rescaled as the files say. Slices are in the order in which their positions go along the normal of the
    image, or in that of their numbers if they have none. Secondary captures need not say the size of pixels; then there
    is no geometry.

    Raises:
        FileFormatError: A file is corrupt, cut off, compressed, in colour or no DICOM file, lacks an attribute, or
            belongs to another series; images are missing; slices are not evenly spaced.
        IncompatibleError: pydicom is not installed.
    """
    path = Path(path)
    files = sorted(f for f in path.iterdir() if not f.name.startswith(".")) if path.is_dir() else [path]
    if not files:
        raise FileFormatError(f"there is no file in {path}")
    slices = [_read_slice(file) for file in files]
    first = slices[0]
    for one in slices:
        if (one.series, one.values.shape) != (first.series, first.values.shape):
            raise FileFormatError(
                f"{one.path} is of another series than {first.path}, or its image of another shape; put series into "
                "folders of their own"
            )
    if path.is_dir() and len(files) < first.announced:
        raise FileFormatError(f"{path} has {len(files)} files of {first.announced} images that they announce; copy all")
    slices.sort(key=lambda one: one.order)
    places = [one.geometry for one in slices if one.geometry is not None]
    if not places:
        return Volume(torch.stack([one.values for one in slices]), None)
    if len(places) < len(slices):
        raise FileFormatError(f"{path}: some images lack PixelSpacing; they do not form a volume")
    try:
        geometry = Geometry.stacked(places)
    except IncompatibleError as error:
        raise FileFormatError(f"{path}: {error}; images of the series are missing or do not form a volume") from error
    if not first.is_thick and (len(files) == 1 or geometry.origin is None):
        raise FileFormatError(f"{first.path} lacks SliceThickness, and no positions tell how far apart slices are")
    return Volume(torch.stack([one.values for one in slices]), geometry)


class _Slice(NamedTuple):
    """What a file says.

    Attributes:
        path, series: The file, and the identifier of its series.
        announced: How many images there are, or 0.
        order: Grows from slice to slice.
        is_thick: Whether it says how far apart slices are.
        geometry: Of the image; None if it does not say the size of pixels.
        values: (H, W).
    """

    path: Path
    series: str
    announced: int
    order: float
    is_thick: bool
    geometry: Geometry | None
    values: Tensor


def _read_slice(path: Path) -> _Slice:
    pydicom = require("pydicom", "mri")
    with reading(path, _WHAT):
        dataset = pydicom.dcmread(path)
        may_lack = "PixelSpacing" if dataset.get("SOPClassUID") == _secondary_capture() else ""
        if missing := [name for name in _NEEDED if name not in dataset and name != may_lack]:
            raise FileFormatError(f"{path} lacks {', '.join(missing)}; it is cut off, or no image with a spacing")
        if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            name = dataset.file_meta.TransferSyntaxUID.name
            raise FileFormatError(f"{path} is compressed ({name}); save it without compression")
        if dataset.get("PhotometricInterpretation") != "MONOCHROME2" or int(dataset.get("NumberOfFrames") or 1) != 1:
            raise FileFormatError(f"{path} is no single image in grey, of which 0 is black; convert it to such files")
        found, expected = len(dataset.PixelData), dataset.Rows * dataset.Columns * dataset.BitsAllocated // 8
        if not expected <= found <= expected + 1:  # of odd length, it has a byte more
            raise FileFormatError(f"{path}: PixelData has {found} bytes; {expected} are announced")
        slope, intercept = dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
        values = torch.from_numpy(dataset.pixel_array.astype(np.float64))
        values = values * float(1 if slope is None else slope) + float(0 if intercept is None else intercept)
        spacing = dataset.get("SpacingBetweenSlices") or dataset.get("SliceThickness")
        geometry = _geometry(dataset, abs(float(spacing or 1)))  # it has a sign in nuclear medicine
        if geometry is None or geometry.origin is None or geometry.axes is None:
            order = float(dataset.get("InstanceNumber") or 0)
        else:
            order = float(np.dot(geometry.origin, geometry.axes[0]))
        series, announced = str(dataset.SeriesInstanceUID), int(dataset.get("ImagesInAcquisition") or 0)
    check_magnitudes(str(path), values[None].float())
    return _Slice(path, series, announced, order, bool(spacing), geometry, values.float())


def _geometry(dataset: Any, slices: float) -> Geometry | None:
    if "PixelSpacing" not in dataset:
        return None
    rows, columns = (float(value) for value in dataset.PixelSpacing)
    spacing, thickness = (slices, rows, columns), float(dataset.get("SliceThickness") or 0) or None
    position, orientation = dataset.get("ImagePositionPatient"), dataset.get("ImageOrientationPatient")
    if not position or not orientation:
        return Geometry(spacing, thickness=thickness)
    along_row, along_column = np.array(orientation, float).reshape(2, 3)  # of the numbers of columns, and of rows
    axes = np.array([np.cross(along_row, along_column), along_column, along_row])
    return Geometry.placed(spacing, np.array(position, float), axes, thickness)


@checked
def write_dicom(
    folder: str | Path, mean: Real, geometry: Geometry | None, *, std: Real | None = None, draws: Real | None = None
) -> None:
    """Write magnitudes as series of DICOM files: `mean`, `std`, `draw_01` … are folders with a file for each slice.

    Files are MR images where the geometry has a place, else secondary captures, which need not say the size of pixels
    and do not where it is not known. Values are 16-bit integers with a rescale slope and intercept, common to a series:
    off by 1/131070 of its range at most. The same values have the same identifiers. Nothing names the patient:
    attributes that would are there and empty.

    Args:
        folder: It is made if need be.
        mean: (N, H, W), real.
        geometry: Of the voxels; None if not even their size is known.
        std: (N, H, W), real.
        draws: (S, N, H, W), real.

    Raises:
        ShapeError, InvalidValueError, NotFiniteError: Arrays are of other shapes, complex, or not finite.
        FileWriteError: The files cannot be written, or there are others in a folder of a series.
        IncompatibleError: pydicom is not installed.
    """
    check_estimates(mean, std, draws)
    series = {"mean": ("posterior mean", mean)}
    if std is not None:
        series["std"] = ("posterior standard deviation", std)
    draws = mean[:0] if draws is None else draws
    for number, draw in enumerate(draws, 1):
        series[f"draw_{number:02d}"] = (f"posterior draw {number} of {len(draws)}", draw)
    digest = hashlib.sha256(repr(geometry).encode())
    for description, values in series.values():
        digest.update(description.encode() + values.detach().cpu().double().numpy().tobytes())
    study = digest.hexdigest()
    for name in series:
        written = {f"{index + 1:04d}.dcm" for index in range(len(mean))}
        others = [file for file in (Path(folder) / name).glob("*") if file.name not in written]
        if others:
            raise FileWriteError(f"{others[0]} is in the way: it would be taken for a part of the series; remove it")
    for number, (name, (description, values)) in enumerate(series.items(), 1):
        pixels, slope, intercept = _quantised(values)
        for index, image in enumerate(pixels):
            dataset = _dataset(study, name, index, geometry)
            dataset.SeriesNumber, dataset.InstanceNumber, dataset.ImagesInAcquisition = number, index + 1, len(pixels)
            dataset.SeriesDescription = dataset.DerivationDescription = description
            dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = slope, intercept, "US"
            dataset.WindowWidth = _decimal(_LARGEST * slope)
            dataset.WindowCenter = _decimal(intercept + _LARGEST * slope / 2)
            dataset.VOILUTFunction = "LINEAR_EXACT"  # which may be narrower than 1
            dataset.Rows, dataset.Columns = image.shape
            dataset.PixelData = image.astype("<u2").tobytes()
            with atomic_write(Path(folder) / name / f"{index + 1:04d}.dcm") as stream:
                dataset.save_as(stream, enforce_file_format=True)


def _quantised(values: Tensor) -> tuple[np.ndarray[Any, np.dtype[np.uint16]], float, float]:
    """Integers, and the slope and intercept that turn them back into values."""
    array = values.detach().cpu().double().numpy()
    intercept = _decimal(float(array.min()))
    slope = _decimal((float(array.max()) - float(intercept)) / _LARGEST)
    if not slope > 0:
        slope = _decimal(1.0)
    return np.clip(np.rint((array - intercept) / slope), 0, _LARGEST).astype(np.uint16), slope, intercept


def _secondary_capture() -> str:
    """The kind of image that need not say the size of its pixels, nor where they lie."""
    return str(require("pydicom.uid", "mri").SecondaryCaptureImageStorage)


def _decimal(value: float) -> Any:
    """A number in the sixteen characters that DICOM has for it."""
    return require("pydicom.valuerep", "mri").DSfloat(value, auto_format=True)


def _dataset(study: str, series: str, index: int, geometry: Geometry | None) -> Any:
    """All that a file says besides its values."""
    pydicom = require("pydicom", "mri")
    uid = require("pydicom.uid", "mri")

    def identifier(*parts: object) -> str:
        return str(uid.generate_uid(entropy_srcs=[study, *map(str, parts)]))

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    is_placed = geometry is not None and geometry.origin is not None
    dataset.SOPClassUID = uid.MRImageStorage if is_placed else _secondary_capture()
    dataset.SOPInstanceUID = identifier(series, index)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = identifier("study"), identifier(series)
    for empty in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
                  "AccessionNumber", "ReferringPhysicianName", "PatientOrientation", "Laterality"):  # fmt: skip
        setattr(dataset, empty, "")
    dataset.Manufacturer, dataset.ImageType = "posterior", ["DERIVED", "SECONDARY", "OTHER"]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    if geometry is not None:
        _write_size(dataset, geometry)
    if geometry is None or geometry.origin is None or geometry.axes is None:
        dataset.Modality, dataset.ConversionType = "OT", "SYN"
        return dataset
    if geometry.thickness is None:
        dataset.SliceThickness = None  # which an image with a place has to say, or to leave empty
    dataset.Modality, dataset.FrameOfReferenceUID = "MR", identifier("frame of reference")
    dataset.PositionReferenceIndicator = dataset.PatientPosition = ""
    dataset.ImagePositionPatient = [_decimal(x) for x in geometry.at(index).origin or ()]
    dataset.ImageOrientationPatient = [_decimal(x) for axis in (geometry.axes[2], geometry.axes[1]) for x in axis]
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "RM", "NONE", ""
    dataset.MRAcquisitionType = "2D"
    dataset.EchoTime = dataset.EchoTrainLength = dataset.RepetitionTime = None
    return dataset


def _write_size(dataset: Any, geometry: Geometry) -> None:
    """Size of the pixels, spacing and thickness of the slices, as far as they are known."""
    dataset.PixelSpacing = [_decimal(spacing) for spacing in geometry.pixel_spacing]
    if geometry.origin is not None or geometry.thickness != geometry.spacing[0]:  # else the spacing is a guess
        dataset.SpacingBetweenSlices = _decimal(geometry.spacing[0])
    if geometry.thickness is not None:
        dataset.SliceThickness = _decimal(geometry.thickness)
