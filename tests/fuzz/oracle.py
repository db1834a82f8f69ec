"""What may come of an odd input: a named error, or a result where the documentation allows the input."""

import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from posterior.errors import PosteriorError

Allowed = Callable[[Any], bool]
WORK, WAIT = 10, 60  # seconds that an input may take: of this process's work, and of waiting on a busy machine


class Call(NamedTuple):
    """Something public, with arguments that are right.

    Attributes:
        function: What is called, with keyword arguments.
        arguments: Makes those that are right.
        allowed: The values that each of the arguments may have, as its documentation says.
        use: Works with what is returned, as a user would; gives numbers.
        names: What errors may call the arguments, beside their names.
    """

    function: Callable[..., Any]
    arguments: Callable[[], Mapping[str, Any]]
    allowed: Mapping[str, Allowed]
    use: Callable[[Any], Any] = lambda result: result
    names: Sequence[str] = ()


class Hang(BaseException):
    """Nothing had come of it after ten seconds of work, or a minute; no handler of exceptions takes it."""


class UserError(Exception):
    """What functions of users raise; it is theirs to see."""


@contextmanager
def watched() -> Iterator[None]:
    """Raise `Hang` where the block takes more than ten seconds of work, or a minute."""

    def ring(number: int, _: object) -> None:
        raise Hang(f"more than {WORK if number == signal.SIGPROF else WAIT} s")

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, WORK), signal.SIGALRM: (signal.ITIMER_REAL, WAIT)}
    before = {number: signal.signal(number, ring) for number in timers}
    for timer, seconds in timers.values():
        signal.setitimer(timer, seconds)
    try:
        yield
    finally:
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def check_call(call: Call, argument: str, value: Any) -> None:
    """Call something with one argument replaced.

    Foreign exceptions are let through. Raises AssertionError where a value is taken that is not allowed, a message does
    not name the argument, or the result of a value that is allowed does not work.
    """
    arguments = {**call.arguments(), argument: value}
    allowed = call.allowed[argument](value)
    with watched(), torch.random.fork_rng():
        try:
            result = call.function(**arguments)
        except PosteriorError as error:
            said = str(error).lower()
        except UserError:
            return
        else:
            said = ""
        if said:
            named = (argument, argument.replace("_", " "), *call.names)
            assert any(name.lower() in said for name in named), f"{argument} is not named in: {said}"
            return
        assert allowed, f"taken in silence: {argument}={value!r}"
        try:
            used = call.use(result)
        except PosteriorError:
            return
    assert finite(used), f"taken, but what comes of it is not finite: {argument}={value!r}"


def finite(values: Any) -> bool:
    """Whether all numbers in a result are finite."""
    if isinstance(values, Tensor):
        return bool(values.isfinite().all())
    if isinstance(values, float):
        return math.isfinite(values)
    if isinstance(values, Mapping):
        return all(map(finite, values.values()))
    if isinstance(values, Sequence) and not isinstance(values, str):
        return all(map(finite, values))
    return True


def number(value: Any) -> float | None:
    """What a value is as a number, None if it is none: bools and text are none, numbers of any library are."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    return value if type(value) in (int, float) and math.isfinite(value) else None


def real(low: float = -math.inf, high: float = math.inf, open_low: bool = False, open_high: bool = False) -> Allowed:
    """Finite numbers from `low` to `high`, with or without the ends."""

    def allowed(value: Any) -> bool:
        x = number(value)
        return x is not None and low <= x <= high and not (open_low and x == low) and not (open_high and x == high)

    return allowed


def whole(low: float = -math.inf) -> Allowed:
    """Integers of any library from `low` on."""
    return lambda value: type(number(value)) is int and number(value) >= low  # type: ignore[operator]


def either(*choices: Any) -> Allowed:
    """One of some values, of the same type, or what one of some functions allows."""
    return lambda value: any(
        choice(value) if callable(choice) else type(value) is type(choice) and value == choice for choice in choices
    )


def several(each: Allowed, fewest: int = 0) -> Allowed:
    """Sequences of such values."""

    def allowed(value: Any) -> bool:
        if isinstance(value, Tensor | np.ndarray):
            value = value.tolist() if value.ndim and dense(value) else None
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str | bytes)
            and len(value) >= fewest
            and all(map(each, value))
        )

    return allowed


def numbers(shape: Callable[[tuple[int, ...]], bool] | Sequence[int] | None = None, *dtypes: torch.dtype) -> Allowed:
    """Finite tensors, arrays and lists of such a shape, of such types."""

    def allowed(value: Any) -> bool:
        if not isinstance(value, Tensor | np.ndarray | list | tuple):
            return False
        try:
            tensor = torch.as_tensor(value.copy() if isinstance(value, np.ndarray) else value)
        except (TypeError, ValueError, RuntimeError):
            return False
        if not dense(tensor):
            return False
        fits = shape is None or (shape(tuple(tensor.shape)) if callable(shape) else tuple(tensor.shape) == tuple(shape))
        return fits and finite(tensor) and (not dtypes or tensor.dtype in dtypes)

    return allowed


def dense(values: Tensor | np.ndarray) -> bool:
    """Whether values are stored one by one."""
    return not isinstance(values, Tensor) or values.layout is torch.strided


def flag(value: Any) -> bool:
    """True or False, of any library."""
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    return type(value) is bool


def anything(value: Any) -> bool:
    """Any value: what comes of it is the user's own."""
    return True
