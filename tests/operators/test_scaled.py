import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.operators import Downsampling, Inpainting, Magnitude, Matrix, Scaled
from tests.operators.case import Case
from tests.operators.checks import check_operator
from tests.operators.examples import fourier

SHARED_CASES = {
    "Scaled": Case(
        "scaled:operator=half:keep=top,factor=0.5", lambda x: 0.5 * Inpainting.half_image((3, 4, 6), "top")(x)
    ),
}


def test_each_measurement_may_have_its_own_factor() -> None:
    factors = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)
    for inner in (Downsampling((1, 4, 4), 2), fourier(), Matrix(torch.eye(3)[:2])):
        check_operator(Scaled(inner, factors))
        check_operator(Scaled(inner, 1.0).with_parameters(factor=factors))


def test_what_is_not_linear_or_positive_is_refused() -> None:
    matrix = Matrix(torch.eye(2))
    with pytest.raises(InvalidValueError, match="Scaled needs operator to be a LinearOperator"):
        Scaled(Magnitude(matrix), 2.0)
    for factor in (0.0, float("nan"), [1j], True):
        with pytest.raises(InvalidValueError, match="factor must be positive and finite"):
            Scaled(matrix, factor)
