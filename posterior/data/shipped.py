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

Split = Literal["held_out", "training", "test"]
BrainSlices = Literal["training", "validation", "test", "mni152", "macaque"]

_ASSETS = Path(__file__).resolve().parents[1] / "assets"


def load_digits(split: Split = "held_out") -> tuple[Tensor, Tensor]:
    """Handwritten digits: a hundred that no shipped prior was trained on, or two thousand that they were trained on.

    Args:
        split: Which of the two; or "test" for two hundred more that none was trained on.

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
        split: Which of the two; or "test" for two hundred more that none was trained on.

    Returns:
        Images (N, 1, 28, 28) in [−1, 1] and what they show, int64 (N,), equally often: T-shirt (0), trousers, pullover,
        dress, coat, sandal, shirt, sneaker, bag, ankle boot (9).

    Raises:
        UnknownNameError: There is no such split.

    References:
        Xiao, Rasul & Vollgraf 2017, Fashion-MNIST, arXiv:1708.07747 (MIT).
    """
    return _load("fashion", split)


def load_brain(which: BrainSlices = "test") -> Tensor:
    """Axial T1-weighted slices: of a head, 1 mm apart, in slabs for training and tests, and of two other brains.

    The head is Colin27, the average of 27 scans of one subject. Of its 181 slices, from below, number 16 to 33, 64 to
    101 and 136 to 151 are for training (72), 44 to 53 for validation (10) and 112 to 125 for tests (14): at least 10 mm
    lie between any two of these slabs. The other brains are of another kind, without skull and scalp, for tests: 8
    slices of mni152, the average of 152 subjects, and 8 of a macaque, whose voxels of 0.5 mm are taken for 1 mm, so
    that it is as large as a human brain.

    Args:
        which: The slab, or the other brain.

    Returns:
        Magnitudes (N, 1, 192, 224) in [0, 1], pixels of 1 mm: rows from left to right, columns from back to front.

    Raises:
        UnknownNameError: There are no such slices.

    References:
        Holmes, Hoge, Collins, Woods, Toga & Evans 1998, Enhancement of MR Images Using Registration for Signal
        Averaging, J. Comput. Assist. Tomogr. 22(2).
        Fonov, Evans, McKinstry, Almli & Collins 2009, Unbiased nonlinear average age-appropriate brain templates from
        birth to adulthood, NeuroImage 47 (mni152).
        Rohlfing et al. 2012, The INIA19 template and NeuroMaps atlas for primate brain image parcellation and spatial
        normalization, Front. Neuroinform. 6 (macaque).
    """
    if which not in get_args(BrainSlices):
        names = ", ".join(get_args(BrainSlices))
        raise UnknownNameError(f"no slices of a brain are called {which!r}; there are {names}")
    return torch.from_numpy(read_arrays(_ASSETS / f"brain_{which}.npz")["x"]).float() / 255


def _load(what: str, split: str) -> tuple[Tensor, Tensor]:
    if split not in get_args(Split):
        names = ", ".join(map(repr, get_args(Split)))
        raise UnknownNameError(f"no {what} images are called {split!r}; there are {names}")
    path = _ASSETS / f"{what}_{split}.npz"
    labels = torch.from_numpy(read_arrays(path)["label"].astype(np.int64))
    return load_images(path, (1, 28, 28)), labels
