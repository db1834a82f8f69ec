import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.operators import (
    Blur,
    Composition,
    Downsampling,
    GaussianMeasurement,
    Grayscale,
    Identity,
    Inpainting,
    LinearOperator,
    Operator,
    Stack,
)
from tests.operators.checks import assert_close, check_batching, check_operator, random_images

EVENT = (3, 4, 6)


def masks(*lead):
    mask = torch.rand(*lead, *EVENT, generator=torch.Generator().manual_seed(3)) < 0.5
    mask[..., 0, 0, 0] = True
    return mask


def fourier():
    return Operator.from_callable(torch.fft.fft2, event_shape=EVENT, measurement_shape=EVENT, linear=True)


PARTS = {
    "identity": lambda: Identity(EVENT),
    "mask": lambda: Inpainting(masks()),
    "masks": lambda: Inpainting(masks(2), EVENT),
    "blur": lambda: Blur.gaussian(EVENT, 0.7, "reflect"),
    "mean": lambda: Downsampling(EVENT, 2),
    "grayscale": lambda: Grayscale(EVENT),
    "random": lambda: GaussianMeasurement(EVENT, 9),
}
INNER = ["identity", "mask", "masks", "blur"]  # these keep the shape


@settings(max_examples=10, deadline=None)
@given(outer=st.sampled_from(sorted(PARTS)), inner=st.sampled_from(INNER))
def test_composition(outer, inner):
    operator = PARTS[outer]() @ PARTS[inner]()
    assert isinstance(operator, Composition)
    check_operator(operator)


@settings(max_examples=10, deadline=None)
@given(parts=st.lists(st.sampled_from(sorted(PARTS)), min_size=1, max_size=3))
def test_stack(parts):
    check_operator(Stack([PARTS[part]() for part in parts]))


def test_complex_parts():
    check_operator(fourier())
    check_operator(Inpainting(masks()) @ fourier())
    check_operator(Stack([fourier(), Inpainting(masks(2), EVENT) @ fourier()]))


def test_composition_measures_in_order():
    blur, mean = Blur.gaussian(EVENT, 0.7), Downsampling(EVENT, 2)
    x = random_images(mean, 2, dtype=torch.float32)
    assert_close((mean @ blur)(x), mean(blur(x)))


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


def test_a_nonlinear_part_makes_a_nonlinear_composition():
    square = Operator.from_callable(torch.square, event_shape=EVENT, measurement_shape=EVENT)
    mask = Inpainting(masks(2), EVENT)
    for operator, expected in ((square @ mask, lambda x: mask(x) ** 2), (mask @ square, lambda x: mask(x**2))):
        assert not isinstance(operator, LinearOperator)
        check_batching(operator)
        x = random_images(operator, 2)
        assert_close(operator(x), expected(x))
    assert torch.equal((mask @ square).num_measured, mask.num_measured)
    assert torch.equal((mask @ square).restrict(x), mask(x))


def test_a_stack_cannot_mix_real_and_complex():
    with pytest.raises(IncompatibleError, match="all real or all complex"):
        Stack([Identity(EVENT), fourier()])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Identity((2, 2)) @ Identity((4,)), ShapeError, "measures"),
        (lambda: Stack([]), InvalidValueError, "at least one"),
        (lambda: Stack([Identity((2, 2)), Identity((4,))]), ShapeError, "one event_shape"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_nonlinear_parts_are_refused_where_linear_ones_are_needed():
    square = Operator.from_callable(torch.square, event_shape=EVENT, measurement_shape=EVENT)
    with pytest.raises(IncompatibleError, match="not linear"):
        Composition(Identity(EVENT), square)
    with pytest.raises(IncompatibleError, match="linear operators"):
        Stack([Identity(EVENT), square])
