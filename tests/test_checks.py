from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from posterior.checks import (
    Count,
    NonNegative,
    Positive,
    Range,
    Real,
    Shape,
    Share,
    Values,
    check_falling,
    check_fields,
    checked,
)
from posterior.errors import InvalidValueError

if TYPE_CHECKING:
    from nowhere import Unknown


@dataclass(frozen=True)
class Settings:
    name: ClassVar[str] = "settings"
    count: Count = 1
    share: Share = 0.5
    size: Annotated[float, Range(0, 2, "()")] = 1.0
    weight: Positive | None = None
    kind: Literal["a", "b"] = "a"
    steps: tuple[Count, ...] = (1, 2)
    flag: bool = False

    def __post_init__(self) -> None:
        check_fields(self)


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3), torch.tensor(3), np.array(3)])
def test_whole_numbers_of_any_library_are_integers(value):
    settings = Settings(count=value, steps=[value], share=value / 3 if isinstance(value, int) else 1, weight=value)
    assert (type(settings.count), settings.count, settings.steps) == (int, 3, (3,))
    assert type(settings.weight) is float and settings.weight == 3.0


def test_numbers_are_kept_to_the_last_bit():
    settings = Settings(share=np.float64(0.1), size=torch.tensor(0.3, dtype=torch.float64), weight=0.7)
    assert (settings.share, settings.size, settings.weight) == (0.1, 0.3, 0.7)
    assert Settings() == Settings(1, 0.5, 1, None, "a", (1, 2), False)
    assert repr(Settings(weight=1)) == repr(Settings(weight=1.0))


@pytest.mark.parametrize(
    ("field", "values", "allowed"),
    [
        (
            "count",
            (0, -1, 2.5, 3.0, "3", None, True, math.nan, 1j, [1], torch.ones(2), np.float64(3)),
            "an integer ≥ 1",
        ),
        ("share", (-0.1, 1.1, math.nan, math.inf, "0.5", None, False, 0.5j), r"a finite number in \[0, 1\]"),
        ("size", (0, 2.0, -math.inf, 10**400), r"a finite number in \(0, 2\)"),
        ("weight", (0.0, -1, math.nan, "1"), "a finite number > 0 or None"),
        ("kind", ("c", None, 1, ["a"]), "'a' or 'b'"),
        ("steps", ((1, 0), 3, "12", (1.5,), None), "a sequence of integers ≥ 1"),
        ("flag", (1, "yes", None), "a bool"),
    ],
)
def test_other_values_are_refused(field, values, allowed):
    for value in values:
        with pytest.raises(InvalidValueError, match=f"Settings needs {field} to be {allowed}; got "):
            Settings(**{field: value})


def test_schedules_go_down():
    settings = Settings(share=0.2, size=0.1)
    check_falling(settings, "share", "size")
    for pair in (("size", "share"), ("size", "size")):
        with pytest.raises(InvalidValueError, match=f"Settings needs {pair[0]} > {pair[1]}; got 0.1 and"):
            check_falling(settings, *pair)


class Thing:
    @checked
    def __init__(
        self, shape: Shape, weights: Tensor, scale: NonNegative | Tensor = 1.0, *, user: Unknown = None
    ) -> None:
        self.shape, self.weights, self.scale, self.user = shape, weights, scale, user

    @classmethod
    @checked
    def of(cls, size: Count) -> Thing:
        return cls((size,), torch.ones(size))


@checked
def half(number: float, other: Thing | None = None) -> float:
    return number / 2


def test_arguments_of_functions_are_checked_and_converted():
    with pytest.raises(InvalidValueError, match=r"half needs number to be a finite number; got 'a'"):
        half("a")
    with pytest.raises(InvalidValueError, match=r"half needs other to be a Thing or None; got 3"):
        half(1.0, other=3)
    assert half(np.int32(3)) == 1.5 and half.__name__ == "half"
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'number'"):
        half()


def test_annotations_that_no_one_can_evaluate_are_left_alone():
    class Local(Thing):
        pass

    assert Local("ab", [1.0]).shape == "ab"  # the name `Unknown` is there for type checkers alone


class Known:
    @checked
    def __init__(self, shape: Shape, weights: Tensor, scale: NonNegative | Tensor = 1.0) -> None:
        self.shape, self.weights, self.scale = shape, weights, scale

    @classmethod
    @checked
    def of(cls, size: Count) -> Known:
        return cls((size,), torch.ones(size))


def test_constructors_name_the_class_that_is_made():
    class Derived(Known):
        pass

    thing = Derived([1, np.int64(2)], np.ones(2), scale=torch.tensor([1.0, 2.0]))
    assert thing.shape == (1, 2) and isinstance(thing.weights, Tensor) and isinstance(thing.scale, Tensor)
    for arguments in ((3, np.ones(2)), ((1, 0), np.ones(2)), ("12", np.ones(2))):
        with pytest.raises(InvalidValueError, match="Derived needs shape to be a sequence of integers ≥ 1"):
            Derived(*arguments)
    for weights in ("ones", None, torch.tensor([1.0, math.nan]), [math.inf]):
        with pytest.raises(InvalidValueError, match="Derived needs weights to be a tensor of finite numbers"):
            Derived((1,), weights)
    with pytest.raises(
        InvalidValueError, match=r"scale to be a finite number ≥ 0 or a tensor of finite numbers; got -1"
    ):
        Derived((1,), torch.ones(1), -1)
    with pytest.raises(InvalidValueError, match=r"Derived.of needs size to be an integer ≥ 1; got 0"):
        Derived.of(0)


@checked
def placed(weights: Tensor, device: torch.device | str | None = None, count: Count = 1, other: Any = None) -> object:
    return device


def test_devices_exist() -> None:
    assert placed([1.0], "cpu", other=object()) == torch.device("cpu") and placed([1.0], None) is None
    for device in ("text", "", 0, torch.float32):
        with pytest.raises(InvalidValueError, match="placed needs device to be"):
            placed([1.0], device)  # type: ignore[arg-type]


def test_what_torch_cannot_take_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="got a sparse Tensor"):
        placed(torch.eye(2).to_sparse())
    with pytest.raises(InvalidValueError, match="count to be"):
        placed([1.0], count=10**30)
    with pytest.raises(InvalidValueError, match="shape to be"):
        Known(torch.eye(2).to_sparse(), [1.0])


@checked
def measured(values: Values, real: Real) -> tuple[Tensor, Tensor]:
    return values, real


def test_numbers_may_be_infinite_where_a_function_says_what_then() -> None:
    values, real = measured([math.nan, 1.0], np.array([math.inf]))
    assert bool(values[0].isnan()) and bool(real[0].isinf())
    assert bool(measured([1j, True], range(3))[0].is_complex())
    for other in ("text", None, 3, torch.eye(2).to_sparse()):
        with pytest.raises(InvalidValueError, match="values to be a tensor of numbers"):
            measured(other, [1.0])  # type: ignore[arg-type]
    for other in ([1j], [True, False]):
        with pytest.raises(InvalidValueError, match="real to be a tensor of real numbers"):
            measured([1.0], other)  # type: ignore[arg-type]


def test_arrays_that_must_not_be_written_to_are_copied() -> None:
    array = np.ones(2)
    array.flags.writeable = False
    values, _ = measured(array, [1.0])
    values += 1
    assert array.tolist() == [1.0, 1.0]
