"""HDF5 files: what is missing in them is said by its key."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posterior.errors import FileFormatError
from posterior.io.extras import require
from posterior.io.readers import reading


@contextmanager
def open_hdf5(path: str | Path, what: str) -> Iterator[Any]:
    """An HDF5 file, open for reading; what goes wrong with it while it is open is a `FileFormatError`.

    Args:
        path: The file.
        what: What it is read as, for the message.

    Raises:
        FileFormatError: There is no such file, or it is corrupt or cut off.
        IncompatibleError: h5py is not installed.
    """
    h5py = require("h5py", "mri")
    with reading(path, what), h5py.File(path, "r") as file:
        yield file


def find_dataset(file: Any, key: str, path: str | Path) -> Any:
    """The dataset of this key, all of which was written.

    Raises:
        FileFormatError: It is missing, empty, no dataset, in other files, or parts of it were never written.
    """
    if key not in file:
        raise FileFormatError(f"{path} has no dataset `{key}`; it has {', '.join(file) or 'none'}")
    dataset = file[key]
    if not hasattr(dataset, "dtype"):
        raise FileFormatError(f"{path}: `{key}` is a group, not a dataset")
    virtual = dataset.is_virtual and any(source.file_name != "." for source in dataset.virtual_sources())
    if dataset.file != file or dataset.external or virtual:
        raise FileFormatError(f"{path}: the numbers of `{key}` are in another file; write them into this one")
    if not dataset.size:
        raise FileFormatError(f"{path}: `{key}` is empty, of shape {dataset.shape}")
    if dataset.chunks is not None:
        sizes = zip(dataset.shape, dataset.chunks, strict=True)
        expected, found = math.prod(-(-n // chunk) for n, chunk in sizes), dataset.id.get_num_chunks()
    else:
        expected, found = 1, int(dataset.id.get_storage_size() > 0 or dataset.is_virtual)
    if found < expected:
        raise FileFormatError(
            f"{path}: of `{key}` {expected - found} of {expected} parts were never written; the file is half written"
        )
    return dataset


def find_numbers(file: Any, key: str, path: str | Path, kinds: str, dims: int | tuple[int, ...]) -> Any:
    """The dataset of this key, of numbers.

    Args:
        file, key, path: As for `find_dataset`.
        kinds: Letters of numpy for what the numbers may be: "c" complex, "f" real, "b" true or false, "iu" integers.
        dims: How many dimensions it may have.

    Raises:
        FileFormatError: As for `find_dataset`, or it holds something else, or has another number of dimensions.
    """
    dataset = find_dataset(file, key, path)
    allowed = (dims,) if isinstance(dims, int) else dims
    if dataset.dtype.kind not in kinds:
        words = {"c": "complex numbers", "f": "real numbers"}.get(kinds, "numbers 0 and 1")
        raise FileFormatError(f"{path}: `{key}` holds {dataset.dtype}; expected {words}")
    if dataset.ndim not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise FileFormatError(f"{path}: `{key}` has shape {dataset.shape}; expected {wanted} dimensions")
    return dataset


def to_native(values: np.ndarray[Any, Any]) -> Tensor:
    """A tensor of numbers in any byte order."""
    return torch.from_numpy(np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("=")))
