"""Packages like that of CIFAR-10, of few images."""

import io
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from posterior.noise import Noise

COUNT = 6  # images a batch


def save_package(path: Path, **members: bytes | None) -> np.ndarray:
    """Write a package, with some of its members replaced or (None) left out; the images (6 COUNT, 32, 32, 3)."""
    pixels = (256 * Noise.of(0, 6 * COUNT).uniform((32, 32, 3))[0]).byte().numpy()
    content: dict[str, bytes | None] = {}
    for number, part in enumerate(np.split(pixels, 6)):
        file = io.BytesIO()
        Image.fromarray(part.reshape(COUNT, 1024, 3)).save(file, "PNG")
        content["test_batch.png" if number == 5 else f"data_batch_{number + 1}.png"] = file.getvalue()
    content["train_lables.json"] = json.dumps([number % 10 for number in range(5 * COUNT)]).encode()
    content["test_lables.json"] = json.dumps([9 - number for number in range(COUNT)]).encode()
    with tarfile.open(path, "w:gz") as package:
        for name, data in (content | members).items():
            if data is not None:
                about = tarfile.TarInfo(f"package/{name}")
                about.size = len(data)
                package.addfile(about, io.BytesIO(data))
    return pixels
