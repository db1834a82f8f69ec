"""Pictures as images of a prior's shape, converted where that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from posterior.data.images import load_images, pictures_in
from posterior.errors import ShapeError

_BRIGHTNESS = (0.299, 0.587, 0.114)  # of red, green and blue, by ITU-R BT.601


def load_pictures(path: Path, shape: Sequence[int], *, resize: bool = False, gray: bool = False) -> Tensor:
    """Read images as `load_images` does, (N, C, H, W) in [−1, 1].

    Args:
        path: A file, or a folder of pictures, which may differ in size if they are resized.
        shape: What one image must be in the end, (C, H, W).
        resize: Whether to scale images until they cover H×W, and to crop what is over at two sides.
        gray: Whether to take the brightness of images in colour.

    Raises:
        ShapeError: The images are not of that shape.
    """
    if not (resize or gray):
        try:
            return load_images(path, shape)
        except ShapeError as error:
            raise ShapeError(f"{error} (resize scales and crops pictures, gray takes their brightness)") from error
    images = []
    for file in pictures_in(path) if path.is_dir() else [path]:
        image = load_images(file)
        image = _brightness(image) if gray and image.shape[1] == 3 else image
        image = _covering(image, *shape[1:]) if resize else image
        if image.shape[1:] != tuple(shape):
            raise ShapeError(f"{file} was converted to shape {tuple(image.shape[1:])}; expected {tuple(shape)}")
        images.append(image)
    return torch.cat(images)


def _brightness(images: Tensor) -> Tensor:
    """Grey images (N, 1, H, W) of red, green and blue ones."""
    return (images * images.new_tensor(_BRIGHTNESS)[:, None, None]).sum(1, keepdim=True)


def _covering(images: Tensor, height: int, width: int) -> Tensor:
    """Images scaled to cover height × width, and their middle."""
    factor = max(height / images.shape[2], width / images.shape[3])
    size = [max(side, round(factor * old)) for side, old in zip((height, width), images.shape[2:], strict=True)]
    scaled = functional.interpolate(images, size, mode="bicubic", antialias=True, align_corners=False).clamp(-1, 1)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    return scaled[:, :, top : top + height, left : left + width].contiguous()
