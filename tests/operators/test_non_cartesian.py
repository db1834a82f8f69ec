import math

import numpy as np
import pytest
import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import birdcage_maps
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI, NonCartesianMRI
from tests.operators.case import Case
from tests.operators.checks import assert_close, check_operator, random_images, random_measurements

MAPS = birdcage_maps(2, 5, 6, dtype=torch.float64)
TRAJECTORY = 2.5 * np.cos(np.arange(26.0)).reshape(13, 2)


def measured(x: Tensor, maps: Tensor = MAPS, trajectory: Tensor | None = None) -> Tensor:
    """The definition as a sum over pixels that are counted from the middle, for one trajectory."""
    frequencies = torch.as_tensor(TRAJECTORY) if trajectory is None else trajectory
    (height, width), image = x.shape[-2:], torch.complex(x[..., 0, :, :], x[..., 1, :, :])
    h, w = (torch.arange(n, dtype=torch.float64) - n // 2 for n in (height, width))
    waves_h = torch.exp(-2j * math.pi * torch.outer(frequencies[:, 0], h) / height)
    waves_w = torch.exp(-2j * math.pi * torch.outer(frequencies[:, 1], w) / width)
    images = maps * image.unsqueeze(-3)
    return torch.einsum("kh,kw,...hw->...k", waves_h, waves_w, images) / math.sqrt(height * width)


SHARED_CASES = {
    "NonCartesianMRI": Case(
        "NonCartesianMRI:maps={maps},trajectory={trajectory}",
        measured,
        {"maps": MAPS.numpy(), "trajectory": TRAJECTORY},
        event_shape=(2, 5, 6),
    ),
}


def test_single_precision_is_accurate_to_its_rounding() -> None:
    operator = NonCartesianMRI(MAPS.to(torch.complex64), torch.as_tensor(TRAJECTORY))
    x = random_images(operator, 4, dtype=torch.float32)
    assert operator.dtype == torch.float32
    exact = measured(x.double())
    assert float((operator(x) - exact).norm() / exact.norm()) < 2e-6
    assert float((operator.gram(x) - operator.adjoint(operator(x))).norm() / x.norm()) < 2e-6


@pytest.mark.parametrize("shape", [(4, 5), (5, 6), (1, 3)])
def test_at_grid_points_it_is_the_cartesian_operator(shape: tuple[int, int]) -> None:
    maps = birdcage_maps(3, *shape, dtype=torch.float64)
    grid = torch.cartesian_prod(*(torch.arange(n) - n // 2 for n in shape)).double()
    everywhere, cartesian = NonCartesianMRI(maps, grid.reshape(-1, 2)), MultiCoilMRI(maps)
    x = random_images(cartesian, 2)
    assert_close(everywhere(x), cartesian(x).flatten(-2), 1e-11)
    assert_close(everywhere.gram(x), x, 1e-11)


def test_a_trajectory_and_maps_of_each_measurement() -> None:
    noise = Noise.of(0, 1, dtype=torch.float64)
    maps = torch.view_as_complex(noise.normal((3, 2, 4, 5, 2))[0, 0])
    trajectories = 4 * noise.use("trajectories").uniform((3, 7, 2))[0, 0] - 2
    operator = NonCartesianMRI(maps, trajectories)
    check_operator(operator)
    x = random_images(operator, 3)
    for b in range(3):
        assert_close(operator(x)[b], measured(x[b], maps[b], trajectories[b]), 1e-11)
    shared = NonCartesianMRI(maps[0], trajectories)
    check_operator(shared)
    assert shared(x[0]).shape == (3, 2, 7)
    with pytest.raises(ShapeError, match=r"3 trajectories.*given 2 images"):
        shared(x[:2])


def test_derivatives_go_through_it_twice() -> None:
    operator = NonCartesianMRI(MAPS, torch.as_tensor(TRAJECTORY))
    x, y = random_images(operator).requires_grad_(), random_measurements(operator)
    misfit = (operator(x) - y).abs().square().sum() / 2
    (slope,) = torch.autograd.grad(misfit, x, create_graph=True)
    assert_close(slope.detach(), operator.adjoint(operator(x) - y).detach(), 1e-11)
    v = random_images(operator, seed=3)
    (product,) = torch.autograd.grad((slope * v).sum(), x)
    assert_close(product, operator.gram(v), 1e-11)


@pytest.mark.parametrize(
    ("maps", "trajectory", "error", "words"),
    [
        (MAPS[0], TRAJECTORY, ShapeError, r"maps of NonCartesianMRI .* \(\[B,\] C, H, W\)"),
        (MAPS.real, TRAJECTORY, InvalidValueError, "complex"),
        (MAPS, TRAJECTORY.T, ShapeError, r"trajectory of NonCartesianMRI .* \(\[B,\] K, 2\)"),
        (MAPS, TRAJECTORY[:0], ShapeError, r"\(\[B,\] K, 2\)"),
        (MAPS, TRAJECTORY * np.nan, InvalidValueError, "finite"),
        (MAPS, TRAJECTORY + 1j, InvalidValueError, "real numbers"),
    ],
)
def test_what_does_not_fit_is_refused(maps: Tensor, trajectory: Tensor, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        NonCartesianMRI(maps, trajectory)
