"""The tensors of a checkpoint, read without running any code of it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from posterior.errors import FileFormatError
from posterior.io.folders import check_weights, is_plain
from posterior.io.readers import read_safetensors, read_torch

_FORMATS: list[Format] = []

_Network = TypeVar("_Network", bound=nn.Module)


@dataclass(frozen=True)
class Format:
    """The checkpoints of one code base, known from now on to the errors of all others.

    Attributes:
        network: The network that they hold, in words.
        mark: A part of some name of every such network, and of no other's, by which files are told apart.
        converter: Name of the function that converts them.
    """

    network: str
    mark: str
    converter: str

    def __post_init__(self) -> None:
        _FORMATS.append(self)


class Tensors(dict[str, Tensor]):
    """The named tensors of a network, of a file.

    Args:
        content: What should be a dictionary of them; what wrappers put before all names is dropped.
        path: The file.
        form: The format that it should be of, for errors.
        place: Where in the file it was, for errors.
        prefixes: What wrappers put before names, beside the `_orig_mod.` of torch.compile.

    Raises:
        FileFormatError: The content is something else.
    """

    def __init__(
        self, content: Any, path: Path, form: Format, *, place: str = "it", prefixes: tuple[str, ...] = ("module.",)
    ) -> None:
        if not isinstance(content, Mapping):
            raise FileFormatError(f"{path} does not hold {form.network}: {place} is a {type(content).__name__}")
        for name, tensor in content.items():
            if not (isinstance(name, str) and isinstance(tensor, Tensor) and is_plain(tensor)):
                raise FileFormatError(f"{path}: entry {name!r} of {place} is not a named tensor of real numbers")
        names = [name.replace("_orig_mod.", "") for name in content]  # torch.compile may wrap any part of a network
        while common := next((p for p in prefixes if content and all(name.startswith(p) for name in names)), None):
            names = [name.removeprefix(common) for name in names]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise FileFormatError(f"{path}: {place} holds {twice[0]} with and without a wrapper's prefix")
        super().__init__(zip(names, content.values(), strict=True))
        self.path, self.format = path, form

    def error(self, problem: str) -> FileFormatError:
        """What to raise where they are not what they should be."""
        likely = [form for form in _FORMATS if any(form.mark in name for name in self)]
        hint = ""
        if not likely:
            hint = "; its names are of no known kind"
        elif self.format not in likely:
            hint = f"; it looks like {likely[0].network}, for {likely[0].converter}"
        return FileFormatError(f"{self.path} does not hold {self.format.network}: {problem}{hint}")

    def size(self, name: str, axis: int, dimensions: int) -> int:
        """Size of an axis of a tensor that has so many.

        Raises:
            FileFormatError: There is no such tensor.
        """
        if name not in self:
            raise self.error(f"{name} is missing")
        shape = tuple(self[name].shape)
        if len(shape) != dimensions or 0 in shape:
            raise self.error(f"{name} has shape {shape}")
        return shape[axis]

    def count(self, prefix: str, suffix: str) -> int:
        """How many names begin and end so."""
        return sum(name.startswith(prefix) and name.endswith(suffix) for name in self)

    def levels(self) -> tuple[float, float]:
        """The smallest and the largest of the trained noise levels, `sigmas`, which are taken out.

        Raises:
            FileFormatError: There are none.
        """
        self.size("sigmas", 0, 1)
        sigmas = self.pop("sigmas")
        low, high = float(sigmas.min()), float(sigmas.max())
        if not (0 < low <= high < math.inf):
            raise self.error(f"its noise levels sigmas lie between {low:g} and {high:g}")
        return low, high

    def build(self, kind: type[_Network], **config: Any) -> _Network:
        """A network of the layout that the tensors suggest, with other weights.

        Raises:
            FileFormatError: There is none.
        """
        with torch.random.fork_rng(devices=[]):  # weights, soon replaced, must not advance the global generator
            try:
                return kind(**config)
            except ValueError as error:
                raise self.error(str(error)) from error

    def fill(self, network: nn.Module) -> None:
        """Load them into a network.

        Raises:
            FileFormatError: They do not fit.
        """
        problem = f"{self.path} does not hold {self.format.network} of the layout that its sizes suggest"
        check_weights(self, network.state_dict(), problem)
        network.load_state_dict(self)


def read(path: Path, instead: str) -> Any:
    """What a file holds: the tensors of a .safetensors file, or whatever else torch reads without running code.

    Args:
        path: The file.
        instead: What to save of a checkpoint that holds more than tensors.

    Raises:
        FileFormatError: There is no such file, it is corrupt, or it holds code.
    """
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    return read_torch(path, instead=instead)
