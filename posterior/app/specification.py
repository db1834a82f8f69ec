"""Objects from a line of text: `name` or `name:key=value,key=value`, as in `half:keep=top`.

Only what is registered can be built, so a specification never runs other code.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import yaml
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

from posterior.app.arrays import load_array
from posterior.app.bounded_yaml import load_yaml
from posterior.app.registry import REGISTERED
from posterior.errors import InvalidValueError, UnknownNameError
from posterior.operators import Operator
from samplers import Sampler

_EQUALS = re.compile(r"(^|,)\s*(\w+)=")  # after a key, and not inside a value
_NESTED = {Operator: "operator", Sampler: "sampler"}
_PLAIN = {bool: "BOOL", float: "NUMBER", int: "INTEGER", str: "TEXT", Path: "FILE", type(None): "null"}


def build(kind: str, text: str, **context: Any) -> Any:
    """Build the object that a text names.

    A tensor is given as an npy file, an operator or a sampler that another one takes as text of its own.

    Args:
        kind: A key of `posterior.app.registry.REGISTERED`.
        text: `name` or `name:key=value,…`, names in capitals or not, values as in YAML.
        context: Arguments that the caller knows, given where they are taken.

    Raises:
        UnknownNameError: No such name.
        InvalidValueError: Arguments that it does not take, that it lacks, or that are of another type.
        FileFormatError: A file that holds no tensor.
    """
    name, rest = _split(kind, text)
    factory = REGISTERED[kind][name]
    takes = _parameters(factory)
    try:
        settings = load_yaml("{" + _EQUALS.sub(r"\1\2: ", rest) + "}")
        own = {key: parameter for key, parameter in takes.items() if key not in context}
        values = {key: _converted(key, own, value, context) for key, value in settings.items()}
        known = {key: value for key, value in context.items() if key in takes}
        arguments = inspect.Signature(list(takes.values())).bind(**known, **values)
    except (yaml.YAMLError, TypeError) as error:
        problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        raise InvalidValueError(f"{kind} {text!r}: {problem}; write {usage(kind, name, *context)}") from error
    return factory(*arguments.args, **arguments.kwargs)


def usage(kind: str, name: str, *context: str) -> str:
    """The form of the text that builds an object, as in `random:fraction=NUMBER[,seed=0]`.

    Args:
        kind: A key of `posterior.app.registry.REGISTERED`.
        name: A registered name.
        context: Names of the arguments that the caller knows.
    """
    own = [p for key, p in _parameters(REGISTERED[kind][name]).items() if key not in context]
    needed = ",".join(f"{p.name}={_placeholder(p.annotation)}" for p in own if p.default is p.empty)
    optional = ",".join(_default(p) for p in own if p.default is not p.empty)
    return name + (f":{needed}" if needed else "") + (f"[{',' if needed else ':'}{optional}]" if optional else "")


def _split(kind: str, text: str) -> tuple[str, str]:
    """The registered name that a text begins with, and its arguments."""
    registered = REGISTERED[kind]
    given, _, rest = text.partition(":")
    small = {name.lower(): name for name in registered}
    if given.lower() not in small:
        near = difflib.get_close_matches(given.lower(), small, n=1, cutoff=0.4)
        hint = f" (did you mean {small[near[0]]!r}?)" if near else ""
        raise UnknownNameError(f"no {kind} is called {given!r}{hint}; there are {', '.join(registered)}")
    return small[given.lower()], rest


def _parameters(factory: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments that a function or a class takes by name, with their types."""
    if not isinstance(factory, type):
        found = list(inspect.signature(factory).parameters.values())
        hints = get_type_hints(getattr(factory, "func", factory))  # without the ranges, which the call checks
    else:
        init = factory.__init__  # type: ignore[misc]
        # a dataclass's __init__ has annotations of its bases, whose names are known where these were written
        hints = get_type_hints(factory if dataclasses.is_dataclass(factory) else init)
        found = list(inspect.signature(init).parameters.values())[1:]
    return {p.name: p.replace(annotation=hints.get(p.name, p.annotation)) for p in found if p.kind != p.VAR_KEYWORD}


def _converted(key: str, takes: dict[str, inspect.Parameter], value: Any, context: dict[str, Any]) -> Any:
    if key not in takes:
        raise TypeError(f"there is no argument {key!r}")
    try:
        return _typed(takes[key].annotation, value, context)
    except ArgumentError as error:
        raise TypeError(f"{key} cannot be {value!r}") from error


def _typed(annotation: Any, value: Any, context: dict[str, Any]) -> Any:
    """A value from YAML as the type that is wanted: 1e-3 is text there, and 1 an integer."""
    options = _options(annotation)
    if isinstance(value, str) and (kind := _nested(options)):
        return build(kind, value, **context)
    if get_origin(annotation) is Sequence and isinstance(value, list):
        (wanted,) = get_args(annotation)
        return [_typed(wanted, element, context) for element in value]
    # Of a class jsonargparse would import whatever the value names, so it sees no classes but the plain ones.
    plain = tuple(option for option in options if option in _PLAIN or not isinstance(option, type))
    try:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--value", type=Union[plain or (type(None),)])  # noqa: UP007
        return parser.parse_object({"value": value}).value
    except ArgumentError:
        if Tensor in options and isinstance(value, str):
            return load_array(value)
        raise


def _options(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _nested(options: tuple[Any, ...]) -> str | None:
    """The kind of object that is built from a text of its own; None where no such object is wanted."""
    classes = [option for option in options if isinstance(option, type)]
    return next((kind for base, kind in _NESTED.items() if any(issubclass(c, base) for c in classes)), None)


def _placeholder(annotation: Any) -> str:
    """The word that stands for a value in `usage`."""
    options = _options(annotation)
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) is Sequence:
        return f"[{_placeholder(*get_args(annotation))},…]"
    if kind := _nested(options):
        return kind.upper()
    words = [_PLAIN[option] for option in options if option in _PLAIN]
    return "|".join([*words, *(["FILE"] if Tensor in options else [])]) or "VALUE"


def _default(parameter: inspect.Parameter) -> str:
    """A default as it is written in `usage`, and the other choices where there are some."""
    value = parameter.default
    if get_origin(parameter.annotation) is Literal:
        text = "|".join([value, *(choice for choice in get_args(parameter.annotation) if choice != value)])
    else:
        text = json.dumps(value) if isinstance(value, bool | int | float | tuple | None) else type(value).__name__
    return f"{parameter.name}={text}"
