"""Digests of settings and data."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def fingerprint(*parts: Any, without: nn.Module | None = None) -> str:
    """A digest of what parts are: equal for equal settings and data, whatever the process and the device.

    Arrays count by their values; modules by their classes, `extra_repr`, parameters and buffers; dataclasses by the
    fields that are compared; functions by their names alone, and other objects by how they print. A compiled module
    counts as what it was made of. A module may name buffers in `derived` that are computed from settings and round as
    the number of threads says: these are left out.

    Args:
        parts: Any values.
        without: A module that is left out where it is within another.
    """
    skipped = set() if without is None else set(without.modules())
    digest = hashlib.blake2b()
    for part in parts:
        for piece in _pieces(part, skipped):
            digest.update(len(piece).to_bytes(8, "little"))  # so that no two lists of pieces look the same
            digest.update(piece)
    return digest.hexdigest()


def _pieces(value: Any, skipped: set[nn.Module]) -> Iterator[bytes | memoryview]:
    if isinstance(value, np.ndarray) and value.dtype != object:
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, Tensor):
        yield repr((tuple(value.shape), value.dtype)).encode()
        whole = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        yield whole.reshape(-1).view(torch.uint8).numpy().data
    elif isinstance(value, nn.Module):
        for module in value.modules():
            if module not in skipped and "_orig_mod" not in module._modules:
                yield f"{type(module).__name__}({module.extra_repr()})".encode()
                tensors = {**module._parameters, **module._buffers}
                for name in getattr(module, "derived", ()):
                    tensors.pop(name)
                yield from _pieces({name: tensor for name, tensor in tensors.items() if tensor is not None}, skipped)
    elif isinstance(value, np.generic):
        yield from _pieces(value.item(), skipped)
    elif isinstance(value, set | frozenset):
        yield from _pieces(sorted(value, key=repr), skipped)
    elif isinstance(value, Mapping | list | tuple):
        items = list(value.items()) if isinstance(value, Mapping) else value
        yield f"{len(items)} in order".encode()
        for item in items:
            yield from _pieces(item, skipped)
    elif isinstance(value, partial):
        yield from _pieces((value.func, value.args, value.keywords), skipped)
    elif inspect.isroutine(value) or inspect.isclass(value):
        yield value.__qualname__.encode()
    elif is_dataclass(value):
        yield type(value).__name__.encode()
        yield from _pieces({f.name: getattr(value, f.name) for f in fields(value) if f.compare}, skipped)
    else:
        prints = any("__repr__" in vars(kind) for kind in type(value).__mro__[:-1])  # in a way of its own
        text = repr(value) if prints else f"{type(value).__name__} {vars(value)}"
        yield re.sub(r" at 0x\w+", "", text).encode()
