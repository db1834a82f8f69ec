"""Results as named arrays and a header of JSON values, which is what files of every format hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from torch import Tensor

from posterior.errors import FileFormatError, InvalidValueError

Arrays = dict[str, Tensor]
Header = dict[str, Any]
_Result = TypeVar("_Result")

_ARRAY = "array"  # key of what stands in the header for a tensor: {"array": its name}


def to_arrays(result: Any) -> tuple[Arrays, Header]:
    """The tensors of a dataclass by name, and all else that it holds.

    A tensor's name is the path of fields, keys and places that leads to it, such as `x`, `info/beta` or
    `sketch/levels/0`. The header has the class's name under "kind" and each of its fields, as JSON has it.

    Args:
        result: Its fields are tensors, numbers, text, None, dataclasses, and dictionaries, lists and tuples of these.

    Raises:
        InvalidValueError: Two tensors would have the same name.
    """
    arrays: Arrays = {}
    header = _encode(result, "", arrays)
    return arrays, {"kind": type(result).__name__, **header}


def from_arrays(kind: type[_Result], arrays: Mapping[str, Tensor], header: Mapping[str, Any]) -> _Result:
    """The result of which `to_arrays` made these arrays and this header.

    Raises:
        FileFormatError: They are of another kind of result, or parts are missing.
    """
    values = dict(header)
    found = values.pop("kind", None)
    if found != kind.__name__:
        raise FileFormatError(f"it holds {found}: use {found}.load")
    try:
        result: _Result = _decode(kind, values, arrays)
    except (KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(f"it does not hold the fields of {found}: {error}") from error
    return result


def _encode(value: Any, name: str, arrays: Arrays) -> Any:
    if isinstance(value, Tensor):
        if name in arrays:
            raise InvalidValueError(f"two tensors of a result are both called {name!r}; rename one")
        arrays[name] = value.detach()
        return {_ARRAY: name}
    inside = f"{name}/" if name else ""
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _encode(part, f"{inside}{key}", arrays) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(part, f"{inside}{place}", arrays) for place, part in enumerate(value)]
    return value


def _decode(hint: Any, value: Any, arrays: Mapping[str, Tensor]) -> Any:
    """The value of a type that `_encode` made this of."""
    origin, args = get_origin(hint), get_args(hint)
    if value is None:
        return None
    if origin in (Union, UnionType):
        others = [arg for arg in args if arg is not NoneType]
        return _decode(others[0], value, arrays) if len(others) == 1 else value
    if hint is Tensor:
        return arrays[value[_ARRAY]]
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{name: _decode(hints[name], part, arrays) for name, part in value.items()})  # type: ignore[operator]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {key: _decode(args[1], part, arrays) for key, part in value.items()}
    if origin in (list, tuple):
        return origin(_decode(args[0], part, arrays) for part in value)
    return value
