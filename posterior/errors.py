"""The exceptions and warnings of this library: each says what is wrong, where, and what to do."""

from __future__ import annotations

import difflib
import os
import sys
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch import Tensor

_ROOT = Path(__file__).resolve().parents[1]
_OWN = tuple(f"{_ROOT / name}{os.sep}" for name in ("posterior", "samplers"))


class PosteriorError(Exception):
    """Base of every exception that this library raises on purpose."""


class ShapeError(PosteriorError, ValueError):
    """An array has a shape that does not fit."""


class IncompatibleError(PosteriorError, ValueError):
    """Two parts that do not go together: an operator and a prior, a method and a likelihood."""


class InvalidValueError(PosteriorError, ValueError):
    """An argument is outside the values that make sense."""


class NoiseLevelError(InvalidValueError):
    """A noise level is outside the range in which a prior is valid."""


class NotFiniteError(PosteriorError, ArithmeticError):
    """NaN or infinity in a measurement or in a sampler's state."""


class FileFormatError(PosteriorError, ValueError):
    """A file cannot be read, is corrupt, or does not hold what was expected."""


class CheckpointMismatchError(FileFormatError):
    """A checkpoint is that of other work; the message says which parts of it differ."""


class FileWriteError(PosteriorError, OSError):
    """A file cannot be written."""


class UnknownNameError(PosteriorError, LookupError):
    """A name that is not registered."""


class TooSlowError(PosteriorError, ValueError):
    """A run that would take longer than it may."""


class TrustWarning(UserWarning):
    """A result that should not be trusted, and why."""


class TooLargeWarning(TrustWarning):
    """A problem that is too large for its method, said before the work."""


def check_finite(what: str, values: Tensor, advice: str, ids: Sequence[int | str] | None = None) -> None:
    """Raise `NotFiniteError` unless all values are finite.

    Args:
        what: What the values are, at the head of the message.
        values: Any values; (B, ...) if there are ids.
        advice: What to do about it, at the end of the message.
        ids: Names of B measurements: the message lists those at fault, instead of the number of such values.
    """
    finite = values.isfinite()
    if bool(finite.all()):
        return
    if ids is None:
        where = f"{int((~finite).sum())} of {finite.numel()} values"
    else:
        broken = ~finite.reshape(len(finite), -1).all(1)
        where = f"measurement(s) {[ids[b] for b in broken.nonzero().flatten().tolist()]}"
    raise NotFiniteError(f"{what}: NaN or infinity in {where}; {advice}")


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """The known word that is nearest to what was given, in parentheses; nothing where none is near."""
    words = {word.lower(): word for word in known}
    near = difflib.get_close_matches(given.lower(), words, n=1, cutoff=0.4)
    return f" (did you mean {words[near[0]]!r}?)" if near else ""


def warn_caller(message: str, category: type[Warning] = TrustWarning) -> None:
    """Warn at the line that called this library, however deep in it this is called."""
    frame, level, outermost = sys._getframe(), 1, 1
    while (caller := frame.f_back) is not None:
        frame, level = caller, level + 1
        if frame.f_code.co_filename.startswith(_OWN):
            outermost = level
    warnings.warn(message, category, stacklevel=outermost + 1)
