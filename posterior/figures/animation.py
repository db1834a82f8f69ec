"""Images one after the other."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError, ShapeError, check_finite
from posterior.figures.panels import Range, check_range, rgb
from posterior.io.writing import atomic_write

_SIDE = 168  # pixels, at the least


def save_gif(images: Tensor, path: str | Path, value_range: Range = (-1.0, 1.0), seconds: float = 0.2) -> Path:
    """Write images to a gif that shows one after the other, again and again; small ones in enlarged pixels.

    Args:
        images: Such as the samples of one measurement, (S, C, H, W) with 1, 2 or 3 channels; two are complex and shown
            by magnitude.
        path: A file that ends in .gif.
        value_range: Values shown as black and white; beyond them pictures saturate.
        seconds: Each image is shown.

    Raises:
        ShapeError: images is not such a batch.
        InvalidValueError: The value range is empty, or seconds < 0.02.
        NotFiniteError: An image holds NaN or infinity.
        FileFormatError: The path does not end in .gif.
        FileWriteError: The file cannot be written.
    """
    from PIL import Image

    path = Path(path)
    if images.ndim != 4 or 0 in images.shape or images.shape[1] not in (1, 2, 3):
        raise ShapeError(f"images has shape {tuple(images.shape)}; expected (S, C, H, W) with 1, 2 or 3 channels")
    check_range(value_range)
    if not seconds >= 0.02:
        raise InvalidValueError(f"an image is shown for at least 0.02 seconds, got {seconds}")
    check_finite("images", images, "find out where they arose")
    if path.suffix.lower() != ".gif":
        raise FileFormatError(f"{path} does not end in .gif")
    factor = math.ceil(_SIDE / min(images.shape[2:]))
    frames = []
    for image in images:
        pixels = (255 * rgb(image, value_range)).round().astype("uint8").repeat(factor, 0).repeat(factor, 1)
        frames.append(Image.fromarray(pixels))
    rest, duration = frames[1:], round(1000 * seconds)
    with atomic_write(path) as stream:
        frames[0].save(stream, format="GIF", save_all=True, append_images=rest, duration=duration, loop=0)
    return path
