"""Numbers from npy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError, check_finite
from posterior.io.readers import read_array


def load_array(path: str | Path) -> Tensor:
    """Read an npy file; floating-point and complex numbers come in single precision.

    Raises:
        FileFormatError: The file is missing, corrupt, or of another kind.
        NotFiniteError: It holds NaN or infinity.
    """
    values = _load(path)
    check_finite(str(path), values, "remove or repair them (of a mask, save mask > 0)")
    return values


def _load(path: str | Path) -> Tensor:
    array = read_array(path)
    if array.dtype.kind not in "biufc":
        raise FileFormatError(f"{path} cannot be read as numbers: it is an npy array of {array.dtype}")
    if array.dtype.kind in "fc":
        with np.errstate(over="ignore"):  # what is too large for it becomes infinite
            array = array.astype(np.complex64 if array.dtype.kind == "c" else np.float32)
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))


def load_measurements(path: str | Path) -> Tensor:
    """Read measurements y, (B, *measurement_shape), from an npy file; NaN and infinity are for `Posterior` to refuse.

    Raises:
        FileFormatError: The file is missing, corrupt, or of another kind.
        InvalidValueError: It holds whole numbers, whose units cannot be told.
    """
    y = _load(path)
    if not (y.is_floating_point() or y.is_complex()):
        raise InvalidValueError(
            f"{path} holds {y.dtype}: measurements are floating-point numbers in the units of A(x), of images x in "
            "[-1, 1]; save grey values 0 … 255 as y / 127.5 - 1, and counts as y.astype('float32'); or give a picture "
            "as --image"
        )
    return y
