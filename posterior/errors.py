"""The exceptions and warnings of this library: each says what is wrong, where, and what to do."""

from __future__ import annotations


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


class UnknownNameError(PosteriorError, LookupError):
    """A name that is not registered."""


class TrustWarning(UserWarning):
    """A result that should not be trusted, and why."""
