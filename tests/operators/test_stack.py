import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import avg_pool2d

from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.operators import Grayscale, Identity, Inpainting, Operator, Stack
from tests.operators.case import Case
from tests.operators.checks import assert_close, check_operator, random_images
from tests.operators.examples import EVENT, LINEAR, fourier, masks, square

SHARED_CASES = {
    "Stack": Case(
        "stack:operators=[identity, downsampling:factor=2]",
        lambda x: torch.cat([x.flatten(), avg_pool2d(x, 2).flatten()]),
    ),
}


@settings(max_examples=10, deadline=None)
@given(parts=st.lists(st.sampled_from(sorted(LINEAR)), min_size=1, max_size=3))
def test_stack(parts):
    check_operator(Stack([LINEAR[part]() for part in parts]))


def test_complex_parts():
    check_operator(Stack([fourier(), Inpainting(masks(2), EVENT) @ fourier()]))


def test_stack_concatenates():
    mask, gray = Inpainting(masks()), Grayscale(EVENT)
    stack = Stack([mask, gray])
    x = random_images(stack, 2, dtype=torch.float32)
    assert stack.num_measured == int(masks().sum()) + 24
    assert_close(stack(x), torch.cat([mask(x).flatten(1), gray(x).flatten(1)], 1))
    for piece, part in zip(stack.split(stack(x)), (mask, gray), strict=True):
        assert_close(piece, part(x))


def test_num_measured_of_masks():
    stack = Stack([Inpainting(masks(2), EVENT), Grayscale(EVENT)])
    assert stack.num_measured.tolist() == [int(m.sum()) + 24 for m in masks(2)]
    assert stack.select(torch.tensor([1])).num_measured.tolist() == [int(masks(2)[1].sum()) + 24]


def test_a_stack_cannot_mix_real_and_complex():
    with pytest.raises(IncompatibleError, match="all real or all complex"):
        Stack([Identity(EVENT), fourier()])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Stack([]), InvalidValueError, "at least one"),
        (lambda: Stack([Identity((2, 2)), Identity((4,))]), ShapeError, "one event_shape"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_measurements_may_be_single_numbers():
    mean = Operator.from_callable(lambda x: x.mean(1), event_shape=(4,), measurement_shape=(), linear=True)
    stack, x = Stack([mean, Identity((4,))]), torch.arange(8.0).reshape(2, 4)
    assert torch.equal(stack(x), torch.cat([x.mean(1, keepdim=True), x], 1))


def test_nonlinear_parts_are_refused():
    with pytest.raises(InvalidValueError, match="operators to be a sequence"):
        Stack(Identity(EVENT))
    with pytest.raises(ShapeError, match="at least one dimension"):
        Identity(())
    with pytest.raises(IncompatibleError, match="linear operators"):
        Stack([Identity(EVENT), square()])
