"""Raw data in the vendors' common format, ISMRMRD."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.data.geometry import Geometry
from posterior.data.hdf5 import find_dataset, open_hdf5
from posterior.data.kspace import RawFile, RawSlice, crop_oversampling
from posterior.data.mri_header import MRIHeader, read_mri_header
from posterior.errors import FileFormatError, InvalidValueError
from posterior.io.extras import require

_WHAT = "ISMRMRD raw data"
_COUNTERS = ("repetition", "set", "phase", "contrast", "slice")  # an image for each; slices follow each other
_LEFT_OUT = {
    "navigator": "ACQ_IS_NAVIGATION_DATA",
    "phase correction": "ACQ_IS_PHASECORR_DATA",
    "feedback": "ACQ_IS_HPFEEDBACK_DATA",
    "real-time feedback": "ACQ_IS_RTFEEDBACK_DATA",
    "dummy scan": "ACQ_IS_DUMMYSCAN_DATA",
    "surface coil correction": "ACQ_IS_SURFACECOILCORRECTIONSCAN_DATA",
    "phase stabilisation reference": "ACQ_IS_PHASE_STABILIZATION_REFERENCE",
    "phase stabilisation": "ACQ_IS_PHASE_STABILIZATION",
}  # acquisitions that are no part of an image


@dataclass(frozen=True)
class _Scan:
    """What is known of a file once the headers of its acquisitions are read.

    Attributes:
        heads: Those of all acquisitions.
        images: Numbers of the acquisitions of each image.
        noise: Numbers of those of noise.
    """

    path: Path
    group: str
    header: MRIHeader
    heads: NDArray[np.void]
    images: dict[tuple[int, ...], list[int]]
    noise: list[int]
    left_out: dict[str, int]

    def name(self, number: int) -> str:
        """What an acquisition is called in messages."""
        return f"{self.path}: acquisition {number} of {len(self.heads)} in `{self.group}/data`"


def read_ismrmrd(path: str | Path) -> RawFile:
    """The images of an ISMRMRD file of two-dimensional Cartesian scans, read one at a time.

    There is one for each slice, contrast, phase, set and repetition. Lines go where their counters and the centre of
    their samples say; those that are not there, as in partial Fourier sampling, are not measured. Averages of a line
    are averaged. Oversampling along the readout is removed, unless parts of the readout were not measured (a partial
    echo), for then it cannot be. Noise scans are scaled to the bandwidth of the image, if dwell times are stated, and
    to the number of averages. Calibration lines belong to the image where the header says "embedded" or nothing;
    facts count the acquisitions that are left out.

    Raises:
        FileFormatError: The file is corrupt, cut off or half written; the message says which acquisition is missing.
            Or it is of another kind: non-Cartesian, three-dimensional, of lines that are read out backwards.
        IncompatibleError: h5py or ismrmrd is not installed.

    References:
        Inati et al. 2017, ISMRM raw data format: a proposed standard for MRI raw datasets.
    """
    path = Path(path)
    with open_hdf5(path, _WHAT) as file:
        group = _find_group(file, path)
        header = read_mri_header(find_dataset(file, f"{group}/xml", path)[0], f"{path}: `{group}/xml`")
        data = find_dataset(file, f"{group}/data", path)
        if not {"head", "data"} <= set(data.dtype.names or ()) or "idx" not in (data.dtype["head"].names or ()):
            raise FileFormatError(f"{path}: `{group}/data` holds {data.dtype}, which are no acquisitions")
        heads = data["head"]
    if header.trajectory != "cartesian":
        raise FileFormatError(f"{path} holds a {header.trajectory} scan; only Cartesian ones are read")
    if header.matrix[2] != 1:
        raise FileFormatError(
            f"{path} holds a three-dimensional scan, of {header.matrix[2]} partitions; transform it along the readout "
            "and write its planes as slices"
        )
    scan = _sorted(path, group, header, heads)
    _check_whole(scan)
    keys = sorted(scan.images)
    return RawFile(path, len(keys), lambda index: _read_image(scan, keys[index]))


def _find_group(file: Any, path: Path) -> str:
    groups = [name for name, part in file.items() if "xml" in part and "data" in part] if len(file) else []
    if "dataset" in file or len(groups) != 1:
        if "dataset" not in file:
            raise FileFormatError(f"{path} has {len(groups)} groups with `xml` and `data`; expected one, `dataset`")
        return "dataset"
    return groups[0]


def _flagged(heads: NDArray[np.void], flag: str) -> NDArray[np.bool_]:
    bit = getattr(require("ismrmrd", "mri"), flag) - 1
    found: NDArray[np.bool_] = (heads["flags"] >> np.uint64(bit)) & np.uint64(1) == 1
    return found


def _sorted(path: Path, group: str, header: MRIHeader, heads: NDArray[np.void]) -> _Scan:
    """Acquisitions by what they are part of."""
    noise = _flagged(heads, "ACQ_IS_NOISE_MEASUREMENT")
    rest = ~noise
    left_out = {}
    kinds = {kind: _flagged(heads, flag) for kind, flag in _LEFT_OUT.items()}
    if not header.embedded:
        kinds["calibration"] = _flagged(heads, "ACQ_IS_PARALLEL_CALIBRATION")
    for kind, found in kinds.items():
        if (found & rest).any():
            left_out[kind] = int((found & rest).sum())
        rest = rest & ~found
    images: dict[tuple[int, ...], list[int]] = {}
    for number in np.flatnonzero(rest).tolist():
        images.setdefault(tuple(int(heads["idx"][counter][number]) for counter in _COUNTERS), []).append(number)
    scan = _Scan(path, group, header, heads, images, np.flatnonzero(noise).tolist(), left_out)
    if not images:
        raise FileFormatError(f"{path} has no acquisition of an image, among {len(heads)} in `{group}/data`")
    backwards = _flagged(heads, "ACQ_IS_REVERSE") & rest
    for number in np.flatnonzero(rest).tolist():
        if heads["number_of_samples"][number] == 0:
            raise FileFormatError(f"{scan.name(number)} was never written: it has no samples")
        if backwards[number]:
            raise FileFormatError(f"{scan.name(number)} was read out backwards, which is not undone here")
        if heads["encoding_space_ref"][number] or heads["idx"]["kspace_encode_step_2"][number]:
            raise FileFormatError(f"{scan.name(number)} belongs to a second encoding or partition; write it apart")
    return scan


def _check_whole(scan: _Scan) -> None:
    """Check that there is an acquisition of all that the file's header and the flags of other acquisitions announce."""
    limits, found = scan.header.slices, {key[-1] for key in scan.images}
    if limits is not None:
        announced = set(range(limits.first, limits.last + 1))
        for *others, slice_ in ((*key[:-1], number) for key in scan.images for number in announced):
            if (*others, slice_) not in scan.images:
                where = ", ".join(f"{c} {n}" for c, n in zip(_COUNTERS, (*others, slice_), strict=True) if n)
                raise FileFormatError(
                    f"{scan.path}: the acquisitions of {where or 'slice 0'} are missing, of {len(announced)} slices "
                    "that the header announces; the file is half written"
                )
    last = _flagged(scan.heads, "ACQ_LAST_IN_SLICE")
    ended = {key[-1] for key, numbers in scan.images.items() if last[numbers].any()}
    if ended and found - ended:
        raise FileFormatError(
            f"{scan.path}: the last acquisition of slice {min(found - ended)} is missing; the file is half written"
        )
    lines = scan.header.lines
    if scan.header.acceleration == 1 and lines is not None:
        for key, numbers in scan.images.items():
            measured = set(scan.heads["idx"]["kspace_encode_step_1"][numbers].tolist())
            if missing := sorted(set(range(lines.first, lines.last + 1)) - measured):
                raise FileFormatError(
                    f"{scan.path}: of slice {key[-1]} the acquisition of line {missing[0]} is missing, and "
                    f"{len(missing) - 1} more, though the scan is not accelerated; the file is half written"
                )


def _read_image(scan: _Scan, key: tuple[int, ...]) -> RawSlice:
    header, numbers = scan.header, scan.images[key]
    coils = int(scan.heads["active_channels"][numbers[0]])
    rows, columns = header.matrix[:2]
    kspace = np.zeros((coils, rows, columns), np.complex64)
    count = np.zeros((rows, columns), np.int64)
    with open_hdf5(scan.path, _WHAT) as file:
        data = file[f"{scan.group}/data"]
        for number in numbers:
            samples, column = _samples(scan, data, number, coils), _column(scan, number)
            start, kept = _place(scan, number)
            kspace[:, start : start + samples[:, kept].shape[1], column] += samples[:, kept]
            count[start : start + samples[:, kept].shape[1], column] += 1
        noise = [_samples(scan, data, number, coils) for number in scan.noise]
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
    facts = header.facts | dict(zip(_COUNTERS, key, strict=True)) | {"averages": averages}
    if not whole_columns and header.oversampling > 1:
        facts["readout_oversampling"] = header.oversampling
    if scan.left_out:
        facts["left_out"] = scan.left_out
    return RawSlice(
        source=f"{scan.path}, {', '.join(f'{c} {n}' for c, n in zip(_COUNTERS, key, strict=True) if n or c == 'slice')}",
        kspace=values * mask,
        mask=mask,
        noise=_scaled_noise(scan, noise, numbers[0], averages) if noise else None,
        geometry=_geometry(scan, numbers[0], values.shape[-2]),
        facts=facts,
    )


def _samples(scan: _Scan, data: Any, number: int, coils: int) -> NDArray[np.complex64]:
    """All samples of an acquisition, (coils, samples)."""
    head, values = scan.heads[number], data[number]["data"]
    shape = (int(head["active_channels"]), int(head["number_of_samples"]))
    if values.size != 2 * shape[0] * shape[1]:
        raise FileFormatError(
            f"{scan.name(number)} has {values.size} numbers; its header says 2 × {shape[0]} coils × {shape[1]} samples"
        )
    if shape[0] != coils:
        raise FileFormatError(f"{scan.name(number)} has {shape[0]} coils, and others have {coils}")
    samples: NDArray[np.complex64] = values.astype(np.float32).view(np.complex64).reshape(shape)
    if not np.isfinite(samples).all():
        raise FileFormatError(f"{scan.name(number)} holds NaN or infinity")
    return samples


def _column(scan: _Scan, number: int) -> int:
    columns, step = scan.header.matrix[1], int(scan.heads["idx"]["kspace_encode_step_1"][number])
    centre = columns // 2 if scan.header.lines is None else scan.header.lines.centre
    column = step - centre + columns // 2
    if not 0 <= column < columns:
        raise FileFormatError(
            f"{scan.name(number)} is line {step}, outside the {columns} lines about the centre, line {centre}"
        )
    return column


def _place(scan: _Scan, number: int) -> tuple[int, slice]:
    """Row of the first sample that is kept, and which are."""
    head, rows = scan.heads[number], scan.header.matrix[0]
    first, end = int(head["discard_pre"]), int(head["number_of_samples"]) - int(head["discard_post"])
    start = rows // 2 - int(head["center_sample"]) + first
    if not (0 <= start and first < end and start + end - first <= rows):
        raise FileFormatError(
            f"{scan.name(number)} keeps samples {first} to {end - 1} about sample {head['center_sample']}, which do "
            f"not fit the {rows} samples of k-space"
        )
    return start, slice(first, end)


def _scaled_noise(scan: _Scan, noise: list[NDArray[np.complex64]], number: int, averages: int) -> Tensor:
    """Noise as strong as it is in the image: its variance goes with the bandwidth, which is 1 over the dwell time."""
    image_time = float(scan.heads["sample_time_us"][number])
    scaled = []
    for samples, noise_number in zip(noise, scan.noise, strict=True):
        time = float(scan.heads["sample_time_us"][noise_number])
        ratio = time / image_time / scan.header.noise_bandwidth if time > 0 and image_time > 0 else 1.0
        scaled.append(samples * np.float32(np.sqrt(ratio / averages)))
    return torch.from_numpy(np.concatenate(scaled, axis=1))


def _geometry(scan: _Scan, number: int, rows: int) -> Geometry:
    """Place of the image whose middle pixel is at the position of its acquisitions."""
    head, spacing, columns = scan.heads[number], scan.header.spacing, scan.header.matrix[1]
    axes = np.array([head["slice_dir"], head["read_dir"], head["phase_dir"]], float)
    if not axes.any():
        return Geometry(spacing)
    middle = np.array(head["position"], float)
    origin = middle - rows // 2 * spacing[1] * axes[1] - columns // 2 * spacing[2] * axes[2]
    try:
        return Geometry(spacing, tuple(origin.tolist()), tuple(tuple(axis) for axis in axes.tolist()))
    except InvalidValueError as error:
        raise FileFormatError(f"{scan.name(number)} says no place: {error}") from error
