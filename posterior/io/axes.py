"""Arrays of results: what each is, and the files that make a group of Zarr of them before anything is in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Axes:
    """What an array is: of each measurement, its shape and the names of its axes, and its type of numbers."""

    shape: tuple[int, ...]
    names: tuple[str, ...]
    dtype: str = "float32"

    def nbytes(self, count: int) -> int:
        """Bytes of so many measurements, before compression."""
        return count * int(np.prod(self.shape)) * np.dtype(self.dtype).itemsize


def empty_arrays(
    arrays: Mapping[str, Axes], coordinates: Mapping[str, NDArray[Any]], size: int, shard_size: int
) -> dict[str, bytes]:
    """The files of a group of Zarr 3 by their paths: arrays that hold nothing yet, and their coordinates.

    Args:
        arrays: What they are, by name.
        coordinates: Values along the axes of some name, (n,) each.
        size: Measurements, along the first axis of each array.
        shard_size: Measurements in a file.
    """
    import zarr

    content: dict[str, Any] = {}
    root = zarr.create_group(zarr.storage.MemoryStore(content))
    for name, axes in arrays.items():
        root.create_array(
            name,
            shape=(size, *axes.shape),
            shards=(shard_size, *axes.shape),
            chunks=(1, *axes.shape),
            dtype=axes.dtype,
            fill_value=float("nan"),
            dimension_names=("measurement", *axes.names),
            config={"write_empty_chunks": True},
        )
    for name, values in coordinates.items():
        root.create_array(name, data=values, dimension_names=(name,))
    return {path: buffer.to_bytes() for path, buffer in content.items()}
