"""Results in files: npz archives that say what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from posterior.errors import FileFormatError
from posterior.io.codec import from_arrays, to_arrays
from posterior.io.readers import read_arrays
from posterior.io.writing import atomic_write


class Archived:
    """A dataclass that is saved to npz files: its tensors, named after its fields, and the rest as JSON in `header`."""

    def save(self, path: str | Path) -> Path:
        """Write to an npz file; `.npz` is added to a path that does not end so, here and in `load`.

        Raises:
            FileWriteError: The file cannot be written; one that is there stays as it was.
        """
        path = _npz(path)
        arrays, header = to_arrays(self)
        values: dict[str, Any] = {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
        with atomic_write(path) as stream:
            np.savez_compressed(stream, header=np.array(json.dumps(header, ensure_ascii=False)), **values)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; no code in the file is run.

        Raises:
            FileFormatError: Not such a file, or a corrupt one.
        """
        path = _npz(path)
        try:
            content = read_arrays(path)
            header = json.loads(str(content.pop("header")))
            return from_arrays(cls, {name: torch.from_numpy(values) for name, values in content.items()}, header)
        except (FileFormatError, ValueError, KeyError, TypeError) as error:
            raise FileFormatError(f"{path} is not a saved {cls.__name__}: {error}") from error


def _npz(path: str | Path) -> Path:
    path = Path(path)
    return path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")
