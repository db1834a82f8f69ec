import math

import pytest
import torch

from posterior.errors import InvalidValueError, ShapeError
from posterior.operators import Fourier, NonCartesianMRI, Visibilities
from tests.operators.case import Case
from tests.operators.checks import assert_close, check_operator, random_images
from tests.problems import DOUBLE

SHARED_CASES = {
    "Visibilities": Case("visibilities:frequencies=[[0.0,1.5],[-1.0,0.25]]"),
    "interferometer": Case("interferometer:num_antennas=4,num_times=2"),
}


@pytest.mark.parametrize("shape", [(3, 4), (2, 5, 6), (1, 1)])
def test_every_check_on_images_of_any_shape(shape):
    frequencies = torch.tensor([[0.0, 0.0], [1.2, -0.7], [0.3, 2.0]], dtype=DOUBLE)
    check_operator(Visibilities(shape, frequencies))


def test_at_whole_frequencies_they_are_coefficients_of_the_fourier_transform():
    rows, columns = torch.meshgrid(torch.arange(-2, 3), torch.arange(-3, 3), indexing="ij")
    operator = Visibilities((5, 6), torch.stack([rows, columns], -1).reshape(-1, 2).double())
    x = random_images(operator)
    assert_close(operator(x).reshape(5, 6), Fourier((5, 6))(x))


def test_they_are_those_of_one_coil_on_a_real_image():
    operator = Visibilities.of_array((1, 9, 8), num_antennas=5, num_times=3).double()
    x = random_images(operator)
    coil = NonCartesianMRI(torch.ones(1, 9, 8, dtype=torch.complex128), operator.frequencies)
    assert_close(operator(x), coil(torch.cat([x, torch.zeros_like(x)])), 1e-10)


def test_tracks_of_an_array():
    """Baselines of a source at the pole turn with the Earth; those of one on the equator keep their v."""
    shape, times = (1, 64, 64), 24
    pole = Visibilities.of_array(shape, 4, 12.0, times, 90.0).frequencies.double().reshape(times, -1, 2)
    assert pole.shape[1] == 6 and math.isclose(float(pole.norm(dim=-1).max()), 0.9 * 32, rel_tol=1e-5)
    turning = torch.complex(pole[..., 1], pole[..., 0])
    step = torch.polar(torch.tensor(1.0, dtype=DOUBLE), torch.tensor(math.pi / (times - 1), dtype=DOUBLE))
    assert torch.allclose(turning[1:], step * turning[:-1], atol=1e-4)
    equator = Visibilities.of_array(shape, 4, 12.0, times, 0.0).frequencies.reshape(times, -1, 2)
    assert torch.allclose(equator[..., 0], equator[:1, :, 0].expand(times, -1), atol=1e-4)
    assert float(equator[..., 1].std(0).min()) > 0.1


def test_bad_input_is_refused():
    with pytest.raises(ShapeError, match="expected \\(K, 2\\)"):
        Visibilities((4, 4), torch.zeros(3))
    with pytest.raises(InvalidValueError, match="single or double"):
        Visibilities((4, 4), torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(InvalidValueError, match="num_antennas"):
        Visibilities.of_array((4, 4), 1)
