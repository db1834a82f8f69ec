import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d, interpolate

from posterior.errors import InvalidValueError, ShapeError
from posterior.operators import Downsampling
from tests.operators.case import Case
from tests.operators.checks import check_operator, materialise, random_images

SHARED_CASES = {
    "Downsampling": Case("downsampling:factor=2", lambda x: avg_pool2d(x, 2)),
    "Downsampling, bicubic": Case(
        "downsampling:factor=2,kind=bicubic",
        lambda x: interpolate(x[None], scale_factor=0.5, mode="bicubic", antialias=True)[0],
    ),
}

sides = st.integers(1, 4)


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["mean", "bicubic"]),
    lead=st.sampled_from([(), (1,), (2,)]),
    rows=sides,
    columns=sides,
    factor=st.integers(1, 3),
)
def test_downsampling(kind, lead, rows, columns, factor):
    operator = Downsampling((*lead, rows * factor, columns * factor), factor, kind)
    assert operator.measurement_shape == (*lead, rows, columns)
    check_operator(operator)


@pytest.mark.parametrize("kind", ["mean", "bicubic"])
def test_values_are_those_of_torch(kind):
    operator = Downsampling((3, 12, 20), 4, kind)
    x = random_images(operator, 2)
    if kind == "mean":
        expected = torch.nn.functional.avg_pool2d(x, 4)
    else:
        expected = torch.nn.functional.interpolate(x, scale_factor=0.25, mode="bicubic", antialias=True)
    torch.testing.assert_close(operator(x), expected)


def test_block_means_are_tight():
    operator = Downsampling((1, 6, 4), 2)
    gram = materialise(operator).T @ materialise(operator)
    torch.testing.assert_close(gram @ gram, gram / 4)
    assert operator.norm() == 0.5


@pytest.mark.parametrize("kind", ["mean", "bicubic"])
def test_types_and_errors_name_the_public_class(kind):
    operator = Downsampling((1, 6, 4), 2, kind)
    assert type(operator) is Downsampling and operator.knows_spectrum
    wrong = torch.zeros(1, 5, 4)
    for call in (operator, operator.adjoint, operator.gram, lambda x: operator.gram_function(torch.ones_like, x)):
        with pytest.raises(ShapeError, match="given to Downsampling"):
            call(wrong)


@pytest.mark.parametrize("kind", ["mean", "bicubic"])
def test_copies(kind):
    operator = Downsampling((1, 6, 4), 2, kind)
    x = random_images(operator)
    for twin in (copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))):
        assert torch.equal(twin(x), operator(x))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (((1, 6, 5), 2), ShapeError, "2 divides"),
        (((6,), 2), ShapeError, r"\(..., H, W\)"),
        (((1, 6, 4), 0), InvalidValueError, "an integer ≥ 1"),
        (((1, 6, 4), 2.0), InvalidValueError, "an integer ≥ 1"),
        (((1, 6, 4), 2, "nearest"), InvalidValueError, "nearest"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        Downsampling(*arguments)
