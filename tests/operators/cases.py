"""Every registered operator in small, as it is written on the command line: what the shared suites run on.

A new operator takes one row of `CASES`. Rows whose names have a part after the comma are variants of the same operator.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate

from posterior.app.specification import build
from posterior.operators import Operator

EVENT = (3, 4, 6)

# Files {folder}/<name>.npy that texts may name.
ARRAYS = {
    "mask": np.arange(24).reshape(4, 6) % 3 == 0,
    "kernel": np.array([[0.5, -0.25, 0.0], [0.125, 0.0, 1.0]]),
    "matrix": np.cos(np.arange(5 * 72)).reshape(5, 72),
}


class Case(NamedTuple):
    """An operator in small.

    Attributes:
        text: As on the command line.
        formula: A(x) of one image written another way, in float64. None where a test in the operator's own file
            compares it with its definition.
        event_shape: Shape of its images.
    """

    text: str
    formula: Callable[[Tensor], Tensor] | None = None
    event_shape: tuple[int, ...] = EVENT

    def make(self) -> Operator:
        """Build the operator, with its arrays in files."""
        with TemporaryDirectory() as folder:
            for name, values in ARRAYS.items():
                np.save(Path(folder, name), values)
            operator: Operator = build("operator", self.text.format(folder=folder), event_shape=self.event_shape)
        return operator


def array(name: str) -> Tensor:
    """An array as the operator reads it from its file."""
    values = torch.from_numpy(ARRAYS[name])
    return values if values.dtype == torch.bool else values.float().double()


def top(x: Tensor) -> Tensor:
    """The upper half, the lower one zero."""
    return torch.cat([x[..., :2, :], 0 * x[..., 2:, :]], dim=-2)


def convolved(x: Tensor) -> Tensor:
    """A sum of images shifted around, one for each entry of the kernel, whose centre is at (1, 1)."""
    entries = np.ndenumerate(ARRAYS["kernel"])
    return sum((value * x.roll((i - 1, j - 1), (-2, -1)) for (i, j), value in entries), start=0 * x)


def bicubic(x: Tensor) -> Tensor:
    return interpolate(x[None], scale_factor=0.5, mode="bicubic", antialias=True, align_corners=False)[0]


CASES: dict[str, Case] = {
    "Blur": Case("blur:kernel={folder}/kernel.npy", convolved),
    "Blur, reflect": Case("blur:kernel={folder}/kernel.npy,boundary=reflect"),
    "Composition": Case(
        "composition:outer=downsampling:factor=2,inner=mask:path={folder}/mask.npy",
        lambda x: avg_pool2d(x * array("mask"), 2),
    ),
    "Downsampling": Case("downsampling:factor=2", lambda x: avg_pool2d(x, 2)),
    "Downsampling, bicubic": Case("downsampling:factor=2,kind=bicubic", bicubic),
    "GaussianMeasurement": Case("GaussianMeasurement:num_measurements=5"),
    "Grayscale": Case("grayscale", lambda x: torch.einsum("c,chw->hw", x.new_tensor([0.299, 0.587, 0.114]), x)[None]),
    "Identity": Case("identity", lambda x: x),
    "Inpainting": Case("inpainting:mask={folder}/mask.npy", lambda x: x * array("mask")),
    "Magnitude": Case(
        "magnitude:operator=matrix:path={folder}/matrix.npy", lambda x: (array("matrix") @ x.flatten()).abs()
    ),
    "Matrix": Case("matrix:path={folder}/matrix.npy", lambda x: array("matrix") @ x.flatten()),
    "Stack": Case(
        "stack:operators=[half:keep=top, downsampling:factor=2]",
        lambda x: torch.cat([top(x).flatten(), avg_pool2d(x, 2).flatten()]),
    ),
    "box": Case(
        "box:top=1,left=2,height=2,width=3", lambda x: x - torch.nn.functional.pad(x[:, 1:3, 2:5], (2, 1, 1, 1))
    ),
    "gaussian": Case("gaussian:num_measurements=5,seed=2"),
    "gaussian, circulant": Case("gaussian:num_measurements=5,kind=circulant"),
    "gaussian-blur": Case("gaussian-blur:std=0.6"),
    "half": Case("half:keep=top", top),
    "mask": Case("mask:path={folder}/mask.npy", lambda x: x * array("mask")),
    "motion-blur": Case("motion-blur:length=3,angle=45"),
    "random": Case("random:fraction=0.3,seed=4"),
}
