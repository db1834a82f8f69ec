"""Images that come with the library (their licences: posterior/assets/README.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from posterior.data.images import load_images
from posterior.errors import UnknownNameError
from posterior.io.readers import read_arrays

Split = Literal["held_out", "training"]
Slab = Literal["training", "validation", "test"]

_ASSETS = Path(__file__).resolve().parents[1] / "assets"


def load_digits(split: Split = "held_out") -> tuple[Tensor, Tensor]:
    """Handwritten digits: a hundred that no shipped prior was trained on, or two thousand that they were trained on.

    Args:
        split: Which of the two.

    Returns:
        Images (N, 1, 28, 28) in [−1, 1] and what they show, int64 (N,): 0, 1, …, 9 equally often.

    Raises:
        UnknownNameError: There is no such split.

    References:
        LeCun, Cortes & Burges, The MNIST database of handwritten digits (CC BY-SA 3.0).
    """
    return _load("digits", split)


def load_fashion(split: Split = "held_out") -> tuple[Tensor, Tensor]:
    """Pieces of clothing: a hundred that no shipped prior was trained on, or two thousand of the training images.

    Args:
        split: Which of the two.

    Returns:
        Images (N, 1, 28, 28) in [−1, 1] and what they show, int64 (N,), equally often: T-shirt (0), trousers, pullover,
        dress, coat, sandal, shirt, sneaker, bag, ankle boot (9).

    Raises:
        UnknownNameError: There is no such split.

    References:
        Xiao, Rasul & Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747 (MIT).
    """
    return _load("fashion", split)


def load_brain(slab: Slab = "test") -> Tensor:
    """Axial slices of a T1-weighted scan of the head, 1 mm apart, of slabs that are at least 10 mm from each other.

    The volume is Colin27, the average of 27 scans of one subject. Of its 181 slices, from below, number 16 to 33, 64 to
    101 and 136 to 151 are for training (72), 44 to 53 for validation (10) and 112 to 125 for tests (14).

    Args:
        slab: Which of the three.

    Returns:
        Magnitudes (N, 1, 192, 224) in [0, 1], pixels of 1 mm: rows from left to right, columns from back to front.

    Raises:
        UnknownNameError: There is no such slab.

    References:
        Holmes, Hoge, Collins, Woods, Toga & Evans 1998, Enhancement of MR Images Using Registration for Signal
        Averaging, J. Comput. Assist. Tomogr. 22(2).
    """
    if slab not in get_args(Slab):
        raise UnknownNameError(f"no slab of the brain is called {slab!r}; there are {', '.join(get_args(Slab))}")
    return torch.from_numpy(read_arrays(_ASSETS / f"brain_{slab}.npz")["x"]).float() / 255


def _load(what: str, split: str) -> tuple[Tensor, Tensor]:
    if split not in ("held_out", "training"):
        raise UnknownNameError(f"no {what} images are called {split!r}; there are 'held_out' and 'training'")
    path = _ASSETS / f"{what}_{split}.npz"
    labels = torch.from_numpy(read_arrays(path)["label"].astype(np.int64))
    return load_images(path, (1, 28, 28)), labels
