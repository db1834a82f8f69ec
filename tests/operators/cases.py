"""The cases of all operators, on which the shared suite runs.

The test file of an operator has a dictionary of its own, `SHARED_CASES`. Names that have a part after the comma are
variants of the same operator. Only suites may import this module, which imports all other tests.
"""

from pathlib import Path

from tests.collection import shared_cases
from tests.operators.case import Case

CASES: dict[str, Case] = shared_cases(Path(__file__).parent)
