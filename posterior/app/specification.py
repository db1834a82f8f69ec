"""Objects from a specification: text, as in `half:keep=top`, or the mapping {name: half, keep: top}, as YAML has it.

Only what is registered can be built, so a specification never runs other code.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser
from torch import Tensor

from posterior.app.arrays import load_array
from posterior.app.bounded_yaml import load_yaml
from posterior.app.registry import REGISTERED
from posterior.errors import InvalidValueError, UnknownNameError, did_you_mean
from posterior.likelihoods import Likelihood, ParameterPrior
from posterior.operators import Operator
from posterior.priors.base import Prior
from posterior.priors.zoo import load_prior
from samplers import Sampler

Spec = str | Mapping[str, Any]

_EQUALS = re.compile(r"(^|,)\s*(\w+)=")  # after a key, and not inside a value
_NESTED = {
    Likelihood: "likelihood", Operator: "operator", ParameterPrior: "parameter", Prior: "prior", Sampler: "sampler",
}  # fmt: skip
_PLAIN = {bool: "BOOL", float: "NUMBER", int: "INTEGER", str: "TEXT", Path: "FILE", type(None): "null"}


def build(kind: str, spec: Spec, **context: Any) -> Any:
    """Build the object that a specification names.

    A tensor is given as an npy file or as lists of numbers, an operator, a sampler or a parameter's prior that another
    one takes as a specification of its own; a prior may also be named by its folder.

    Args:
        kind: A key of `posterior.app.registry.REGISTERED`.
        spec: Text `name` or `name:key=value,…`, names in capitals or not, values as in YAML; or a mapping of "name" and
            the keys.
        context: Arguments that the caller knows, given where they are taken.

    Raises:
        UnknownNameError: No such name.
        InvalidValueError: Arguments that it does not take, that it lacks, or that are of another type.
        FileFormatError: A file that holds no tensor.
    """
    text = spec if isinstance(spec, str) else str(dict(spec))
    try:
        settings = as_mapping(spec)
    except InvalidValueError as error:  # its name may do: then say how it is written
        raise InvalidValueError(
            f"{kind} {error}; write {usage(kind, str(spec).partition(':')[0], *context)}"
        ) from error
    name = settings.pop("name", None)
    if not isinstance(name, str):
        raise InvalidValueError(f"{kind} {text!r} has no name; write {{name: …, key: value}}, or name:key=value")
    try:
        return construct(_factory(kind, name), settings, context)
    except _SettingError as error:
        raise InvalidValueError(f"{kind} {text!r}: {error}; write {usage(kind, name, *context)}") from error


def construct(factory: Callable[..., Any], settings: Mapping[str, Any], context: Mapping[str, Any]) -> Any:
    """Call a function or a class with settings that are checked against its signature first.

    Args:
        factory: What is called.
        settings: Values as YAML has them, by argument.
        context: Arguments that the caller knows, given where they are taken.

    Raises:
        InvalidValueError: Settings that it does not take, that it lacks, or that are of another type.
    """
    takes = _parameters(factory)
    own = {key: parameter for key, parameter in takes.items() if key not in context}
    values = {key: _converted(key, own, value, context) for key, value in settings.items()}
    known = {key: value for key, value in context.items() if key in takes}
    try:
        arguments = inspect.Signature(list(takes.values())).bind(**known, **values)
    except TypeError as error:
        raise _SettingError(str(error)) from error
    return factory(*arguments.args, **arguments.kwargs)


def as_mapping(spec: Spec) -> dict[str, Any]:
    """A specification as a mapping of "name" and its keys.

    Raises:
        InvalidValueError: The text's values are not YAML.
    """
    if not isinstance(spec, str):
        return dict(spec)
    name, _, rest = spec.partition(":")
    try:
        return {"name": name} | load_yaml("{" + _EQUALS.sub(r"\1\2: ", rest) + "}")
    except yaml.YAMLError as error:
        problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else error
        raise InvalidValueError(f"{spec!r}: {problem}") from error


def usage(kind: str, name: str, *context: str) -> str:
    """The form of the text that builds an object, as in `random:fraction=NUMBER[,seed=0]`.

    Args:
        kind: A key of `posterior.app.registry.REGISTERED`.
        name: A registered name.
        context: Names of the arguments that the caller knows.
    """
    name = {known.lower(): known for known in REGISTERED[kind]}.get(name.lower(), name)
    own = [p for key, p in _parameters(_factory(kind, name)).items() if key not in context]
    needed = ",".join(f"{p.name}={_placeholder(p.annotation)}" for p in own if p.default is p.empty)
    optional = ",".join(_default(p) for p in own if p.default is not p.empty)
    return name + (f":{needed}" if needed else "") + (f"[{',' if needed else ':'}{optional}]" if optional else "")


class _SettingError(InvalidValueError):
    """A setting that does not suit what is built; `build` adds what that is."""


def _factory(kind: str, name: str) -> Callable[..., Any]:
    """What builds the object of a name; of a prior, the name may be a folder."""
    registered = REGISTERED[kind]
    small = {known.lower(): known for known in registered}
    if name.lower() in small:
        return registered[small[name.lower()]]
    if kind == "prior" and (os.sep in name or Path(name).expanduser().is_dir()):
        return partial(load_prior, name)
    hint = did_you_mean(name, registered)
    raise UnknownNameError(f"no {kind} is called {name!r}{hint}; there are {', '.join(registered)}")


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
        own = dataclasses.fields(factory) if dataclasses.is_dataclass(factory) else ()
        made = {f.name: f.default_factory() for f in own if callable(f.default_factory)}
        found = [p.replace(default=made.get(p.name, p.default)) for p in found]
    return {p.name: p.replace(annotation=hints.get(p.name, p.annotation)) for p in found if p.kind != p.VAR_KEYWORD}


def _converted(key: Any, takes: dict[str, inspect.Parameter], value: Any, context: Mapping[str, Any]) -> Any:
    if key not in takes:
        raise _SettingError(f"there is no argument {key!r}{did_you_mean(str(key), takes)}")
    try:
        return _typed(takes[key].annotation, value, context)
    except ArgumentError as error:
        raise _SettingError(f"{key} cannot be {value!r}") from error


def _typed(annotation: Any, value: Any, context: Mapping[str, Any]) -> Any:
    """A value from YAML as the type that is wanted: 1e-3 is text there, and 1 an integer."""
    options = _options(annotation)
    if isinstance(value, str | Mapping) and (kind := _nested(options)):
        if kind == "likelihood" and "operator" in context and "operator" in as_mapping(value):  # one of its own
            context = {"event_shape": context["operator"].event_shape}
        return build(kind, value, **context)
    if annotation == Spec:
        if not isinstance(value, str | Mapping):
            raise ArgumentError(None, "it is neither text nor a mapping")
        return value
    if get_origin(annotation) is Sequence:
        if not isinstance(value, list):
            raise ArgumentError(None, "it is no list")
        (wanted,) = get_args(annotation)
        return [_typed(wanted, element, context) for element in value]
    if get_origin(annotation) is Mapping:
        if not isinstance(value, Mapping):
            raise ArgumentError(None, "it is no mapping")
        _, wanted = get_args(annotation)
        return {str(key): _typed(wanted, element, context) for key, element in value.items()}
    # Of a class jsonargparse would import whatever the value names, so it sees no classes but the plain ones.
    plain = tuple(option for option in options if option in _PLAIN or not isinstance(option, type))
    try:
        parser = ArgumentParser(exit_on_error=False)
        parser.add_argument("--value", type=Union[plain or (type(None),)])  # noqa: UP007
        return parser.parse_object({"value": value}).value
    except ArgumentError:
        if Tensor in options and isinstance(value, str):
            return load_array(value)
        if Tensor in options and isinstance(value, list):
            return _tensor(value)
        raise


def _tensor(values: list[Any]) -> Tensor:
    """Lists of numbers, or lists of such, in single precision."""
    try:
        return torch.tensor(values, dtype=torch.float32)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ArgumentError(None, "these are no numbers in rows of equal length") from error


def _options(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    if isinstance(annotation, TypeVar):
        return (annotation.__bound__,)
    return get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)


def _nested(options: tuple[Any, ...]) -> str | None:
    """The kind of object that is built from a text of its own; None where no such object is wanted."""
    classes = [kind for option in options if isinstance(kind := get_origin(option) or option, type)]
    return next((kind for base, kind in _NESTED.items() if any(issubclass(c, base) for c in classes)), None)


def _placeholder(annotation: Any) -> str:
    """The word that stands for a value in `usage`."""
    options = _options(annotation)
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) is Sequence:
        return f"[{_placeholder(*get_args(annotation))},…]"
    if get_origin(annotation) is Mapping:
        return f"{{NAME: {_placeholder(get_args(annotation)[1])}}}"
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
    if isinstance(value, Mapping):
        text = f"{{{', '.join(f'{key}: {type(one).__name__}' for key, one in value.items())}}}"
    return f"{parameter.name}={text}"
