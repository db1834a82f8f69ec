import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.noise import Noise
from posterior.operators import Blur
from tests.operators.case import Case
from tests.operators.checks import assert_close, check_operator, random_images

KERNEL = np.array([[0.5, -0.25, 0.0], [0.125, 0.0, 1.0]])


def shifted(x: Tensor) -> Tensor:
    """A sum of images shifted around, one for each entry of the kernel, whose centre is at (1, 1)."""
    entries = np.ndenumerate(KERNEL)
    return sum((value * x.roll((i - 1, j - 1), (-2, -1)) for (i, j), value in entries), start=0 * x)


SHARED_CASES = {
    "Blur": Case("blur:kernel={kernel}", shifted, {"kernel": KERNEL}),
    "Blur, reflect": Case("blur:kernel={kernel},boundary=reflect", arrays={"kernel": KERNEL}),
    "gaussian-blur, reflect": Case("gaussian-blur:std=0.9,boundary=reflect"),
    "gaussian-blur": Case("gaussian-blur:std=0.6"),
    "motion-blur": Case("motion-blur:length=3,angle=45"),
    "ricker": Case("ricker:frequency=0.3"),
}


def random_kernel(height, width):
    return Noise.of(7, dtype=torch.float64).normal((height, width))[0, 0]


@settings(max_examples=10, deadline=None)
@given(
    boundary=st.sampled_from(["circular", "reflect"]),
    lead=st.sampled_from([(), (1,), (2,)]),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    data=st.data(),
)
def test_blur(boundary, lead, height, width, data):
    kernel = random_kernel(data.draw(st.integers(1, height)), data.draw(st.integers(1, width)))
    check_operator(Blur((*lead, height, width), kernel, boundary))


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (5, 2), (1, 6)])
def test_values_are_those_of_the_sum(boundary, shape):
    """Against the definition, Σ_j k_j x_{i + c − j}, with x continued by index arithmetic."""
    height, width = 7, 6
    kernel = random_kernel(*shape)
    operator = Blur((height, width), kernel, boundary)
    x = random_images(operator)

    def index(i, n):
        return i % n if boundary == "circular" else (n - 1) - abs((n - 1) - abs(i))

    expected = torch.zeros_like(x)
    for i in range(height):
        for j in range(width):
            for a in range(shape[0]):
                for b in range(shape[1]):
                    row, column = index(i + shape[0] // 2 - a, height), index(j + shape[1] // 2 - b, width)
                    expected[i, j] += kernel[a, b] * x[row, column]
    assert_close(operator(x), expected)


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
@pytest.mark.parametrize("side", [16, 17])
def test_gaussian(boundary, side):
    operator = Blur.gaussian((1, side, side), 1.5, boundary).to(torch.float64)
    impulse = torch.zeros(1, side, side, dtype=torch.float64)
    impulse[0, 8, 8] = 1
    spot = operator(impulse)[0]
    place = torch.arange(side, dtype=torch.float64)
    assert (spot.sum(1) * place).sum().item() == pytest.approx(8, abs=1e-5)
    assert (spot.sum(0) * (place - 8) ** 2).sum().item() == pytest.approx(1.5**2, rel=0.01)
    constant = torch.ones(1, side, side, dtype=torch.float64)
    assert_close(operator(constant), constant, 1e-6)


def test_gaussian_wider_than_the_image():
    assert Blur.gaussian((1, 6, 9), 20.0).kernel.shape == (5, 9)


@pytest.mark.parametrize("angle", [0.0, 30.0, 90.0, 135.0])
def test_motion_is_a_line_of_that_length_and_angle(angle):
    kernel = Blur.motion((1, 21, 21), length=13, angle=angle).kernel.double()
    assert kernel.sum().item() == pytest.approx(1)
    rows, columns = (torch.arange(n, dtype=torch.float64) - n // 2 for n in kernel.shape)
    up, right = -rows[:, None], columns
    second = torch.tensor(
        [[(kernel * right * right).sum(), (kernel * right * up).sum()], [0, (kernel * up * up).sum()]]
    )
    second[1, 0] = second[0, 1]
    values, vectors = torch.linalg.eigh(second)
    direction = math.degrees(math.atan2(vectors[1, 1], vectors[0, 1])) % 180
    assert min(abs(direction - angle % 180), 180 - abs(direction - angle % 180)) < 0.5
    # A line of length L has variance (L − 1)²/12 about its centre; bilinear shares add up to ¼ in each direction.
    assert math.sqrt(12 * values[1]) == pytest.approx(12, rel=0.08)
    assert values[0] < 0.3


def test_motion_of_one_pixel_changes_nothing():
    operator = Blur.motion((1, 4, 5), length=1, angle=20)
    assert_close(operator(random_images(operator)), random_images(operator))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Blur((4, 4), torch.ones(5, 3)), ShapeError, "no larger"),
        (lambda: Blur((4, 4), torch.ones(3)), ShapeError, r"\(kh, kw\)"),
        (lambda: Blur((4,), torch.ones(3, 3)), ShapeError, r"\(..., H, W\)"),
        (lambda: Blur((4, 4), torch.zeros(3, 3)), InvalidValueError, "not zero"),
        (lambda: Blur((4, 4), torch.ones(3, 3, dtype=torch.int64)), InvalidValueError, "floating-point"),
        (lambda: Blur((4, 4), torch.full((3, 3), torch.nan)), InvalidValueError, "finite"),
        (lambda: Blur((4, 4), torch.ones(3, 3), "zero"), InvalidValueError, "zero"),
        (lambda: Blur.gaussian((4, 4), 0.0), InvalidValueError, "std"),
        (lambda: Blur.motion((4, 4), 0.5, 0), InvalidValueError, "length"),
        (lambda: Blur.motion((4, 4), 9, 0), ShapeError, "no larger"),
        (lambda: Blur.motion((4, 4), 1e30, 0), ShapeError, "no larger"),
        (lambda: Blur.gaussian((), 1.0), ShapeError, "rows and columns"),
        (lambda: Blur((4, 4), torch.ones(3, 3).half()), InvalidValueError, "single or double"),
        (lambda: Blur.gaussian((4,), 1.0), ShapeError, r"\(..., H, W\)"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("boundary", ["circular", "reflect"])
def test_each_measurement_may_have_its_own_kernel(boundary):
    kernels = torch.stack([random_kernel(3, 2), 2 * random_kernel(3, 2)])
    check_operator(Blur((2, 5, 4), kernels, boundary))
    widths = torch.tensor([0.5, 1.7], dtype=torch.float64)
    operator = Blur.gaussian((1, 9, 10), 1.0, boundary).double().with_parameters(std=widths)
    check_operator(operator)
    x = random_images(operator, 2)
    for b, std in enumerate(widths.tolist()):  # a narrow kernel has the zeros of the wide one around it
        assert_close(operator(x)[b], Blur.gaussian((1, 9, 10), std, boundary).double()(x[b]), 1e-6)


def test_a_width_is_refused_where_it_cannot_be():
    with pytest.raises(InvalidValueError, match="std must be positive"):
        Blur.gaussian((4, 4), 1.0).with_parameters(std=-1.0)
