"""Modules in folders: what they are in `config.json`, their weights in `weights.safetensors`; nothing there is run."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from posterior.errors import FileFormatError, UnknownNameError, did_you_mean
from posterior.io.readers import read_json, read_safetensors
from posterior.io.writing import atomic_write

_LARGEST = 2**20  # of what a network is built with: more would fill the memory before its weights are compared


def list_folders(shipped: Path) -> list[str]:
    """Names of the folders in `shipped` that hold a module."""
    return sorted(config.parent.name for config in shipped.glob("*/config.json"))


def shipped_folder(name: str, shipped: Path, kind: str) -> Path:
    """The folder of this name in `shipped`.

    Raises:
        UnknownNameError: There is none.
    """
    names = list_folders(shipped)
    if name not in names:
        hint = did_you_mean(name, names)
        raise UnknownNameError(
            f"no {kind} is called {name!r}{hint}; there are {', '.join(names) or 'none'}, or give a folder"
        )
    return shipped / name


def find_folder(name_or_folder: str | Path, shipped: Path, kind: str, writers: str) -> Path:
    """The folder of a shipped module, or one's own; a shipped name wins over a folder of that name.

    Raises:
        UnknownNameError: Neither a shipped name nor a folder.
        FileFormatError: A path, and there is no folder.
    """
    if isinstance(name_or_folder, str) and name_or_folder in list_folders(shipped):
        return shipped / name_or_folder
    folder = Path(name_or_folder).expanduser()
    if folder.is_dir():
        return folder
    if isinstance(name_or_folder, Path) or os.sep in name_or_folder:
        raise FileFormatError(f"there is no folder {folder}; give one that {writers} wrote")
    return shipped_folder(name_or_folder, shipped, kind)


def save_folder(folder: str | Path, config: dict[str, Any], module: nn.Module) -> Path:
    """Write a module's config and weights, both or neither.

    Raises:
        FileWriteError: They cannot be written.
    """
    from safetensors.torch import save

    folder = Path(folder)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    # Modules loaded from here are mapped to the old file of weights, which is replaced and not written to.
    with atomic_write(folder / "weights.safetensors") as stream, atomic_write(folder / "config.json") as text:
        stream.write(save(weights))
        text.write((json.dumps(config, indent=2, default=float) + "\n").encode())
    return folder


def load_weights(module: nn.Module, folder: Path) -> None:
    """Load the weights of a folder, in the file's precision.

    Raises:
        FileFormatError: They cannot be read, or do not fit.
    """
    path = folder / "weights.safetensors"
    if not path.exists():
        raise FileFormatError(f"{folder} has no {path.name}: copy the whole folder")
    weights = read_safetensors(path)
    check_weights(weights, module.state_dict(), f"{path} does not fit its config.json")
    module.load_state_dict(weights, assign=True)


def read_config(path: Path, writer: str, keys: str) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileFormatError: There is none, or it is not readable.
    """
    if not path.exists():
        raise FileFormatError(f"{path.parent} has no {path.name}: it is not a folder that {writer} wrote")
    config = read_json(path)
    if not isinstance(config, dict):
        raise FileFormatError(f"{path} holds a {type(config).__name__}, not an object with {keys}")
    if large := [number for number in _integers(config) if abs(number) > _LARGEST]:
        raise FileFormatError(f"{path} holds the number {large[0]}, larger than any size of an image or a network")
    return config


def _integers(value: Any) -> Iterator[int]:
    """All integers in a value of JSON."""
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _integers(part)
    elif isinstance(value, int):
        yield value


def entry(config: dict[str, Any], key: str, kind: type, path: Path) -> Any:
    """An entry of a config, of this type.

    Raises:
        FileFormatError: It is missing, or of another type.
    """
    if not isinstance(config.get(key), kind):
        raise FileFormatError(f"{path}: {key!r} is missing, or not a {kind.__name__}")
    return config[key]


def registered(config: dict[str, Any], known: dict[str, Any], path: Path) -> Any:
    """The known class that a config names.

    Raises:
        FileFormatError: It names another.
    """
    name = entry(config, "class", str, path)
    if name not in known:
        raise FileFormatError(f"{path} names the class {name!r}; known are {', '.join(known)}")
    return known[name]


def construct(kind: type, path: Path, *args: Any, **kwargs: Any) -> Any:
    """An object of a known class.

    Raises:
        FileFormatError: The arguments do not suit it.
    """
    try:
        inspect.signature(kind).bind(*args, **kwargs)
        return kind(*args, **kwargs)
    except Exception as error:  # the arguments come from a file and may be anything
        raise FileFormatError(f"{path}: cannot build a {kind.__name__} of these settings: {error}") from error


def check_weights(weights: dict[str, Tensor], expected: dict[str, Tensor], problem: str) -> None:
    """Check names, shapes, types and values of tensors against those of the module that will hold them.

    Raises:
        FileFormatError: They differ; the message is `problem` followed by up to five differences.
    """
    faults = [f"{name} is missing" for name in expected if name not in weights]
    faults += [f"{name} is not expected" for name in weights if name not in expected]
    for name in expected.keys() & weights.keys():
        found, wanted = weights[name], expected[name]
        if not is_plain(found):
            faults.append(f"{name} is no plain tensor of numbers, but {found.dtype} ({found.layout})")
        elif found.shape != wanted.shape:
            faults.append(f"{name} has shape {tuple(found.shape)} instead of {tuple(wanted.shape)}")
        elif found.is_floating_point() != wanted.is_floating_point():
            faults.append(f"{name} is {found.dtype} instead of {wanted.dtype}")
        elif not bool(torch.isfinite(found).all()):
            faults.append(f"{name} holds NaN or infinity")
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise FileFormatError(f"{problem}: {'; '.join(sorted(faults)[:5])}{more}")


def is_plain(tensor: Tensor) -> bool:
    """Whether a tensor holds real numbers that torch computes with: not sparse, quantised or of 8-bit floats."""
    small = tensor.is_floating_point() and tensor.itemsize < 2
    odd = small or tensor.is_quantized or tensor.is_complex() or tensor.is_meta
    return tensor.layout == torch.strided and not odd
