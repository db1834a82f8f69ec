"""Images that come with the library (their licences: posterior/assets/README.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from posterior.data.images import load_images
from posterior.errors import UnknownNameError
from posterior.io.readers import read_arrays

Split = Literal["held_out", "training"]

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


def _load(what: str, split: str) -> tuple[Tensor, Tensor]:
    if split not in ("held_out", "training"):
        raise UnknownNameError(f"no {what} images are called {split!r}; there are 'held_out' and 'training'")
    path = _ASSETS / f"{what}_{split}.npz"
    labels = torch.from_numpy(read_arrays(path)["label"].astype(np.int64))
    return load_images(path, (1, 28, 28)), labels
