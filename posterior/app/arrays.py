"""Numbers from npy files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posterior.errors import FileFormatError


def load_array(path: str | Path) -> Tensor:
    """Read an npy file; floating-point and complex numbers come in single precision.

    Raises:
        FileFormatError: The file is missing, corrupt, or of another kind.
    """
    try:
        with open(path, "rb") as file:
            values = torch.from_numpy(np.lib.format.read_array(file, allow_pickle=False))
    except (OSError, ValueError, EOFError, TypeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FileFormatError(f"cannot read an npy array from {path}: {reason}") from error
    if values.is_complex():
        return values.to(torch.complex64)
    return values.float() if values.is_floating_point() else values
