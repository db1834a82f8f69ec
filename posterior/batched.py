"""Modules whose buffers may hold one value for each measurement of a batch."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn

from posterior.checks import Values, check_value, to_tensor
from posterior.errors import InvalidValueError, did_you_mean
from posterior.modes import own_modes

T = TypeVar("T")
_ModuleT = TypeVar("_ModuleT", bound=nn.Module)


class BatchedModule(nn.Module):
    """A module of which some buffers may carry a leading B, one value for each of B measurements."""

    def __init__(self) -> None:
        super().__init__()
        self._event_dims: dict[str, int] = {}
        self._positive: dict[str, bool] = {}  # of each parameter, whether it has to be
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

    def with_parameters(self, **values: float | Tensor) -> Self:
        """A copy in which parameters, of it or of the modules within, have other values.

        Args:
            values: By name, as in `noise_std=0.1`: one number, or (B,), one for each measurement.

        Raises:
            InvalidValueError: There is no such parameter, or there are several; or a value is not allowed.
        """
        owners: dict[str, list[int]] = {}
        for module in self.modules():
            for name in module._positive if isinstance(module, BatchedModule) else ():
                owners.setdefault(name, []).append(id(module))
        for name in values:
            if len(owners.get(name, [])) != 1:
                several = "it has several of them" if name in owners else f"it has {', '.join(owners) or 'none'}"
                raise InvalidValueError(
                    f"{type(self).__name__} has no one parameter {name!r}{did_you_mean(name, owners)}; {several}"
                )
        return _with_parameters(self, {(owners[name][0], name): value for name, value in values.items()})

    def _add_parameter(self, name: str, value: float | Tensor, *, positive: bool = True) -> None:
        """Register a parameter: one number, or (B,), one for each measurement, in the precision that it is given in."""
        try:
            parameter = to_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise InvalidValueError(
                f"{name} of {type(self).__name__} must be numbers, not a {type(value).__name__}: {error}"
            ) from error
        if not isinstance(value, Tensor) or not parameter.is_floating_point():
            real = not (parameter.is_complex() or parameter.dtype == torch.bool)
            parameter = to_tensor(value, torch.float64) if real else parameter
        valid = (
            parameter.ndim <= 1
            and parameter.numel() > 0
            and parameter.is_floating_point()
            and bool(parameter.isfinite().all())
        )
        if not valid or (positive and not bool((parameter > 0).all())):
            raise InvalidValueError(
                f"{type(self).__name__}: {name} must be {'positive and ' if positive else ''}finite, one number or one "
                f"for each measurement; got {value}"
            )
        self.register_batched(name, parameter, 0, persistent=False)
        self._positive = {**self._positive, name: positive}

    def _check_parameters(self) -> None:
        """Raise unless the parameters fit each other, and bring up to date what depends on them."""

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
    buffers = dict(module._buffers)
    for name, dims in event_dims.items():
        value = buffers[name]
        if value is not None and value.ndim > dims:
            index = measurements.to(value.device)
            buffers[name] = value[index if len(value) > 1 else torch.zeros_like(index)]  # a batch of one serves all
    return _rebuilt(module, buffers, lambda child: _select(child, measurements))


def _with_parameters(module: _ModuleT, values: dict[tuple[int, str], float | Tensor]) -> _ModuleT:
    """The module itself, or a copy that shares all but these parameters, by the id of their module and their name."""
    changed = _rebuilt(module, dict(module._buffers), lambda child: _with_parameters(child, values))
    own = {name: value for (owner, name), value in values.items() if owner == id(module)}
    if own and isinstance(module, BatchedModule):
        changed = _copy(module, dict(module._buffers), changed._modules)
        changed._event_dims = dict(module._event_dims)
        for name, value in own.items():
            changed._add_parameter(name, value, positive=module._positive[name])
            changed._buffers[name] = getattr(changed, name).to(getattr(module, name))  # in its precision and place
        changed._check_parameters()
    return changed


def _rebuilt(module: _ModuleT, buffers: dict[str, Tensor | None], within: Callable[[nn.Module], nn.Module]) -> _ModuleT:
    """The module itself, or a copy if its buffers, or the modules within, are others."""
    modules = {name: None if child is None else within(child) for name, child in module._modules.items()}
    pairs = ((buffers, module._buffers), (modules, module._modules))
    if all(new[name] is old[name] for new, old in pairs for name in old):
        return module
    return _copy(module, buffers, modules)


def _copy(module: _ModuleT, buffers: dict[str, Tensor | None], modules: dict[str, nn.Module | None]) -> _ModuleT:
    copied = copy.copy(module)
    copied._buffers, copied._modules = buffers, modules
    if isinstance(copied, BatchedModule):
        copied._cache = {}
    return copied
