"""The acquisitions of an ISMRMRD file, and what each is part of."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posterior.data.hdf5 import find_dataset, open_hdf5
from posterior.data.mri_header import MRIHeader, read_mri_header
from posterior.errors import FileFormatError
from posterior.io.extras import require

WHAT = "ISMRMRD raw data"
COUNTERS = ("repetition", "set", "phase", "contrast", "slice")  # an image for each; slices follow each other

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
class Scan:
    """What is known of a file once the headers of its acquisitions are read.

    Attributes:
        path, group: The file, and the group in it.
        header: That of the file.
        heads: Those of all acquisitions.
        images: Numbers of the acquisitions of each image, by its `COUNTERS`.
        calibration: Likewise, those of lines that were measured apart from the image, for its coil maps alone.
        noise: Numbers of those of noise alone.
        left_out: How many are part of none of these, by kind.
    """

    path: Path
    group: str
    header: MRIHeader
    heads: NDArray[np.void]
    images: dict[tuple[int, ...], list[int]]
    calibration: dict[tuple[int, ...], list[int]]
    noise: list[int]
    left_out: dict[str, int]

    def name(self, number: int) -> str:
        """What an acquisition is called in messages."""
        return f"{self.path}: acquisition {number} of {len(self.heads)} in `{self.group}/data`"

    def samples(self, data: Any, number: int, coils: int) -> NDArray[np.complex64]:
        """All samples of an acquisition, (coils, samples), of the file's `data`.

        Raises:
            FileFormatError: They are fewer or more than its header says, of another number of coils, or not finite.
        """
        head, values = self.heads[number], data[number]["data"]
        shape = (int(head["active_channels"]), int(head["number_of_samples"]))
        if values.size != 2 * shape[0] * shape[1]:
            raise FileFormatError(
                f"{self.name(number)} has {values.size} numbers; its header says 2 × {shape[0]} coils × {shape[1]} "
                "samples"
            )
        if shape[0] != coils:
            raise FileFormatError(f"{self.name(number)} has {shape[0]} coils, and others have {coils}")
        samples: NDArray[np.complex64] = values.astype(np.float32).view(np.complex64).reshape(shape)
        if not np.isfinite(samples).all():
            raise FileFormatError(f"{self.name(number)} holds NaN or infinity")
        return samples

    def calibration_of(self, key: tuple[int, ...]) -> list[int]:
        """Numbers of an image's calibration lines: those with its counters, or with its slice's if there are none.

        Several contrasts or repetitions may have one calibration.
        """
        return self.calibration.get(key) or next((n for k, n in self.calibration.items() if k[-1] == key[-1]), [])

    def column(self, number: int) -> int:
        """The column of k-space that an acquisition fills.

        Raises:
            FileFormatError: It lies outside.
        """
        columns, step = self.header.matrix[1], int(self.heads["idx"]["kspace_encode_step_1"][number])
        centre = columns // 2 if self.header.lines is None else self.header.lines.centre
        column = step - centre + columns // 2
        if not 0 <= column < columns:
            raise FileFormatError(
                f"{self.name(number)} is line {step}, outside the {columns} lines about the centre, line {centre}"
            )
        return column

    def rows(self, number: int) -> tuple[slice, slice]:
        """The rows of k-space that an acquisition fills, and those of its samples that do.

        Raises:
            FileFormatError: They lie outside.
        """
        head, rows = self.heads[number], self.header.matrix[0]
        first, end = int(head["discard_pre"]), int(head["number_of_samples"]) - int(head["discard_post"])
        start = rows // 2 - int(head["center_sample"]) + first
        if start < 0 or end <= first or start + end - first > rows:
            raise FileFormatError(
                f"{self.name(number)} keeps samples {first} to {end - 1} about sample {head['center_sample']}, which "
                f"do not fit the {rows} samples of k-space"
            )
        return slice(start, start + end - first), slice(first, end)


def read_scan(path: Path) -> Scan:
    """The headers in a file, sorted.

    Raises:
        FileFormatError: As for `read_ismrmrd`.
        IncompatibleError: h5py or ismrmrd is not installed.
    """
    with open_hdf5(path, WHAT) as file:
        group = _find_group(file, path)
        header = read_mri_header(find_dataset(file, f"{group}/xml", path)[0], f"{path}: `{group}/xml`")
        data = find_dataset(file, f"{group}/data", path)
        _check_type(data.dtype, require("ismrmrd.hdf5", "mri").acquisition_dtype, f"{path}: `{group}/data`")
        heads = data["head"]
    if header.trajectory != "cartesian":
        raise FileFormatError(f"{path} holds a {header.trajectory} scan; only Cartesian ones are read")
    if header.matrix[2] != 1:
        raise FileFormatError(
            f"{path} holds a three-dimensional scan, of {header.matrix[2]} partitions; transform it along the readout "
            "and write its planes as slices"
        )
    return _sorted(path, group, header, heads)


def _check_type(found: np.dtype[Any], expected: np.dtype[Any], what: str) -> None:
    """Check that a table of acquisitions has all columns of the format, of its kinds of numbers."""
    for name in expected.names or ():
        if name not in (found.names or ()):
            raise FileFormatError(f"{what} has no column `{name}`: it holds no acquisitions, or of another version")
        one, other = found[name], expected[name]
        if (one.base.kind, one.shape) != (other.base.kind, other.shape):
            raise FileFormatError(f"{what}, column `{name}`, holds {one} instead of {other}")
        _check_type(one, other, what)


def image_name(key: tuple[int, ...]) -> str:
    """What an image is called, by its slice and those other counters that are not zero."""
    return ", ".join(f"{c} {n}" for c, n in zip(COUNTERS, key, strict=True) if n or c == "slice")


def _find_group(file: Any, path: Path) -> str:
    """The group of acquisitions, which is called `dataset` but where somebody chose another name."""
    if "dataset" in file:
        return "dataset"
    groups = [name for name, part in file.items() if hasattr(part, "keys") and {"xml", "data"} <= set(part)]
    if len(groups) != 1:
        raise FileFormatError(
            f"{path} has no group `dataset`; with `xml` and `data` it has {', '.join(groups) or 'none'}"
        )
    return str(groups[0])


def flagged(heads: NDArray[np.void], flag: str) -> NDArray[np.bool_]:
    """Which acquisitions have a flag."""
    bit = getattr(require("ismrmrd", "mri"), flag) - 1
    found: NDArray[np.bool_] = (heads["flags"] >> np.uint64(bit)) & np.uint64(1) == 1
    return found


def _sorted(path: Path, group: str, header: MRIHeader, heads: NDArray[np.void]) -> Scan:
    """Acquisitions by what they are part of."""
    noise = flagged(heads, "ACQ_IS_NOISE_MEASUREMENT")
    rest = ~noise
    left_out = {}
    kinds = {kind: flagged(heads, flag) for kind, flag in _LEFT_OUT.items()}
    second = (heads["encoding_space_ref"] > 0) | (heads["idx"]["kspace_encode_step_2"] > 0)
    backwards, empty = flagged(heads, "ACQ_IS_REVERSE"), heads["number_of_samples"] == 0
    apart = flagged(heads, "ACQ_IS_PARALLEL_CALIBRATION") & (not header.embedded)
    kinds["calibration"] = apart & (second | backwards | empty)
    for kind, found in kinds.items():
        if (found & rest).any():
            left_out[kind] = int((found & rest).sum())
        rest = rest & ~found
    images, calibration = _by_counters(heads, rest & ~apart), _by_counters(heads, rest & apart)
    scan = Scan(path, group, header, heads, images, calibration, np.flatnonzero(noise).tolist(), left_out)
    rest = rest & ~apart
    if not images:
        raise FileFormatError(f"{path} has no acquisition of an image, among {len(heads)} in `{group}/data`")
    for reason, found in (
        ("was never written: it has no samples", empty),
        ("was read out backwards, which is not undone here", backwards),
        ("belongs to a second encoding or partition; write it apart", second),
    ):
        if (found & rest).any():
            raise FileFormatError(f"{scan.name(int(np.flatnonzero(found & rest)[0]))} {reason}")
    return scan


def _by_counters(heads: NDArray[np.void], which: NDArray[np.bool_]) -> dict[tuple[int, ...], list[int]]:
    """Numbers of some acquisitions, by their `COUNTERS`."""
    found: dict[tuple[int, ...], list[int]] = {}
    counters = np.stack([heads["idx"][counter] for counter in COUNTERS], axis=1).tolist()
    for number in np.flatnonzero(which).tolist():
        found.setdefault(tuple(counters[number]), []).append(number)
    return found
