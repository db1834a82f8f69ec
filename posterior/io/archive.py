"""Results in files: npz archives that say what they hold."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from posterior.errors import FileFormatError

Result = dict[str, Tensor]


def save_result(path: str | Path, header: dict[str, Any], arrays: Result) -> Path:
    """Write tensors and a header, which names the kind of result, to an npz file."""
    path = Path(path)
    path = path if path.suffix == ".npz" else path.with_name(path.name + ".npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {name: np.asarray(value) for name, value in header.items()}
    values |= {name: tensor.detach().cpu().numpy() for name, tensor in arrays.items()}
    np.savez_compressed(path, **values)
    return path


def load_result(path: str | Path, kind: str) -> tuple[dict[str, Any], Result]:
    """Read the header and the tensors of a kind of result, and its `info`; text stays in arrays.

    Raises:
        FileFormatError: Not such a file, or a corrupt one.
    """
    try:
        with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            content = {name: np.lib.format.read_array(archive.open(f"{name}.npy")) for name in names}
        found = str(content.pop("kind"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise FileFormatError(f"{path} is not a saved {kind}: {error}") from error
    if found != kind:
        raise FileFormatError(f"{path} holds {found}, not {kind}; use {found}.load")
    tensors: dict[str, Any] = {
        name: values if values.dtype.kind == "U" else torch.from_numpy(values) for name, values in content.items()
    }
    info = {name.removeprefix("info."): tensors.pop(name) for name in list(tensors) if name.startswith("info.")}
    return tensors, info
