"""Raw data in the vendors' common format, ISMRMRD."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.checks import checked
from posterior.data.acquisition_checks import check_scan
from posterior.data.acquisitions import COUNTERS, WHAT, Scan, image_name, read_scan
from posterior.data.geometry import Geometry
from posterior.data.hdf5 import open_hdf5
from posterior.data.kspace import RawFile, RawSlice, crop_oversampling
from posterior.data.slice_order import Key, ordered
from posterior.errors import FileFormatError, InvalidValueError

Noise = list[NDArray[np.complex64]]  # of each noise scan, (coils, samples)


@checked
def read_ismrmrd(path: str | Path) -> RawFile:
    """The images of an ISMRMRD file of two-dimensional Cartesian scans, read one at a time.

    There is one for each slice, contrast, phase, set and repetition: volume after volume, `RawFile.volumes`. Slices
    whose numbers do not follow their positions are in the order of these, and notes say so. Lines go where their
    counters and the centre of their samples say; those that are not there, as in partial Fourier sampling, are not
    measured. Averages of a line (`idx.average`) are averaged, and notes say so. Oversampling along the readout is
    removed, unless parts of the readout were not measured (a partial echo), for then it cannot be. Noise scans are
    scaled to the bandwidth of the image, if dwell times are stated, and to the number of averages. Calibration lines
    belong to the image where the header says "embedded" or nothing, and else are apart, for coil maps. Facts count the
    acquisitions that are left out.

    Raises:
        FileFormatError: The file is corrupt, cut off or half written; the message says which acquisition is missing.
            Or it is of another kind: non-Cartesian, three-dimensional, of lines that are read out backwards. Or
            acquisitions with the counters of one image lie at different places, or measure a line of it twice.
        IncompatibleError: h5py or ismrmrd is not installed.

    References:
        Inati et al. 2017, ISMRM raw data format: a proposed standard for MRI raw datasets.
    """
    scan = read_scan(Path(path))
    check_scan(scan)
    keys, volumes, notes = ordered(scan)
    noise = cache(lambda coils: _read_noise(scan, coils))  # all slices have the same
    return RawFile(scan.path, len(keys), lambda index: _read_image(scan, keys[index], noise, notes), volumes)


def _read_noise(scan: Scan, coils: int) -> Noise:
    with open_hdf5(scan.path, WHAT) as file:
        return [scan.samples(file[f"{scan.group}/data"], number, coils) for number in scan.noise]


def _read_image(scan: Scan, key: Key, noise_of: Callable[[int], Noise], notes: Sequence[str]) -> RawSlice:
    header, numbers = scan.header, scan.images[key]
    coils = int(scan.heads["active_channels"][numbers[0]])
    kspace, count = _filled(scan, numbers, coils)
    noise = noise_of(coils)
    measured = count > 0
    averages = int(count.max())
    if (count[measured] != averages).any():
        raise FileFormatError(
            f"{scan.path}: some lines of slice {key[-1]} were measured {count[measured].min()} times and others "
            f"{averages} times, so that their noise differs; average them when the file is converted"
        )
    values, mask = torch.from_numpy(kspace / averages), torch.from_numpy(measured)
    whole_columns = bool((mask == mask.any(0)).all())
    if whole_columns:
        values, mask = crop_oversampling(values, header.rows), mask.any(0)
    calibration, left_out = _read_calibration(scan, key, coils, values.shape[-2])
    notes = [*notes, *([f"{averages} averages of each line were averaged"] if averages > 1 else []), *left_out]
    facts = header.facts | dict(zip(COUNTERS, key, strict=True)) | {"averages": averages}
    if not whole_columns and header.oversampling > 1:
        facts["readout_oversampling"] = header.oversampling
    if scan.left_out:
        facts["left_out"] = scan.left_out
    return RawSlice(
        source=f"{scan.path}, {image_name(key)}",
        kspace=values,
        mask=mask,
        noise=_scaled_noise(scan, noise, numbers[0], averages) if noise else None,
        geometry=_geometry(scan, numbers[0], values.shape[-2]),
        calibration=calibration,
        facts=facts,
        notes=notes,
    )


def _filled(scan: Scan, numbers: Sequence[int], coils: int) -> tuple[NDArray[np.complex64], NDArray[np.int64]]:
    """The sum of acquisitions where they lie in k-space, (coils, rows, columns), and how many there are."""
    rows, columns = scan.header.matrix[:2]
    with open_hdf5(scan.path, WHAT) as file:
        data = file[f"{scan.group}/data"]
        lines = [scan.samples(data, number, coils) for number in numbers]
    kspace = np.zeros((coils, rows, columns), np.complex64)  # of as many coils as were read
    count = np.zeros((rows, columns), np.int64)
    for number, line in zip(numbers, lines, strict=True):
        (filled, kept), column = scan.rows(number), scan.column(number)
        kspace[:, filled, column] += line[:, kept]
        count[filled, column] += 1
    return kspace, count


def _read_calibration(scan: Scan, key: Key, coils: int, rows: int) -> tuple[Tensor | None, list[str]]:
    """k-space of calibration lines that were measured apart from an image of so many rows, and notes on unused ones."""
    notes, unused = [], scan.left_out.get("calibration", 0)
    if unused:
        notes.append(
            f"{unused} separate calibration lines were left out: they are of a second encoding, or read out backwards"
        )
    if not (found := scan.calibration_of(key)):
        return None, notes
    kspace, count = _filled(scan, found, coils)
    measured = count > 0
    if rows != len(measured) and (measured != measured.any(0)).any():
        notes.append(
            f"{len(found)} separate calibration lines were left out: they are shorter than the image's, so that the "
            "oversampling of the readout cannot be removed"
        )
        return None, notes
    return crop_oversampling(torch.from_numpy(kspace / np.maximum(count, 1)).to(torch.complex64), rows), notes


def _scaled_noise(scan: Scan, noise: Noise, number: int, averages: int) -> Tensor:
    """Noise as strong as it is in the image: its variance goes with the bandwidth, which is 1 over the dwell time."""
    image_time = float(scan.heads["sample_time_us"][number])
    scaled = []
    for samples, noise_number in zip(noise, scan.noise, strict=True):
        time = float(scan.heads["sample_time_us"][noise_number])
        ratio = time / image_time / scan.header.noise_bandwidth if time > 0 and image_time > 0 else 1.0
        scaled.append(samples * np.float32(np.sqrt(ratio / averages)))
    return torch.from_numpy(np.concatenate(scaled, axis=1))


def _geometry(scan: Scan, number: int, rows: int) -> Geometry:
    """Place of the image whose middle pixel is at the position of its acquisitions."""
    head, spacing, columns = scan.heads[number], scan.header.spacing, scan.header.matrix[1]
    axes = np.array([head["slice_dir"], head["read_dir"], head["phase_dir"]], float)
    if not axes.any():
        return Geometry(spacing, thickness=spacing[0])
    middle = np.array(head["position"], float)
    origin = middle - rows // 2 * spacing[1] * axes[1] - columns // 2 * spacing[2] * axes[2]
    try:
        return Geometry.placed(spacing, origin, axes, spacing[0])
    except InvalidValueError as error:
        raise FileFormatError(f"{scan.name(number)} says no place: {error}") from error
