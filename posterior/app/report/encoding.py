"""Arrays in a page: 8 bits over a window that is stated, deflated, as base64."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def encode(values: Array, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    """An array as JSON has it.

    Level l of 0 … 255 stands for low + l (high − low) / 255. What is deflated are differences of neighbours along the
    last axis, modulo 256, which are small in an image.

    Args:
        values: Finite numbers (n, C, H, W).
        low, high: The window, outside of which values saturate; their least and largest value unless given.
    """
    values = np.asarray(values, dtype=np.float64)
    low = float(values.min()) if low is None else low
    high = float(values.max()) if high is None else high
    high = high if high > low else low + 1.0
    levels = np.rint(255 * np.clip((values - low) / (high - low), 0, 1)).astype(np.uint8)
    differences = np.diff(levels, axis=-1, prepend=np.uint8(0))
    data = base64.b64encode(zlib.compress(differences.tobytes(), 9)).decode()
    return {"shape": list(values.shape), "low": low, "high": high, "data": data}


def shrunk(values: Array, factor: int) -> Array:
    """Means over blocks of factor × factor pixels (…, H, W), smaller ones at the last edges."""
    for axis in (-2, -1):
        size = values.shape[axis]
        starts = np.arange(0, size, factor)
        counts = np.diff(starts, append=size)
        sums = np.add.reduceat(values, starts, axis=axis)
        values = sums / (counts[:, None] if axis == -2 else counts)
    return values
