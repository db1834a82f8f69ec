"""Where slices lie, in an HDF5 file of raw data whose format has no place for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from posterior.data.geometry import Geometry
from posterior.data.hdf5 import find_numbers
from posterior.errors import FileFormatError, InvalidValueError

_GROUP = "geometry"
_SHAPES: dict[str, tuple[int, ...]] = {"spacing": (3,), "origin": (3,), "axes": (3, 3), "thickness": ()}


def write_places(file: Any, slices: Sequence[Geometry]) -> None:
    """Write the fields of each slice's geometry, as datasets of a group of their own; those that are None are not."""
    for name in _SHAPES:
        values = [getattr(one, name) for one in slices]
        if None not in values:
            file[f"{_GROUP}/{name}"] = np.array(values, float)


def read_places(file: Any, path: Path, count: int) -> list[Geometry] | None:
    """The geometry of each of `count` slices as `write_places` wrote it; None if it did not.

    Raises:
        FileFormatError: It is of another shape, or makes no sense.
    """
    if _GROUP not in file:
        return None
    found: dict[str, Any] = {}
    for name, shape in _SHAPES.items():
        key = f"{_GROUP}/{name}"
        if key in file or name == "spacing":
            values = find_numbers(file, key, path, "f", 1 + len(shape))[()]
            if values.shape != (count, *shape):
                raise FileFormatError(f"{path}: `{key}` is of shape {values.shape}; expected {(count, *shape)}")
            found[name] = values.tolist()
    try:
        return [Geometry(**{name: values[index] for name, values in found.items()}) for index in range(count)]
    except InvalidValueError as error:
        raise FileFormatError(f"{path}: `{_GROUP}` makes no sense: {error}") from error
