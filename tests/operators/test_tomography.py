import math

import numpy as np
import pytest
import torch
from skimage.transform import radon

from posterior.errors import ShapeError
from posterior.operators import Radon
from tests.operators.case import Case
from tests.operators.checks import assert_close, check_operator, inner, random_images, random_measurements
from tests.problems import DOUBLE

SHARED_CASES = {
    "Radon": Case("radon:angles=[0.0,30.0,100.0]"),
    "tomography": Case("tomography:num_views=3"),
}


@pytest.mark.parametrize("side", [5, 8])
def test_projections_are_those_of_scikit_image(side):
    angles = torch.tensor([0.0, 17.0, 45.0, 90.0, 133.0, 210.0], dtype=DOUBLE)
    operator = Radon((side, side), angles)
    x = random_images(operator)
    expected = radon(x.numpy(), angles.numpy(), circle=False, preserve_range=True)  # (detector, view)
    assert_close(operator(x), torch.from_numpy(expected).T.contiguous(), 1e-10)


@pytest.mark.parametrize("shape", [(1, 1), (4, 7), (2, 6, 3)])
def test_oblong_images_of_any_number_of_channels(shape):
    operator = Radon.equispaced(shape, 5).double()
    check_operator(operator)
    x, y = random_images(operator, 4), random_measurements(operator, 4)
    left, right = inner(operator(x), y, len(operator.measurement_shape)), inner(x, operator.adjoint(y), len(shape))
    assert float((left - right).abs().max()) <= 1e-10 * float(left.abs().max() + 1)


def test_a_view_along_an_axis_is_a_sum_and_none_loses_anything():
    operator = Radon((6, 8), torch.tensor([0.0, 90.0, 37.0], dtype=DOUBLE))
    x = random_images(operator)
    y = operator(x)
    first = operator.measurement_shape[-1] // 2
    assert_close(y[0, first - 4 : first + 4], x.sum(0))
    assert_close(y[1, first - 2 : first + 4].flip(0), x.sum(1))
    # a disc well inside keeps its mass at any angle, to the error of the interpolation
    row, column = torch.meshgrid(torch.arange(64.0) - 32, torch.arange(64.0) - 32, indexing="ij")
    disc = torch.exp(-(row**2 + column**2) / 50)
    masses = Radon((64, 64), [0.0, 20.0, 45.0, 71.0])(disc).sum(-1)
    assert torch.allclose(masses, disc.sum().expand(4), rtol=1e-4)


def test_the_projection_and_its_adjoint_can_be_differentiated_twice():
    operator = Radon((3, 4), torch.tensor([10.0, 80.0], dtype=DOUBLE))
    x = random_images(operator).requires_grad_()
    assert torch.autograd.gradcheck(operator, x) and torch.autograd.gradgradcheck(lambda x: operator(x) ** 2, x)
    y = random_measurements(operator).requires_grad_()
    assert torch.autograd.gradcheck(operator.adjoint, y)


def test_equispaced_views_stop_short_of_half_a_turn():
    assert Radon.equispaced((4, 4), 4).angles.tolist() == [0.0, 45.0, 90.0, 135.0]
    assert Radon((28, 28), np.arange(3)).measurement_shape == (3, math.ceil(28 * math.sqrt(2)))


@pytest.mark.parametrize("angles", [[], 3.0, torch.zeros(1, 2)])
def test_angles_are_a_list(angles):
    with pytest.raises((ShapeError, ValueError), match="angles"):
        Radon((4, 4), angles)
