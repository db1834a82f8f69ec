"""One picture of a file, PNG or JPEG, as numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posterior.errors import FileFormatError
from posterior.io.readers import reading

_Values = NDArray[np.integer[Any]]

_ORIENTATION = 0x0112  # the EXIF tag


def read_picture(path: Path) -> NDArray[np.float32]:
    """One picture, upright, as (C, H, W) in [−1, 1]: 1 channel if it is grey, 3 if it has colours or a palette.

    Raises:
        FileFormatError: It cannot be read, is transparent in places, animated, or neither grey nor RGB.
    """
    from PIL import Image

    with reading(path, "a picture"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        bits = _bits(path)
        with Image.open(path, formats=("PNG", "JPEG")) as file:
            values, key = _sixteen_bits(path, file) if bits == 16 else _eight_bits(path, file, bits)
    largest = np.iinfo(values.dtype).max
    if values.shape[-1] in (2, 4):
        visible, values = values[..., -1] == largest, values[..., :-1]
    else:
        visible = (values != key).any(-1)
    if not visible.all():
        raise FileFormatError(f"{path} is transparent in places; save it on a background")
    scaled = (values.astype(np.float64) / largest * 2 - 1).astype(np.float32)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))


def _bits(path: Path) -> int:
    """Bits of a value; all parts of a PNG are compared with their check sums."""
    from PIL import Image

    with path.open("rb") as content:
        start = content.read(25)
    if not start.startswith(b"\x89PNG"):
        return 8
    with Image.open(path, formats=("PNG",)) as file:
        if getattr(file, "n_frames", 1) > 1:
            raise FileFormatError(f"{path} is animated; save the frame that is meant")
        file.verify()
    return start[24]


def _eight_bits(path: Path, file: Any, bits: int) -> tuple[_Values, _Values]:
    """Grey or RGB, with alpha or without, uint8 (H, W, C), and the colour that stands for transparent, or −1."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(file)
    if image.mode == "P":
        image = image.convert("RGBA")
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA"):
        raise FileFormatError(f"{path} has colour mode {image.mode}; save it as grey or RGB")
    values = np.asarray(image).reshape(image.height, image.width, -1).astype(np.uint8)
    if image.mode == "1":
        values = values * np.uint8(255)
    key = np.asarray(image.info.get("transparency", -1))
    return values, key * (255 // (2**bits - 1))  # of few bits Pillow scales the values, and not the key


def _sixteen_bits(path: Path, file: Any) -> tuple[_Values, _Values]:
    """The same as uint16; Pillow keeps eight bits of all but grey."""
    import png

    if file.getexif().get(_ORIENTATION, 1) != 1:
        raise FileFormatError(f"{path} is to be turned when it is shown, by its EXIF orientation; save it upright")
    width, height, rows, info = png.Reader(bytes=path.read_bytes()).read()
    values = np.array([np.asarray(row, np.uint16) for row in rows]).reshape(height, width, -1)
    return values, np.asarray(info.get("transparent", -1))
