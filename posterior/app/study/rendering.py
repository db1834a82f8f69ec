"""Images as a reader sees them: through one window, as PNG without metadata."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from posterior.data.images import ARRAYS, PICTURES, image_array
from posterior.data.pictures import read_picture
from posterior.errors import FileFormatError, NotFiniteError, ShapeError

IMAGE_FILES = (*PICTURES, *ARRAYS)


def read_values(path: Path) -> NDArray[np.float64]:
    """The values of one image, (H, W) if it is grey, (H, W, 3) in colour.

    Pictures have grey levels −1 … 1. Arrays keep their units: H×W, C×H×W or H×W×3, with 1 channel, 2 for the real and
    the imaginary part, or 3 for colours. Complex numbers are shown by their magnitude.

    Raises:
        FileFormatError: The file is missing or corrupt.
        ShapeError: The array is not one image.
        NotFiniteError: It holds NaN or infinity.
    """
    values = read_picture(path) if path.suffix.lower() in PICTURES else image_array(path)
    if values.dtype.kind not in "biufc":
        raise FileFormatError(f"{path} holds {values.dtype}, not numbers")
    if not np.isfinite(values).all():
        raise NotFiniteError(f"{path} holds NaN or infinity; repair it")
    values = np.abs(values) if values.dtype.kind == "c" else values
    values = values.astype(np.float64)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    elif values.ndim == 3 and len(values) == 2:
        values = np.hypot(*values)
    elif values.ndim == 3 and len(values) == 3:
        values = values.transpose(1, 2, 0)
    if 0 in values.shape or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] == 3)):
        raise ShapeError(f"{path} holds an array of shape {values.shape}; an image is H×W, C×H×W or H×W×3, C 1, 2 or 3")
    return values


def render(values: NDArray[np.float64], window: tuple[float, float]) -> bytes:
    """A PNG of 8 bits, black at the window's low end and below it, white at its high end and above.

    Args:
        values: An image (H, W) or (H, W, 3).
        window: Values of black and of white.
    """
    from PIL import Image

    black, white = window
    levels = np.rint(255 * np.clip((values - black) / (white - black), 0, 1)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(levels).save(stream, "PNG")
    return stream.getvalue()
