"""One picture of a file, PNG or JPEG, as numbers."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from posterior.errors import FileFormatError
from posterior.io.readers import reading

_DEPTHS = {b"\x01": 1, b"\x02": 2, b"\x04": 4, b"\x08": 8, b"\x10": 16}  # bits a value, as PNG says them
_ORIENTATION = 0x0112  # the EXIF tag


def read_picture(path: Path) -> NDArray[np.float32]:
    """One picture, upright, as (C, H, W) in [−1, 1]: 1 channel if it is grey, 3 if it has colours or a palette.

    Raises:
        FileFormatError: It cannot be read, is transparent in places, animated, or neither grey nor RGB.
    """
    from PIL import Image

    with reading(path, "a picture"), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        content = path.read_bytes()
        depth = 8
        if content.startswith(b"\x89PNG"):
            depth = _DEPTHS[content[24:25]]
            with Image.open(path, formats=("PNG",)) as file:
                if getattr(file, "n_frames", 1) > 1:
                    raise FileFormatError(f"{path} is animated; save the picture that is meant")
                file.verify()  # the check sums of all parts, which are not looked at below
        with Image.open(path, formats=("PNG", "JPEG")) as file:
            values = _sixteen_bits(path, file, content) if depth == 16 else _eight_bits(path, file)
            key = np.asarray(file.info.get("transparency", -1) if file.mode != "P" else -1)  # a colour, or none
    largest = 65535 if depth == 16 else 255
    if depth < 8:
        key = key * (255 // (2**depth - 1))  # Pillow scales the values, and not the key
    colours, alpha = values, np.full(1, largest)
    if values.shape[-1] in (2, 4):
        colours, alpha = values[..., :-1], values[..., -1]
    if (alpha != largest).any() or (colours == key).all(-1).any():
        raise FileFormatError(f"{path} is transparent in places; save it on a background")
    return np.ascontiguousarray((colours / largest * 2 - 1).astype(np.float32).transpose(2, 0, 1))


def _eight_bits(path: Path, file: Any) -> NDArray[np.generic]:
    """(H, W, C) from 0 to 255: grey or RGB, either with alpha or without."""
    from PIL import ImageOps

    image = ImageOps.exif_transpose(file)
    if image.mode == "P":
        image = image.convert("RGBA")
    if image.mode not in ("1", "L", "LA", "RGB", "RGBA"):
        raise FileFormatError(f"{path} has colour mode {image.mode}; save it as grey or RGB")
    values = np.asarray(image).reshape(image.height, image.width, -1)
    return values.astype(np.uint8) * np.uint8(255 if image.mode == "1" else 1)


def _sixteen_bits(path: Path, file: Any, content: bytes) -> NDArray[np.generic]:
    """The same from 0 to 65535: Pillow keeps eight bits of all but grey."""
    from torchvision.io import decode_png

    if file.getexif().get(_ORIENTATION, 1) != 1:
        raise FileFormatError(f"{path} is to be turned when it is shown (EXIF orientation); save it upright")
    values = decode_png(torch.frombuffer(bytearray(content), dtype=torch.uint8))
    return values.permute(1, 2, 0).numpy()
