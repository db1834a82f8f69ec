"""Images that come with the library (their licences: posterior/assets/README.md)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posterior.data.images import load_images

_ASSETS = Path(__file__).resolve().parents[1] / "assets"


def load_digits() -> tuple[Tensor, Tensor]:
    """A hundred handwritten digits that no shipped prior was trained on.

    Returns:
        Images (100, 1, 28, 28) in [−1, 1] and what they show, int64 (100,): 0, 1, …, 9 ten times over.

    References:
        LeCun, Cortes & Burges, The MNIST database of handwritten digits (CC BY-SA 3.0).
    """
    path = _ASSETS / "digits_held_out.npz"
    with np.load(path, allow_pickle=False) as file:
        labels = torch.from_numpy(file["label"].astype(np.int64))
    return load_images(path, (1, 28, 28)), labels
