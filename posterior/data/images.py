"""Images from files: pictures, folders of pictures, numpy arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.data.pictures import read_picture
from posterior.errors import FileFormatError, InvalidValueError, ShapeError, check_finite
from posterior.io.readers import Array, read_array, read_arrays

PICTURES = (".png", ".jpg", ".jpeg")
ARRAYS = (".npy", ".npz")
_CHANNELS = (1, 2, 3)  # grey, complex, RGB
_SMALLEST_SIDE = 4  # a dimension below it is not the side of a picture
_ROUNDING = 1e-6


def load_images(path: str | Path, shape: Sequence[int] | None = None) -> Tensor:
    """Read images as (N, C, H, W), float32 in [−1, 1].

    A file is a picture (.png, .jpg), an array (.npy), or an .npz with an array "x" or with one array only; a folder is
    read as its pictures in the order of their names. Integers 0 … 255 (16-bit pictures: 0 … 65535) are mapped to
    [−1, 1]; floating-point arrays must lie there already (values in [0, 1] cannot be told apart: map them with 2x − 1).
    Arrays are H×W, N×H×W, H×W×C, N×H×W×C, C×H×W or N×C×H×W with 1, 2 or 3 channels.

    Args:
        path: The file or folder.
        shape: What one image must be, (C, H, W); it also decides where an array can be read in two ways.

    Raises:
        FileFormatError: The file is missing, corrupt, or of a kind that is not read here.
        ShapeError: The array has no or two readings as images, pictures differ in size, or they are not of `shape`.
        InvalidValueError: Floating-point values outside [−1, 1].
        NotFiniteError: NaN or infinity.
    """
    path = Path(path)
    if shape is not None and len(shape) != 3:
        raise ShapeError(f"shape is that of one image, (C, H, W); got {tuple(shape)}")
    if path.is_dir():
        images = _folder(path)
    elif not path.exists():
        raise FileFormatError(f"{path} does not exist")
    elif path.suffix.lower() in PICTURES:
        images = read_picture(path)[None]
    elif path.suffix.lower() in ARRAYS:
        values = _scaled(path, image_array(path))
        if not values.size:
            raise FileFormatError(f"{path} is empty: it holds an array of shape {values.shape}, and no image")
        return torch.from_numpy(_arranged(path, values, None if shape is None else tuple(shape))).contiguous()
    else:
        raise FileFormatError(
            f"{path} is not a kind of file that is read here: {', '.join(PICTURES + ARRAYS)} or a folder of pictures"
        )
    if shape is not None and images.shape[1:] != tuple(shape):
        raise ShapeError(
            f"{path} holds images of shape {images.shape[1:]}; expected {tuple(shape)}; convert or crop it"
        )
    return torch.from_numpy(images)


def pictures_in(path: Path) -> list[Path]:
    """The pictures in a folder, in the order of their names.

    Raises:
        FileFormatError: There are none.
    """
    files = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURES and not f.name.startswith("."))
    if not files:
        raise FileFormatError(f"{path} is a folder without pictures ({', '.join(PICTURES)})")
    return files


def _folder(path: Path) -> NDArray[np.float32]:
    files = pictures_in(path)
    pictures = [read_picture(file) for file in files]
    usual, _ = Counter(picture.shape for picture in pictures).most_common(1)[0]
    others = [f"{f.name} {p.shape}" for f, p in zip(files, pictures, strict=True) if p.shape != usual]
    if others:
        listed = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        raise ShapeError(
            f"the pictures in {path} differ in size: most are {usual}, but {listed}; resize them or put them apart"
        )
    return np.stack(pictures)


def image_array(path: Path) -> Array:
    """The array of images in an .npy file, or in an .npz file: its "x", or the only one.

    Raises:
        FileFormatError: The file is missing or corrupt, or has several arrays and none is called "x".
    """
    if path.suffix.lower() == ".npy":
        return read_array(path)
    arrays = read_arrays(path)
    if "x" not in arrays and len(arrays) != 1:
        names = ", ".join(arrays) or "(none)"
        raise FileFormatError(f'{path} holds the arrays {names}; save the one with images as "x"')
    return arrays.get("x", next(iter(arrays.values())))


def _scaled(path: Path, values: Array) -> NDArray[np.float32]:
    if values.dtype == np.uint8:
        return (values.astype(np.float32) / np.float32(127.5)) - np.float32(1)
    if not np.issubdtype(values.dtype, np.floating):
        raise InvalidValueError(
            f"{path} holds {values.dtype}; images are uint8 (0 … 255) or floating-point numbers in [-1, 1]"
        )
    check_finite(str(path), torch.from_numpy(values.astype(np.float64)), "repair them")
    if values.size and max(-values.min(), values.max()) > 1 + _ROUNDING:
        raise InvalidValueError(
            f"{path} has values from {values.min():.4g} to {values.max():.4g}, and images lie in [-1, 1]; map them, "
            "e.g. x / 127.5 - 1 from [0, 255]"
        )
    return values.astype(np.float32)


def _arranged(path: Path, values: NDArray[np.float32], shape: tuple[int, ...] | None) -> NDArray[np.float32]:
    """The array as (N, C, H, W), if that can be meant in one way only."""
    readings = {
        name: image
        for name, image in _readings(values).items()
        if (image.shape[1:] == shape if shape else image.shape[1] in _CHANNELS)
        and (shape or min(image.shape[2:]) >= _SMALLEST_SIDE)
    }
    if 0 in values.shape or not readings:
        expected = f" as images of shape {shape}" if shape else " as images with 1, 2 or 3 channels"
        raise ShapeError(f"{path} holds an array of shape {values.shape}, which cannot be read{expected}")
    first, *rest = readings.values()
    if any(image.shape != first.shape for image in rest):
        raise ShapeError(
            f"{path} holds an array of shape {values.shape}, which can be read as {' or '.join(readings)}; pass "
            f"shape={' or shape='.join(str(image.shape[1:]) for image in readings.values())}, or save it as N×C×H×W"
        )
    if rest and len({image.tobytes() for image in readings.values()}) > 1:
        raise ShapeError(
            f"{path} holds an array of shape {values.shape}, which can be read as {' or '.join(readings)}; transpose "
            "it so that only one is possible"
        )
    return first


def _readings(values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    if values.ndim == 2:
        return {"H×W": values[None, None]}
    if values.ndim == 3:
        return {"N×H×W": values[:, None], "C×H×W": values[None], "H×W×C": values.transpose(2, 0, 1)[None]}
    if values.ndim == 4:
        return {"N×C×H×W": values, "N×H×W×C": values.transpose(0, 3, 1, 2)}
    return {}
