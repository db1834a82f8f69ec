"""An operator in small, as it is written on the command line, for the shared suite."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from torch import Tensor

from posterior.app.specification import build
from posterior.operators import Operator

EVENT = (3, 4, 6)
MASK = np.arange(24).reshape(4, 6) % 3 == 0
MATRIX = np.cos(np.arange(5 * 72, dtype=np.float32)).reshape(5, 72)


@dataclass(frozen=True)
class Case:
    """An operator in small.

    Attributes:
        text: As on the command line, with {name} for the file of an array.
        formula: A(x) of one image written another way, in float64. None where another test compares A with its
            definition.
        arrays: Arrays by name, which are saved to npy files.
        event_shape: Shape of its images.
    """

    text: str
    formula: Callable[[Tensor], Tensor] | None = None
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    event_shape: tuple[int, ...] = EVENT

    def make(self) -> Operator:
        """Build the operator from its text."""
        with TemporaryDirectory() as folder:
            files = {name: Path(folder, f"{name}.npy") for name in self.arrays}
            for name, values in self.arrays.items():
                np.save(files[name], values)
            operator: Operator = build("operator", self.text.format(**files), event_shape=self.event_shape)
        return operator
