"""The plan of a reader study: what `study.yaml` says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from posterior.app.bounded_yaml import load_yaml
from posterior.app.study.rendering import IMAGE_FILES
from posterior.checks import Size, check_value
from posterior.errors import CheckpointMismatchError, FileFormatError, InvalidValueError, did_you_mean
from posterior.io.fingerprint import fingerprint
from posterior.io.readers import reading

_KEYS: dict[str, Any] = {
    "methods": dict,
    "readers": Sequence[str],
    "window": tuple[float, float],
    "reference": str,
    "question": str,
    "repeats": Size,
    "seed": int,
    "out": str,
}
_REQUIRED = ("methods", "readers", "window")
_QUESTION = "Which reconstruction is best, which second-best, and so on?"
_MOST_METHODS = 9  # keys 1 … 9
_LISTED = 3  # file names in a message


@dataclass(frozen=True)
class Plan:
    """A reader study.

    Attributes:
        methods: Folder of the reconstructions of each method.
        readers: Names of those who rank.
        window: Values shown as black and as white.
        reference: Folder of the reference images, if they are shown.
        question: What readers are asked.
        repeats: How many images each reader ranks a second time.
        seed: Seed of the orders of images and of methods.
        out: Folder of the answers and of the analysis.
        images: File names that every folder has.
    """

    methods: dict[str, Path]
    readers: tuple[str, ...]
    window: tuple[float, float]
    reference: Path | None
    question: str
    repeats: int
    seed: int
    out: Path
    images: tuple[str, ...]

    @property
    def answers(self) -> Path:
        """The database of answers."""
        return self.out / "answers.sqlite"

    @property
    def shown(self) -> list[str | None]:
        """The methods, and None for the reference if it is shown."""
        return [*sorted(self.methods), *([] if self.reference is None else [None])]

    def file(self, image: str, method: str | None) -> Path:
        """The file of an image by a method, or of the reference."""
        folder = self.reference if method is None else self.methods[method]
        assert folder is not None
        return folder / image

    @cached_property
    def digests(self) -> dict[str | None, dict[str, bytes]]:
        """Of each method, and of the reference, the digests of its images when they were first asked for."""
        return {method: {image: self._digest(image, method) for image in self.images} for method in self.shown}

    def identity(self) -> dict[str, str]:
        """What must stay as it is once readers have begun: settings, and digests of the images."""
        settings = {name: repr(getattr(self, name)) for name in ("window", "question", "repeats", "seed", "images")}
        digests = {
            f"images of {method or 'the reference'}": fingerprint(list(each.values()))
            for method, each in self.digests.items()
        }
        return {**settings, "methods": repr(sorted(self.methods)), **digests}

    def check_image(self, image: str, method: str | None) -> None:
        """Raise `CheckpointMismatchError` where the file of an image has changed since the study was opened."""
        if self._digest(image, method) != self.digests[method][image]:
            raise CheckpointMismatchError(
                f"{self.file(image, method)} has changed since the server began, and readers are to rank what others "
                "have seen: put it back"
            )

    def _digest(self, image: str, method: str | None) -> bytes:
        return hashlib.blake2b(self.file(image, method).read_bytes()).digest()


def read_plan(path: Path) -> Plan:
    """Read `study.yaml`; relative paths in it are relative to its folder.

    Raises:
        FileFormatError: It is no YAML, or a folder of images is missing or empty.
        InvalidValueError: A key is unknown, missing or of another type, or folders differ in their file names.
    """
    given = _read(path)
    base = path.parent
    methods = {
        _line(path, "a method's name", name): base / _line(path, f"the folder of {name}", folder)
        for name, folder in given["methods"].items()
    }
    readers = tuple(_line(path, "a reader's name", name) for name in given["readers"])
    black, white = given["window"]
    if not 2 <= len(methods) <= _MOST_METHODS:
        raise InvalidValueError(
            f"{path}: methods are 2 to {_MOST_METHODS} names, each with a folder; {len(methods)} given"
        )
    if not readers or len(set(readers)) < len(readers):
        raise InvalidValueError(f"{path}: readers are names, each once; got {list(readers)}")
    if not black < white:
        raise InvalidValueError(f"{path}: window is [value of black, value of white]; got [{black:g}, {white:g}]")
    question = given.get("question", _QUESTION)
    told = [name for name in methods if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", question, re.IGNORECASE)]
    if told:
        raise InvalidValueError(f"{path}: the question names the method {told[0]}, which readers must not see")
    out = base / given.get("out", "results")
    if not out.resolve().is_relative_to(base.resolve()):
        raise InvalidValueError(f"{path}: out is a folder within that of {path.name}; got {given['out']!r}")
    reference = base / given["reference"] if "reference" in given else None
    images = _images(path, [*methods.values(), *([] if reference is None else [reference])])
    repeats = given.get("repeats", 0)
    if repeats > len(images):
        raise InvalidValueError(f"{path}: repeats are at most the number of images, {len(images)}; got {repeats}")
    return Plan(methods, readers, (black, white), reference, question, repeats, given.get("seed", 0), out, images)


def _read(path: Path) -> dict[str, Any]:
    """The keys and values of the file, each of its type."""
    try:
        with reading(path, "YAML"):
            text = path.read_text(encoding="utf-8")
        given = load_yaml(text)
    except yaml.YAMLError as error:
        raise FileFormatError(f"{path} is not YAML: {error}") from error
    if not isinstance(given, dict):
        raise InvalidValueError(f"{path} holds no study: write `methods:`, `readers:` and `window:`")
    for key, value in given.items():
        if key not in _KEYS:
            hint = did_you_mean(str(key), _KEYS)
            raise InvalidValueError(f"{path}: there is no key {key!r}{hint}; keys are {', '.join(_KEYS)}")
        check_value(str(path), key, value, _KEYS[key])
        if isinstance(value, str):
            _line(path, key, value)
    if missing := [key for key in _REQUIRED if key not in given]:
        raise InvalidValueError(f"{path} lacks {' and '.join(missing)}")
    return given


def _line(path: Path, what: str, value: Any) -> str:
    """A text of one line that can be seen: names and paths."""
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise InvalidValueError(f"{path}: {what} is text in one line; got {value!r}")
    return value


def _images(path: Path, folders: Iterable[Path]) -> tuple[str, ...]:
    """The file names that all folders have, or an error that says which folder lacks one."""
    found = {folder: _files(path, folder) for folder in folders}
    every = set().union(*found.values())
    for folder, names in found.items():
        if missing := sorted(every - names):
            listed = ", ".join(missing[:_LISTED]) + (f" and {len(missing) - _LISTED} more" if missing[_LISTED:] else "")
            raise InvalidValueError(f"{path}: {folder} lacks {listed}; all folders need the same file names")
    return tuple(sorted(every))


def _files(path: Path, folder: Path) -> set[str]:
    if not folder.is_dir():
        raise FileFormatError(f"{path}: there is no folder {folder}")
    found = [file.relative_to(folder) for file in folder.rglob("*") if file.suffix.lower() in IMAGE_FILES]
    names = {file.as_posix() for file in found if not any(part.startswith(".") for part in file.parts)}
    if not names:
        raise FileFormatError(f"{path}: {folder} holds no images ({', '.join(IMAGE_FILES)})")
    if strange := [name for name in names if name.encode(errors="ignore").decode() != name]:
        raise FileFormatError(f"{path}: {folder} holds {strange[0]!r}, whose name is not UTF-8; rename it")
    return names
