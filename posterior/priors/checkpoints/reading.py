"""The tensors of a checkpoint, read without running any code of it."""

from __future__ import annotations

import argparse
import contextlib
import math
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from posterior.errors import FileFormatError
from posterior.io.folders import check_weights, read_safetensors

# what is in some name of every network of a kind, and what converts it
_MARKS = {
    "a StyleGAN2 generator": ("to_rgbs.", "convert_stylegan2"),
    "a network of NCSNv2": ("begin_conv.", "convert_ncsnv2"),
    "a network of EDM": ("enc.", "convert_edm"),
    "a network of NCSN++ or DDPM++": ("all_modules.", "convert_score_sde"),
}

_Network = TypeVar("_Network", bound=nn.Module)


class Tensors(dict[str, Tensor]):
    """The named tensors of a network, of a file.

    Args:
        content: What should be a dictionary of them; prefixes that all names have in common are dropped.
        path: The file.
        network: What it should hold, for errors: a key of _MARKS.
        place: Where in the file it was, for errors.
        prefixes: Prefixes of names that wrappers left, outermost first.

    Raises:
        FileFormatError: The content is something else.
    """

    def __init__(
        self, content: Any, path: Path, network: str, *, place: str = "it", prefixes: tuple[str, ...] = ("module.",)
    ) -> None:
        if not isinstance(content, Mapping):
            raise FileFormatError(f"{path} does not hold {network}: {place} is a {type(content).__name__}")
        for name, tensor in content.items():
            if not (isinstance(name, str) and isinstance(tensor, Tensor)):
                raise FileFormatError(f"{path}: entry {name!r} of {place} is not a named tensor")
        for prefix in prefixes:
            if all(name.startswith(prefix) for name in content):
                content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
        super().__init__(content)
        self.path, self.network = path, network

    def error(self, problem: str) -> FileFormatError:
        """What to raise where they are not what they should be."""
        hint = ""
        if not self._has(self.network):
            others = [(network, function) for network, (_, function) in _MARKS.items() if self._has(network)]
            hint = (
                f"; it looks like {others[0][0]}, for {others[0][1]}" if others else "; its names are of no known kind"
            )
        return FileFormatError(f"{self.path} does not hold {self.network}: {problem}{hint}")

    def _has(self, network: str) -> bool:
        return any(_MARKS[network][0] in name for name in self)

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
        problem = f"{self.path} does not hold {self.network} of the layout that its sizes suggest"
        check_weights(self, network.state_dict(), problem)
        network.load_state_dict(self)


def read(path: Path, advice: str) -> Any:
    """What a file holds: the tensors of a .safetensors file, or whatever else torch reads without running code.

    Args:
        path: The file.
        advice: What to save of a checkpoint that cannot be read so.

    Raises:
        FileFormatError: There is no such file, it is corrupt, or it holds code.
    """
    if not path.is_file():
        raise FileFormatError(f"there is no file {path}")
    if path.suffix == ".safetensors":
        return read_safetensors(path)
    # some training scripts store their options beside the weights; torch 2.4 cannot be told that they are harmless
    options = getattr(torch.serialization, "safe_globals", contextlib.nullcontext)
    try:
        with options([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FileFormatError(
            f"{path} is no checkpoint, or holds more than tensors, which is not loaded because it could run code; if "
            f"you trust it, save {advice} in a .safetensors file: {error}"
        ) from error
    except (OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise FileFormatError(f"{path} is corrupt or cut off: {error}; copy or download it anew") from error
