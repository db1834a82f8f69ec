"""Files of the fastMRI data set: raw data in, reconstructions out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from posterior.checks import Real, Values, checked
from posterior.data.geometry import Geometry, check_estimates, check_magnitudes
from posterior.data.hdf5 import find_dataset, find_numbers, open_hdf5, to_native
from posterior.data.kspace import RawFile, RawSlice, crop_oversampling, crop_readout
from posterior.data.mri_header import read_mri_header
from posterior.data.stored_places import read_places, write_places
from posterior.errors import FileFormatError, InvalidValueError, ShapeError, check_finite
from posterior.io.extras import require
from posterior.io.writing import atomic_write

Shape = tuple[int, ...]

_WHAT = "fastMRI raw data"
_REFERENCES = ("reconstruction_rss", "reconstruction_esc")
_HEADER = "ismrmrd_header"


@checked
def read_fastmri(path: str | Path) -> RawFile:
    r"""The slices of a file of fastMRI, or of one with its keys, read one at a time.

    `kspace` is (slice, coil, readout, phase), or without coils; `mask`, (phase,) or (readout, phase), says what of it
    to take as measured. Columns that are exactly zero were not measured either: partial Fourier sampling, and the
    padding of the data set. Without `mask`, no frequencies of a slice that are exactly zero in all coils were measured,
    whole columns or not, and notes say how many these are. By `ismrmrd_header` the oversampling along the readout is
    removed, and pixels have a spacing; without it k-space is taken as it stands. `s_maps` are the coil maps,
    `reconstruction_rss` or `reconstruction_esc` the reference; attributes of the file, such as `acquisition`, `max` and
    `norm`, are facts.

    Raises:
        FileFormatError: The file is corrupt, cut off or half written, or a key is missing or of another type or shape.
        IncompatibleError: h5py or ismrmrd is not installed.

    References:
        Zbontar et al. 2018, fastMRI: an open dataset and benchmarks for accelerated MRI, arXiv:1811.08839.
    """
    path = Path(path)
    with open_hdf5(path, _WHAT) as file:
        shape = find_numbers(file, "kspace", path, "c", (3, 4)).shape
        image = shape[-2:]
        header = None
        if _HEADER in file:
            header = read_mri_header(find_dataset(file, _HEADER, path)[()], f"{path}: `{_HEADER}`")
        rows, places = image[0], None
        if header is not None:
            rows, columns = header.rows, header.matrix[1]
            _check_shape(path, "kspace", image, ((header.matrix[0], image[1]), (rows, image[1])), f"`{_HEADER}`")
            # The field of view is that of the distance of lines, however many there are of them.
            spacing = (*header.spacing[:2], header.spacing[2] * columns / image[1])
            places = [Geometry(spacing, thickness=spacing[0])] * shape[0]
        else:
            places = read_places(file, path, shape[0])
        if "mask" in file:
            mask = find_numbers(file, "mask", path, "biuf", (1, 2))
            _check_shape(path, "mask", mask.shape, (image[1:], image))
            if not np.isin(mask[()], (0, 1)).all():
                raise FileFormatError(f"{path}: `mask` holds other numbers than 0 and 1")
            if mask.ndim == 2 and rows != image[0]:
                raise _no_crop(f"{path}: `mask` leaves out parts of the readout", rows)
        if "s_maps" in file:
            coils = (shape[0], *(shape[1:-2] or (1,)))
            found = find_numbers(file, "s_maps", path, "c", 4).shape
            _check_shape(path, "s_maps", found, ((*coils, *image), (*coils, rows, image[1])))
        for key in _REFERENCES:
            if key in file:
                found = find_numbers(file, key, path, "f", 3).shape
                _check_shape(path, key, found, ((shape[0], *found[1:]),))
        facts = {} if header is None else header.facts
        facts |= {name: _plain(value) for name, value in file.attrs.items()}

    def read(index: int) -> RawSlice:
        return _read_slice(path, index, rows, None if places is None else places[index], facts)

    return RawFile(path, shape[0], read)


def _read_slice(path: Path, index: int, rows: int, geometry: Geometry | None, facts: dict[str, Any]) -> RawSlice:
    with open_hdf5(path, _WHAT) as file:
        kspace = to_native(file["kspace"][index])
        kspace = kspace[None] if kspace.ndim == 2 else kspace
        pattern = (kspace != 0).any(0)
        mask, notes = pattern.any(0), []
        if "mask" in file:
            mask = mask & torch.from_numpy(file["mask"][()] == 1)
        else:
            mask = mask if bool((pattern == mask).all()) else pattern
            if mask.ndim == 2 and rows != len(mask):
                raise _no_crop(f"{path}, slice {index}: without `mask`, zeros of k-space leave out parts of it", rows)
            if zeros := int((~mask).sum()):
                what = "columns" if mask.ndim == 1 else "frequencies"
                notes = [f"without `mask`, {zeros} of {mask.numel()} {what}, zero in all coils, count as not measured"]
        maps = to_native(file["s_maps"][index]) if "s_maps" in file else None
        key = next((key for key in _REFERENCES if key in file), None)
        reference = None if key is None else to_native(file[key][index])
    kspace = torch.where(mask, kspace, 0)
    return RawSlice(
        source=f"{path}, slice {index}",
        kspace=crop_oversampling(kspace, rows),
        mask=mask,
        maps=maps if maps is None else crop_readout(maps, rows),
        reference=reference,
        geometry=geometry,
        facts=facts | {"slice": index},
        notes=notes,
    )


def _no_crop(what: str, rows: int) -> FileFormatError:
    return FileFormatError(
        f"{what}, so that the oversampling of the readout cannot be removed; crop the image to {rows} rows before the "
        f"mask is applied, or remove `{_HEADER}`"
    )


@checked
def write_fastmri(
    path: str | Path,
    mean: Real,
    std: Real | None = None,
    draws: Real | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Write reconstructions as fastMRI's evaluation reads them, magnitudes under the key `reconstruction`.

    Args:
        path: The file, which for that evaluation has the name of the file of raw data.
        mean: (N, H, W), real.
        std: (N, H, W), real, under the key `std`, which the evaluation passes over.
        draws: (S, N, H, W), real, under the key `draws`, likewise.
        attributes: Numbers, texts, and lists of either, which become attributes of the file.

    Raises:
        ShapeError, InvalidValueError, NotFiniteError: Arrays are of other shapes, complex, or not finite.
        FileWriteError: The file cannot be written.
        IncompatibleError: h5py is not installed.
    """
    check_estimates(mean, std, draws)
    arrays = {"reconstruction": mean, "std": std, "draws": draws}
    h5py = require("h5py", "mri")
    with atomic_write(path) as stream, h5py.File(stream, "w") as file:
        for key, values in arrays.items():
            if values is not None:
                file[key] = values.detach().cpu().float().numpy()
        file.attrs.update(attributes or {})


@checked
def write_kspace(
    path: str | Path,
    kspace: Values,
    mask: Values,
    reference: Real | None = None,
    attributes: Mapping[str, Any] | None = None,
    geometry: Sequence[Geometry] | None = None,
) -> None:
    """Write k-space with the keys of fastMRI, as `read_fastmri` reads it.

    Args:
        path: The file.
        kspace: (N, C, H, W), complex, zero where nothing was measured.
        mask: True where something was, (H, W); of whole columns it is written as (W,).
        reference: True magnitudes (N, H, W), under the key `reconstruction_esc`.
        attributes: Numbers, texts, and lists of either, which become attributes of the file.
        geometry: Of each slice, in a group `geometry` that fastMRI does not have.

    Raises:
        ShapeError: k-space or mask have other shapes, or there are geometries of more or fewer slices.
        InvalidValueError: k-space is not complex, or reference not real.
        NotFiniteError: NaN or infinity.
        FileWriteError: The file cannot be written.
        IncompatibleError: h5py is not installed.
    """
    if kspace.ndim != 4 or not kspace.numel() or mask.shape != kspace.shape[-2:]:
        raise ShapeError(
            f"k-space is (N, C, H, W) and its mask (H, W); got {tuple(kspace.shape)} and {tuple(mask.shape)}"
        )
    if geometry is not None and len(geometry) != len(kspace):
        raise ShapeError(f"there are {len(geometry)} geometries, and {len(kspace)} slices of k-space")
    if not kspace.is_complex():
        raise InvalidValueError(f"k-space is complex; got {kspace.dtype}")
    for index, one in enumerate(kspace):  # a slice at a time, here and below, for all of them may be on the disk
        check_finite(f"k-space, slice {index}", one, "repair it")
    arrays = {"mask": (mask != 0).to(torch.uint8)}
    if bool((arrays["mask"] == arrays["mask"][0]).all()):
        arrays["mask"] = arrays["mask"][0]
    if reference is not None:
        check_magnitudes("reference", reference, (len(kspace), *kspace.shape[2:]))
        arrays["reconstruction_esc"] = reference.float()
    h5py = require("h5py", "mri")
    with atomic_write(path) as stream, h5py.File(stream, "w") as file:
        dataset = file.create_dataset("kspace", tuple(kspace.shape), np.complex64)
        for index, one in enumerate(kspace):
            dataset[index] = one.detach().cpu().to(torch.complex64).resolve_conj().numpy()
        for key, values in arrays.items():
            file[key] = values.detach().cpu().numpy()
        if geometry is not None:
            write_places(file, geometry)
        file.attrs.update(attributes or {})


def _check_shape(path: Path, key: str, found: Shape, allowed: tuple[Shape, ...], other: str = "`kspace`") -> None:
    if found not in allowed:
        expected = " or ".join(map(str, dict.fromkeys(allowed)))
        raise FileFormatError(f"{path}: `{key}` is of shape {found}, which does not fit {other}; expected {expected}")


def _plain(value: Any) -> Any:
    """An attribute as a value of Python."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value
