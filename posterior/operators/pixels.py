"""Measurements pixel by pixel: denoising, inpainting and colourisation."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from torch import Tensor

from posterior.checks import Range, Shape, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.noise import Noise
from posterior.operators.masks import MaskedOperator
from posterior.operators.tight import TightOperator
from posterior.shapes import image_shape


class Identity(TightOperator):
    """The image itself, A(x) = x: denoising.

    Args:
        event_shape: Shape of one image.
    """

    @checked
    def __init__(self, event_shape: Shape) -> None:
        super().__init__(event_shape, event_shape, scale=1.0)

    def _forward(self, x: Tensor) -> Tensor:
        return x

    def _adjoint(self, y: Tensor) -> Tensor:
        return y


class Inpainting(MaskedOperator, TightOperator):
    r"""Some of the pixels, \(A(x) = m \odot x\): measurements keep the image's shape, zero where nothing is measured.

    Args:
        mask: True or 1 where measured, False or 0 elsewhere: (*event_shape), or what broadcasts to it on the left such
            as (H, W) for (C, H, W) images; with event_shape given, also (B, *event_shape) with any of event_shape's
            lengths 1, a mask for each measurement.
        event_shape: Shape of one image; the mask's unless given.

    Raises:
        InvalidValueError: The mask holds other numbers, or a measurement has no pixel at all.
        ShapeError: The mask does not fit event_shape.
    """

    @checked
    def __init__(self, mask: Tensor, event_shape: Shape | None = None) -> None:
        event_shape = tuple(mask.shape if event_shape is None else event_shape)
        super().__init__(event_shape, event_shape, scale=1.0)
        self._set_mask(mask)

    @classmethod
    @checked
    def box(cls, event_shape: Shape, top: int, left: int, height: int, width: int) -> Inpainting:
        """Hide a box of the last two dimensions, measure the rest.

        Raises:
            InvalidValueError: The box is empty, or not inside the image.
        """
        rows, columns = image_shape(event_shape)
        if not (0 <= top < top + height <= rows and 0 <= left < left + width <= columns):
            raise InvalidValueError(
                f"the hidden box (top={top}, left={left}, height={height}, width={width}) must be non-empty and "
                f"inside the {rows} × {columns} image"
            )
        mask = torch.ones(rows, columns, dtype=torch.bool)
        mask[top : top + height, left : left + width] = False
        return cls(mask, event_shape)

    @classmethod
    @checked
    def half_image(cls, event_shape: Shape, keep: Literal["top", "bottom", "left", "right"]) -> Inpainting:
        """Measure one half of the image; the middle line of an odd length is hidden.

        Raises:
            InvalidValueError: keep is none of the four.
        """
        rows, columns = image_shape(event_shape)
        halves = {
            "top": (slice(0, rows // 2), slice(None)),
            "bottom": (slice(rows - rows // 2, None), slice(None)),
            "left": (slice(None), slice(0, columns // 2)),
            "right": (slice(None), slice(columns - columns // 2, None)),
        }
        mask = torch.zeros(rows, columns, dtype=torch.bool)
        mask[halves[keep]] = True
        return cls(mask, event_shape)

    @classmethod
    @checked
    def random(cls, event_shape: Shape, fraction: Annotated[float, Range(0, 1, "(]")], seed: int = 0) -> Inpainting:
        """Measure round(fraction · H · W) pixels at random places, the same in every channel.

        Raises:
            InvalidValueError: fraction is not in (0, 1], or keeps no pixel.
        """
        shape = tuple(event_shape)[-2:]
        order = Noise.of(seed, dtype=torch.float64).use("inpainting").uniform((math.prod(shape),)).flatten().argsort()
        mask = torch.zeros(math.prod(shape), dtype=torch.bool)
        mask[order[: round(fraction * len(order))]] = True
        return cls(mask.reshape(shape), event_shape)

    def _forward(self, x: Tensor) -> Tensor:
        return self.restrict(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._masked(y)

    def gram(self, x: Tensor) -> Tensor:
        return self._adjoint(x)


class Grayscale(TightOperator):
    """Luminance of a colour image, A(x) = 0.299 R + 0.587 G + 0.114 B: colourisation.

    Args:
        event_shape: (3, H, W); measurements are (1, H, W).

    Raises:
        ShapeError: event_shape is not (3, H, W).

    References:
        Recommendation ITU-R BT.601.
    """

    weights = (0.299, 0.587, 0.114)

    @checked
    def __init__(self, event_shape: Shape) -> None:
        event_shape = tuple(event_shape)
        if len(event_shape) != 3 or event_shape[0] != 3:
            raise ShapeError(f"Grayscale takes colour images (3, H, W), got event_shape {event_shape}")
        super().__init__(event_shape, (1, *event_shape[1:]), scale=sum(w * w for w in self.weights))

    def _forward(self, x: Tensor) -> Tensor:
        return (x * x.new_tensor(self.weights)[:, None, None]).sum(-3, keepdim=True)

    def _adjoint(self, y: Tensor) -> Tensor:
        return y * y.new_tensor(self.weights)[:, None, None]
