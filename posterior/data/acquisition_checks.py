"""Whether the acquisitions of an ISMRMRD file are all there, and each image's of one slice."""

from __future__ import annotations

from itertools import product

import numpy as np

from posterior.data.acquisitions import Scan, flagged, image_name
from posterior.errors import FileFormatError

_LARGEST = 64  # frequencies of a matrix for each that was measured
_TOLERANCE = 1e-2  # of a slice's thickness or a unit vector: scanners write positions to a hundredth of a millimetre


def check_scan(scan: Scan) -> None:
    """Check that nothing is missing, and that what one image is made of belongs together.

    Raises:
        FileFormatError: As for `read_ismrmrd`.
    """
    _check_whole(scan)
    for key in scan.images:
        _check_place(scan, key)
        _check_repeated(scan, key)


def _check_place(scan: Scan, key: tuple[int, ...]) -> None:
    """Check that all acquisitions of an image, and those for its coil maps, lie where the first does."""
    heads = scan.heads[numbers := [*scan.images[key], *scan.calibration_of(key)]]
    apart = np.linalg.norm(heads["position"].astype(float) - heads["position"][0], axis=1)
    turned = sum(np.abs(heads[name] - heads[name][0]).max(axis=1) for name in ("read_dir", "phase_dir", "slice_dir"))
    for found, words in (
        (~(apart <= _TOLERANCE * scan.header.spacing[0]), f"lie {apart.max():.3g} mm apart"),
        (~(turned <= _TOLERANCE), "are turned against each other"),
    ):
        if found.any():
            other = numbers[int(found.argmax())]
            raise FileFormatError(
                f"{scan.path}: acquisitions {numbers[0]} and {other} are both of {image_name(key)}, and {words}; give "
                "slices at different places numbers of their own (`idx.slice`) when the file is converted"
            )


def _check_repeated(scan: Scan, key: tuple[int, ...]) -> None:
    """Check that lines that were measured more than once are averages: nothing else is averaged."""
    seen: dict[tuple[int, int], int] = {}
    for number in scan.images[key]:
        counters = scan.heads["idx"][number]
        line, average = int(counters["kspace_encode_step_1"]), int(counters["average"])
        if (first := seen.setdefault((line, average), number)) != number:
            segments = sorted({int(scan.heads["idx"]["segment"][n]) for n in (first, number)})
            raise FileFormatError(
                f"{scan.path}: acquisitions {first} and {number} are both line {line} of {image_name(key)}, in average "
                f"{average} (segment {' and '.join(map(str, segments))}); number averages (`idx.average`), slices or "
                "whatever else they are when the file is converted"
            )


def _check_whole(scan: Scan) -> None:
    """Check that there is an acquisition of all that the file's header and the flags of other acquisitions announce.

    Once it is, k-space is no larger than `_LARGEST` times what was measured of it: headers allocate no memory.
    """
    found = {key[-1] for key in scan.images}
    if scan.header.slices is not None:
        announced = range(scan.header.slices.first, scan.header.slices.last + 1)
        for others, number in product(dict.fromkeys(image[:-1] for image in scan.images), announced):
            if (key := (*others, number)) not in scan.images:
                raise FileFormatError(
                    f"{scan.path}: the acquisitions of {image_name(key)} are missing, of {len(announced)} slices that "
                    "the header announces; the file is half written"
                )
    last = flagged(scan.heads, "ACQ_LAST_IN_SLICE")
    ended = {key[-1] for key, numbers in scan.images.items() if last[numbers].any()}
    if ended and found - ended:
        raise FileFormatError(
            f"{scan.path}: the last acquisition of slice {min(found - ended)} is missing; the file is half written"
        )
    lines = scan.header.lines
    if scan.header.acceleration == 1 and lines is not None:
        for key, numbers in scan.images.items():
            found_lines = set(scan.heads["idx"]["kspace_encode_step_1"][numbers].tolist())
            if missing := sorted(set(range(lines.first, lines.last + 1)) - found_lines):
                raise FileFormatError(
                    f"{scan.path}: of {image_name(key)} the acquisition of line {missing[0]} is missing, and "
                    f"{len(missing) - 1} more, though the scan is not accelerated; the file is half written"
                )
    rows, columns = scan.header.matrix[:2]
    for key, numbers in scan.images.items():
        measured = int(scan.heads["number_of_samples"][numbers].sum())
        if rows * columns > _LARGEST * measured:
            raise FileFormatError(
                f"{scan.path}: the matrix {rows} × {columns} of the header is more than {_LARGEST} times what was "
                f"measured of {image_name(key)}, {measured} samples"
            )
