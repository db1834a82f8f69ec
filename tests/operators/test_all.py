"""What holds for every operator: its formula, its adjoint and spectrum, leading dimensions, precision, devices."""

import pytest
import torch

from posterior.operators import LinearOperator
from tests.operators.case import Case
from tests.operators.cases import CASES
from tests.operators.checks import (
    assert_close,
    check_batching,
    check_conversions,
    check_declarations,
    check_operator,
    random_images,
)

each = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])


@each
def test_checks_of_every_operator(case: Case) -> None:
    operator = case.make()
    assert operator.event_shape == case.event_shape
    if isinstance(operator, LinearOperator):
        check_operator(operator)
    else:
        for check in (check_declarations, check_conversions, check_batching):
            check(operator.to(torch.float64))


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items() if case.formula])
def test_values_are_those_of_the_formula(case: Case) -> None:
    operator = case.make().to(torch.float64)
    x = random_images(operator)
    assert case.formula is not None
    assert_close(operator(x), case.formula(x), 1e-7)  # some parameters were rounded to float32
