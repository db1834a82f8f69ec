"""A measurement as a picture: itself where it is an image, or else what its operator's adjoint makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from posterior.app.report.encoding import Array, encode, shrunk
from posterior.app.report.source import Source
from posterior.figures.panels import display_range, number


def measurement(source: Source, place: int, factor: int = 1) -> dict[str, Any] | None:
    """What a page shows of a measurement: "picture", "missing" where nothing was measured, "black" and "white", "note".

    Args:
        source: The results.
        place: Of the measurement.
        factor: By which images are shrunk; of a measurement of their size, every so many-th pixel is taken.

    Returns:
        None where it holds NaN, as one that could not be simulated does.
    """
    y = source.read("y", place)
    if y is None:
        return None
    if not _is_picture(y):
        return _by_adjoint(source, place, y, factor)
    planes = y.reshape(-1, *y.shape[-2:])
    step = factor if y.shape[-2:] == source.event_shape[-2:] else 1
    found = _picture(source, planes[:, ::step, ::step])
    measured = source.measured(place, y)
    if measured is not None and not measured.all():
        missing: Array = np.logical_not(measured.reshape(-1, *y.shape[-2:]).any(0))
        found["missing"] = encode(missing[None, None, ::step, ::step], 0, 1)
        found["note"] = f"{found['note']}; blue: not measured"
    return found


def _is_picture(y: Array) -> bool:
    planes = y.size // (y.shape[-2] * y.shape[-1]) if y.ndim >= 2 else 0
    return y.dtype.kind != "c" and planes in (1, 3) and min(y.shape[-2:]) > 1


def _by_adjoint(source: Source, place: int, y: Array, factor: int) -> dict[str, Any]:
    kind = f"{'complex ' if y.dtype.kind == 'c' else ''}values {' × '.join(map(str, y.shape))}"
    picture = source.adjoint(place, y)
    if picture is not None and np.isfinite(picture).all():
        found = _picture(source, shrunk(magnitude(picture), factor))
        return found | {"note": f"Aᵀy, the adjoint of {kind}; {found['note']}"}
    if isinstance(source.job, str):
        return {
            "note": f"{kind}, no picture. Its operator, whose adjoint would be shown, cannot be built: {source.job}"
        }
    return {"note": f"{kind}, no picture; its operator has no adjoint that would make one"}


def _picture(source: Source, planes: Array) -> dict[str, Any]:
    black, white = display_range(torch.from_numpy(np.ascontiguousarray(planes)), source.value_range)
    note = f"black {number(black)}, white {number(white)}"
    return {"picture": encode(planes[None]), "black": black, "white": white, "note": note}


def magnitude(image: Array) -> Array:
    """An image (C, H, W), that of a complex number's two channels by its magnitude."""
    return np.hypot(image[:1], image[1:]) if len(image) == 2 else image
