"""Modules whose buffers may hold one value for each measurement of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from posterior.checks import Values, check_value
from posterior.errors import InvalidValueError
from posterior.modes import own_modes

T = TypeVar("T")
_ModuleT = TypeVar("_ModuleT", bound=nn.Module)


class BatchedModule(nn.Module):
    """A module of which some buffers may carry a leading B, one value for each of B measurements."""

    def __init__(self) -> None:
        super().__init__()
        self._event_dims: dict[str, int] = {}
        self._cache: dict[Any, tuple[list[tuple[Tensor, int]], Any]] = {}

    def register_batched(self, name: str, value: Tensor | None, event_dims: int, *, persistent: bool = True) -> None:
        """Register a buffer of which `select` takes the entries of some measurements.

        Args:
            name: The attribute.
            value: One value for all measurements, (B, …), one for each, or None.
            event_dims: Dimensions of a single value, at most: with more, the first is B.
            persistent: Whether it is part of the `state_dict`.
        """
        self.register_buffer(name, value, persistent=persistent)
        self._event_dims[name] = event_dims

    def select(self, measurements: Tensor) -> Self:
        """The module of some of the measurements, by index; itself unless a buffer carries a B.

        Buffers are indexed, here and in the modules within. No constructor is called, and nothing is run.

        Args:
            measurements: Indices, or a mask (B,).

        Raises:
            InvalidValueError: They are neither.
        """
        return _select(self, indices(measurements))

    def _cached(self, key: Any, compute: Callable[[], T]) -> T:
        """compute(), once for as long as the buffers and parameters that it may use stay what and where they are."""
        state = [(t, -1 if t.is_inference() else t._version) for t in (*self.parameters(), *self.buffers())]
        if key in self._cache:
            then, value = self._cache[key]
            if [(id(t), version) for t, version in then] == [(id(t), version) for t, version in state]:
                return value  # the cache holds the tensors themselves, so an id is not used twice
        with own_modes():
            value = compute()
        self._cache[key] = (state, value)
        return value


def indices(measurements: Any, count: int | None = None) -> Tensor:
    """Indices, int64, of some measurements, from such or from a mask (B,).

    Args:
        measurements: Integers, or bools.
        count: How many measurements there are; not checked where it is None.

    Raises:
        InvalidValueError: They are neither, or out of range.
    """
    index = check_value("select", "measurements", measurements, Values)
    if index.dtype == torch.bool and index.ndim == 1 and count in (None, len(index)):
        return index.nonzero().flatten()
    whole = index.numel() == 0 or not (index.is_floating_point() or index.is_complex() or index.dtype == torch.bool)
    if not (whole and index.ndim == 1) or (count is not None and bool(((index < -count) | (index >= count)).any())):
        of = "B" if count is None else str(count)
        raise InvalidValueError(
            f"measurements are selected by indices below {of} or by a mask ({of},), not by {measurements!r}"
        )
    return index.long()


def _select(module: _ModuleT, measurements: Tensor) -> _ModuleT:
    """The module itself, or a copy that shares all that does not depend on the measurement."""
    event_dims = module._event_dims if isinstance(module, BatchedModule) else {}
    buffers, modules = dict(module._buffers), dict(module._modules)
    for name, dims in event_dims.items():
        value = buffers[name]
        if value is not None and value.ndim > dims:
            index = measurements.to(value.device)
            buffers[name] = value[index if len(value) > 1 else torch.zeros_like(index)]  # a batch of one serves all
    for name, child in modules.items():
        if child is not None:
            modules[name] = _select(child, measurements)
    pairs = ((buffers, module._buffers), (modules, module._modules))
    if all(new[name] is old[name] for new, old in pairs for name in old):
        return module
    selected = copy.copy(module)
    selected._buffers, selected._modules = buffers, modules
    if isinstance(selected, BatchedModule):
        selected._cache = {}
    return selected
