import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from posterior.errors import IncompatibleError, ShapeError
from posterior.operators import (
    Blur,
    Composition,
    Downsampling,
    Identity,
    Inpainting,
    LinearOperator,
    Magnitude,
)
from tests.operators.case import MASK, Case
from tests.operators.checks import (
    assert_close,
    check_batching,
    check_conversions,
    check_declarations,
    check_operator,
    random_images,
)
from tests.operators.examples import ALL, COMPOSED, EVENT, LINEAR, fourier, masks, square

SHARED_CASES = {
    "Composition": Case(
        "composition:outer=downsampling:factor=2,inner=mask:path={mask}",
        lambda x: avg_pool2d(x * torch.from_numpy(MASK), 2),
        {"mask": MASK},
    ),
}

KEEP_THE_SHAPE = ["identity", "mask", "masks", "blur"]
each_operator = pytest.mark.parametrize("name", ALL)


@each_operator
@torch.no_grad()
def test_declarations_conversions_and_selection(name):
    operator = ALL[name]().double()
    assert operator.is_complex == ("complex" in name)
    check_declarations(operator)
    check_conversions(operator)
    check_batching(operator)


def test_declared_precision_and_device_follow():
    operator = Blur.gaussian(EVENT, 0.7)
    assert (operator.dtype, operator.device) == (torch.float32, torch.device("cpu"))
    moved = operator.double().to("meta")
    assert (moved.dtype, moved.device) == (torch.float64, torch.device("meta"))
    assert (Identity(EVENT).dtype, Identity(EVENT).device) == (None, None)
    assert (Inpainting(masks()).dtype, Inpainting(masks()).device) == (None, torch.device("cpu"))
    assert (Identity(EVENT) @ moved).dtype == torch.float64


@settings(max_examples=10, deadline=None)
@given(outer=st.sampled_from(sorted(LINEAR)), inner=st.sampled_from(KEEP_THE_SHAPE))
def test_composition(outer, inner):
    operator = LINEAR[outer]() @ LINEAR[inner]()
    assert isinstance(operator, Composition)
    check_operator(operator)


@pytest.mark.parametrize("name", COMPOSED)
def test_compositions_and_stacks(name):
    check_operator(COMPOSED[name]())


def test_complex_parts():
    check_operator(fourier())
    check_operator(Inpainting(masks()) @ fourier())


def test_composition_measures_in_order():
    blur, mean = Blur.gaussian(EVENT, 0.7), Downsampling(EVENT, 2)
    x = random_images(mean, 2, dtype=torch.float32)
    assert_close((mean @ blur)(x), mean(blur(x)))


def test_a_nonlinear_part_makes_a_nonlinear_composition():
    mask = Inpainting(masks(2), EVENT)
    for operator, expected in ((square() @ mask, lambda x: mask(x) ** 2), (mask @ square(), lambda x: mask(x**2))):
        assert not isinstance(operator, LinearOperator)
        check_batching(operator)
        x = random_images(operator, 2)
        assert_close(operator(x), expected(x))
    assert torch.equal((mask @ square()).num_measured, mask.num_measured)
    assert torch.equal((mask @ square()).restrict(x), mask(x))


@pytest.mark.parametrize(
    ("outer", "is_complex"),
    [(square, True), (lambda: Magnitude(Identity(EVENT)), False), (lambda: Identity(EVENT), True)],
)
def test_whether_what_follows_complex_measurements_is_complex(outer, is_complex):
    operator = outer() @ fourier()
    assert operator.is_complex == is_complex
    check_declarations(operator)


def test_errors():
    with pytest.raises(ShapeError, match="measures"):
        Identity((2, 2)) @ Identity((4,))
    with pytest.raises(IncompatibleError, match="not linear"):
        Composition(Identity(EVENT), square())
