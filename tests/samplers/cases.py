"""The cases of all samplers and solvers, on which the shared suites run.

The test file of a method has a dictionary of its own, `SHARED_CASES`. Names that have a part after the comma are
variants of the same method. Only suites called test_all.py may import this module, which imports all other tests.
"""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collection import shared_cases
from tests.samplers.case import Case

CASES: dict[str, Case] = shared_cases(Path(__file__).parent)


def each(wanted: Callable[[Case], bool] = lambda case: True) -> pytest.MarkDecorator:
    """A test of every case that is wanted, as its argument `case`."""
    return pytest.mark.parametrize(
        "case",
        [pytest.param(case, id=name, marks=_marks(case)) for name, case in CASES.items() if wanted(case)],
    )


def _marks(case: Case) -> tuple[pytest.MarkDecorator, ...]:
    if case.package is None or importlib.util.find_spec(case.package):
        return ()
    return (pytest.mark.skip(reason=f"{case.package} is not installed"),)
