"""The XML header of ISMRMRD, which fastMRI files have too: matrices, fields of view and what was measured."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

from posterior.data.geometry import Vector
from posterior.errors import FileFormatError
from posterior.io.extras import require


@dataclass(frozen=True)
class Limits:
    """Numbers that a counter of acquisitions takes: the first and last one, and that of the centre of k-space."""

    first: int
    last: int
    centre: int


@dataclass(frozen=True)
class MRIHeader:
    """What a header says.

    Attributes:
        matrix: Samples of k-space along the readout and both phase encodings, oversampling included.
        spacing: From one slice, row (along the readout) and column (along the phase encoding) to the next, in mm.
        oversampling: Field of view that is encoded along the readout over that of the image, at least 1.
        trajectory: Such as "cartesian".
        lines: Limits of the phase encoding's counter, if stated.
        slices: Limits of the counter of slices, if stated.
        acceleration: Of the phase encoding, if stated.
        embedded: Whether lines for calibration belong to the image's k-space.
        noise_bandwidth: Of the receiver, relative to that of white noise.
        facts: Vendor, field strength, protocol and times of the sequence, as far as they are stated.
    """

    matrix: tuple[int, int, int]
    spacing: Vector
    oversampling: float
    trajectory: str
    lines: Limits | None
    slices: Limits | None
    acceleration: int | None
    embedded: bool
    noise_bandwidth: float
    facts: dict[str, Any]

    @property
    def rows(self) -> int:
        """Rows of the image, without oversampling."""
        return round(self.matrix[0] / self.oversampling)


def read_mri_header(text: Any, source: str) -> MRIHeader:
    """The header in a text of XML, that of its first encoding.

    Args:
        text: Bytes or text.
        source: The file and the key that it is from, for messages.

    Raises:
        FileFormatError: It is not such a header, or something in it is missing or makes no sense; or several
            slices were excited at once.
        IncompatibleError: The package ismrmrd is not installed.
    """
    xsd = require("ismrmrd.xsd", "mri")
    if not isinstance(text, str | bytes):
        raise FileFormatError(f"{source} holds a {type(text).__name__}, not the text of an ISMRMRD header")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of text in the place of numbers: those that count are checked below
            document = xsd.CreateFromDocument(text)
    except Exception as error:  # of the parser of XML, of its binding to classes, and of classes that lack a field
        reason = " ".join(str(error).split()) or type(error).__name__
        raise FileFormatError(f"{source} is no ISMRMRD header: {reason}") from error
    if not document.encoding:
        raise FileFormatError(f"{source} has no `encoding`, which says how large the image is")
    return _header(document, source)


def _header(document: Any, source: str) -> MRIHeader:
    encoding = document.encoding[0]
    encoded, image = encoding.encodedSpace, encoding.reconSpace
    matrix = (encoded.matrixSize.x, encoded.matrixSize.y, encoded.matrixSize.z)
    fields = (encoded.fieldOfView_mm.x, encoded.fieldOfView_mm.y, encoded.fieldOfView_mm.z)
    lengths = (*fields, image.fieldOfView_mm.x)
    parallel, limits, system = encoding.parallelImaging, encoding.encodingLimits, document.acquisitionSystemInformation
    bandwidth = (system and system.relativeReceiverNoiseBandwidth) or 1.0
    acceleration = parallel and parallel.accelerationFactor.kspace_encoding_step_1
    _check_numbers(source, *matrix, *lengths, bandwidth, acceleration or 1)
    sensible = all(0 < value < math.inf for value in (*lengths, bandwidth))
    if min(matrix) < 1 or not sensible or lengths[0] > matrix[0] * lengths[3]:
        raise FileFormatError(
            f"{source} makes no sense: the matrix {matrix}, its fields of view {fields} mm, the image's along the "
            f"readout {lengths[3]} mm, and the receiver's bandwidth {bandwidth}"
        )
    multiband = (parallel and parallel.multiband and parallel.multiband.multiband_factor) or 1
    _check_numbers(source, multiband)
    if multiband > 1:
        raise FileFormatError(
            f"{source}: {multiband} slices were excited at once (multiband), whose sum the coils measure; they are not "
            "told apart here: separate them first, and write them as slices of their own"
        )
    mode = parallel and parallel.calibrationMode and getattr(parallel.calibrationMode, "value", "other")
    facts = {
        "vendor": system and system.systemVendor,
        "model": system and system.systemModel,
        "field_strength_tesla": system and system.systemFieldStrength_T,
        "protocol": document.measurementInformation and document.measurementInformation.protocolName,
    }
    for name in ("TR", "TE", "TI"):
        facts[f"{name}_ms"] = document.sequenceParameters and list(getattr(document.sequenceParameters, name))
    return MRIHeader(
        matrix=matrix,
        spacing=(fields[2] / matrix[2], fields[0] / matrix[0], fields[1] / matrix[1]),
        oversampling=max(1.0, fields[0] / image.fieldOfView_mm.x),
        trajectory=getattr(encoding.trajectory, "value", str(encoding.trajectory)),
        lines=_limits(limits.kspace_encoding_step_1, "kspace_encoding_step_1", source),
        slices=_limits(limits.slice, "slice", source),
        acceleration=acceleration,
        embedded=mode in (None, "embedded"),
        noise_bandwidth=bandwidth,
        facts={name: value for name, value in facts.items() if value},
    )


def _limits(limits: Any, name: str, source: str) -> Limits | None:
    if limits is None:
        return None
    _check_numbers(source, limits.minimum, limits.maximum, limits.center)
    if not 0 <= limits.minimum <= limits.maximum < 2**16:  # counters have sixteen bits
        raise FileFormatError(f"{source}: `{name}` runs from {limits.minimum} to {limits.maximum}")
    return Limits(limits.minimum, limits.maximum, limits.center)


def _check_numbers(source: str, *values: Any) -> None:
    for value in values:
        if not isinstance(value, int | float):
            raise FileFormatError(f"{source} has {value!r} in the place of a number")
