"""YAML of a reasonable size: with aliases, a few lines can stand for more values than there is memory."""

from __future__ import annotations

import math
from typing import Any

import yaml

_LONGEST, _MOST = 100_000, 10_000  # characters, and values that they stand for
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C, where there is one


def load_yaml(text: str) -> Any:
    """What a text says in YAML.

    Raises:
        yaml.YAMLError: It is not YAML, says too much, or says something twice.
    """
    check_size(text)
    try:
        return yaml.safe_load(text)
    except (ValueError, RecursionError) as error:  # a date that there is not, a number of too many digits
        raise yaml.YAMLError(str(error)) from error


def check_size(text: str) -> None:
    """Check how much a text says, if it is YAML, before it is made.

    Raises:
        yaml.YAMLError: It is too long, stands for too many values, or is no text.
    """
    _check_text(text)
    try:
        size = _size(text)
    except RecursionError:
        size = math.inf
    if size > _MOST:
        raise yaml.YAMLError(f"YAML of more than {_LONGEST} characters or {_MOST} values is not read")


def _size(text: str) -> float:
    """How many values a text stands for, where an alias counts as all that it stands for."""
    if len(text) > _LONGEST:
        return math.inf
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError:
        return 1  # another kind of text
    return _count(node, {})


def _count(node: yaml.Node | None, counted: dict[yaml.Node | None, float]) -> float:
    if node not in counted:
        counted[node] = math.inf  # until it is known: what holds itself has no end
        if isinstance(node, yaml.MappingNode):
            _check_keys(node)
            counted[node] = 1 + sum(_count(part, counted) for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            counted[node] = 1 + sum(_count(part, counted) for part in node.value)
        elif isinstance(node, yaml.ScalarNode) and node.style and "&" in node.value:
            counted[node] = _size(node.value)  # quoted text, in which jsonargparse looks for YAML too
        else:
            counted[node] = 1
    return counted[node]


def _check_text(text: str) -> None:
    """Raise where there are characters that no file can hold, as names of files that are not UTF-8 have them."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise yaml.YAMLError(f"{text!r} is not UTF-8; if it is the name of a file, rename that") from error


def _check_keys(node: yaml.MappingNode) -> None:
    """Raise where a key is there twice: the last would count, and nobody would know."""
    keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    if twice := next((key for place, key in enumerate(keys) if key in keys[:place]), None):
        raise yaml.YAMLError(f"the key {twice!r} is there twice")
