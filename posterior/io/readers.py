"""Files that may hold anything, read without running any of it: a function for each format, and one error for all."""

from __future__ import annotations

import argparse
import contextlib
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from posterior.errors import FileFormatError, IncompatibleError

Array = NDArray[np.generic]


@contextlib.contextmanager
def reading(path: str | Path, what: str) -> Iterator[None]:
    """Turn all that can go wrong while a file is read into `FileFormatError`.

    Libraries raise nearly anything over a corrupt file: KeyError, TokenError, MemoryError, errors of zip and zlib.

    Args:
        path: The file.
        what: What it is read as, such as "a picture", for the message.
    """
    try:
        if not Path(path).is_file():  # a folder, or a pipe, which would be waited for
            raise FileFormatError(f"there is no file {path}")
        yield
    except (FileFormatError, IncompatibleError):  # a package that reads it is not installed
        raise
    except Exception as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
        raise FileFormatError(
            f"{path} is corrupt or cut off, and not readable as {what}: {reason}; copy or download it anew"
        ) from error


def read_array(path: str | Path) -> Array:
    """The array of an .npy file.

    Raises:
        FileFormatError: There is no such file, it is corrupt, or it holds Python objects.
    """
    with reading(path, "an npy array"), open(path, "rb") as file:
        return _array(file)


def read_arrays(path: str | Path) -> dict[str, Array]:
    """The arrays of an .npz file by name.

    Raises:
        FileFormatError: There is no such file, it is corrupt, or it holds Python objects.
    """
    with reading(path, "npz arrays"), zipfile.ZipFile(path) as archive:
        arrays = {}
        for name in archive.namelist():
            with archive.open(name) as file:
                arrays[name.removesuffix(".npy")] = _array(file)
        return arrays


def read_array_sequence(path: str | Path) -> list[Array]:
    """The arrays of a file in which one .npy array follows another, as Equinox saves the leaves of a model.

    Raises:
        FileFormatError: There is no such file, it is corrupt, or it holds Python objects.
    """
    with reading(path, "a sequence of npy arrays"), open(path, "rb") as file:
        arrays = []
        while file.peek(1):
            arrays.append(np.lib.format.read_array(file, allow_pickle=False))
        return arrays


def _array(file: IO[bytes]) -> Array:
    values: Array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):  # at the end of a file in a zip archive, its check sum is looked at
        raise ValueError("there is more in it than one array")
    return values


def read_json(path: str | Path) -> Any:
    """The value in a JSON file.

    Raises:
        FileFormatError: There is no such file, or it is not JSON.
    """
    with reading(path, "JSON"):
        return json.loads(Path(path).read_text(encoding="utf-8"))


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors file by name.

    Raises:
        FileFormatError: There is no such file, or it is corrupt.
    """
    from safetensors.torch import load_file

    with reading(path, "safetensors"):
        tensors: dict[str, Tensor] = load_file(path)
        return tensors


def read_torch(path: str | Path, *, device: torch.device | str = "cpu", instead: str = "its tensors") -> Any:
    """What `torch.save` wrote, in today's format or in that before torch 1.6: tensors, numbers, text and containers.

    Args:
        path: The file.
        device: Where to put tensors.
        instead: What of a file that holds more than these should be saved anew, for the message.

    Raises:
        FileFormatError: There is no such file, it is corrupt, or it holds objects, which could run code.
    """
    # some training scripts store their options beside the weights; torch 2.4 cannot be told that they are harmless
    options = getattr(torch.serialization, "safe_globals", contextlib.nullcontext)
    with reading(path, "a file of torch"), options([argparse.Namespace]):
        try:
            return torch.load(path, map_location=device, weights_only=True)
        except pickle.UnpicklingError as error:
            reason = str(error).rpartition("WeightsUnpickler error: ")[2].partition(". Please")[0]
            raise FileFormatError(
                f"{path} is no checkpoint, or holds more than tensors, which is not loaded because it could run code; "
                f"if you trust it, save {instead} in a .safetensors file: {reason}"
            ) from error
