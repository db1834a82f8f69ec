"""Volumes in NIfTI files."""

from __future__ import annotations

import gzip
import io
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posterior.checks import Real, checked
from posterior.data.geometry import Geometry, Volume, check_magnitudes
from posterior.errors import FileFormatError, InvalidValueError, ShapeError
from posterior.io.extras import require
from posterior.io.readers import reading
from posterior.io.writing import atomic_write

_WHAT = "a NIfTI volume"
_FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's coordinates grow to the right and front, DICOM's to the left and back
_ORDER = [2, 1, 0, 3]  # voxels are (column, row, slice) in NIfTI, and this turned back is this
_HEADERS = {348: "Nifti1Image", 540: "Nifti2Image"}  # by the size of the header, which comes first
_FAULT = 30  # nibabel's level of faults that it would mend; those below it have one reading by the standard
_SILENT = logging.Logger("silent", logging.CRITICAL)
_MILLIMETRES = {"mm": 1.0, "meter": 1e3, "micron": 1e-3, "unknown": 1.0}


@checked
def read_nifti(path: str | Path) -> Volume:
    """The volume of a `.nii` or `.nii.gz` file as slices of rows and columns: its third, second and first dimensions.

    Values are those that the file means, scaled by its slope and intercept. If it says no place (neither sform nor
    qform), the geometry has none; and if it says no unit of lengths either, there is no geometry. A place without a
    unit is taken to be in millimetres, as others take it.

    Raises:
        FileFormatError: The file is missing, corrupt, cut off, or of another kind, or holds more than one volume.
        NotFiniteError: NaN or infinity.
        IncompatibleError: nibabel is not installed.
    """
    path = Path(path)
    nibabel = require("nibabel", "mri")
    compressed = _is_compressed(path)
    with reading(path, _WHAT):
        content = gzip.decompress(path.read_bytes()) if compressed else path.read_bytes()
        sizes = {int.from_bytes(content[:4], order) for order in ("little", "big")}
        kind = next((name for size, name in _HEADERS.items() if size in sizes), None)
        if kind is None or len(content) < min(_HEADERS):
            raise FileFormatError(f"{path} is no NIfTI file: its {len(content)} bytes do not begin with its header")
        header = getattr(nibabel, kind).header_class.from_fileobj(io.BytesIO(content), check=False)
        header.check_fix(logger=_SILENT, error_level=_FAULT)
        values = _values(path, header, content)
        affine, placed = header.get_best_affine(), int(header["sform_code"]) > 0 or int(header["qform_code"]) > 0
        unit = header.get_xyzt_units()[0]
        affine = np.diag([_MILLIMETRES[unit]] * 3 + [1.0]) @ _FLIP @ affine
        try:
            geometry = Geometry.from_affine(affine[:, _ORDER])
        except InvalidValueError as error:
            raise FileFormatError(f"{path}: {error}") from error
    check_magnitudes(str(path), values)
    if not placed:
        return Volume(values, None if unit == "unknown" else Geometry(geometry.spacing))
    return Volume(values, geometry)


def _values(path: Path, header: Any, content: bytes) -> Tensor:
    shape = header.get_data_shape()
    if len(shape) < 3 or min(shape) < 1 or any(n != 1 for n in shape[3:]):
        raise FileFormatError(f"{path} holds an array of shape {shape}; expected one volume, of three dimensions")
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        raise FileFormatError(f"{path} holds {dtype}; expected real numbers, of complex ones the magnitudes")
    start = int(header.get_data_offset())
    end = start + dtype.itemsize * int(np.prod(shape))
    if header["magic"].item()[:2] != b"n+":
        raise FileFormatError(f"{path} is the header of a pair of files; save it as one file, .nii or .nii.gz")
    if len(content) < end or start < int(header["sizeof_hdr"]):
        raise FileFormatError(
            f"{path} is cut off: {len(content)} bytes (unpacked) of {end} that its header announces, for {shape}"
        )
    slope, intercept = header.get_slope_inter()
    values = np.frombuffer(content, dtype, int(np.prod(shape)), start).reshape(shape[:3], order="F")
    scaled = values.astype(np.float64) * (1.0 if slope is None else slope) + (0.0 if intercept is None else intercept)
    return torch.from_numpy(np.ascontiguousarray(scaled.transpose(2, 1, 0))).float()


@checked
def write_nifti(path: str | Path, values: Real, geometry: Geometry | None, comment: str = "") -> None:
    """Write magnitudes as float32: their mean or standard deviation, or draws in the file's fourth dimension.

    Args:
        path: A `.nii` or `.nii.gz` file.
        values: (N, H, W), or draws (S, N, H, W), real.
        geometry: Of the voxels; without a place the file says spacings alone. None if not even these are known: voxels
            are of size 1 then, in no unit.
        comment: A text of any length, as an extension of the header.

    Raises:
        ShapeError, InvalidValueError, NotFiniteError: Values are of another shape, complex, or not finite.
        FileFormatError: The file has another suffix.
        FileWriteError: It cannot be written.
        IncompatibleError: nibabel is not installed.
    """
    path = Path(path)
    nibabel = require("nibabel", "mri")
    compressed = _is_compressed(path)
    if values.ndim not in (3, 4):
        raise ShapeError(f"a NIfTI file holds (N, H, W) or (S, N, H, W); got {tuple(values.shape)}")
    check_magnitudes("what a NIfTI file is to hold", values, values.shape)
    data = values.detach().cpu().float().numpy().transpose(*range(values.ndim)[::-1])
    placed = geometry is not None and geometry.origin is not None
    image = nibabel.Nifti1Image(data, _FLIP @ geometry.affine()[:, _ORDER] if geometry is not None and placed else None)
    if geometry is not None:
        image.header.set_xyzt_units("mm")
        if not placed:
            image.header.set_zooms((*geometry.spacing[::-1], *[1.0] * (values.ndim - 3)))
    if comment:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", comment.encode()))
    with atomic_write(path) as stream:
        if compressed:
            with gzip.GzipFile(fileobj=stream, mode="wb", mtime=0, filename="") as packed:
                image.to_stream(packed)
        else:
            image.to_stream(stream)


def _is_compressed(path: Path) -> bool:
    if not path.name.lower().endswith((".nii", ".nii.gz")):
        raise FileFormatError(f"{path} is not called .nii or .nii.gz, as NIfTI files are")
    return path.suffix.lower() == ".gz"
