import math
import re

import pytest
import torch

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import birdcage_maps, density_weights, radial_trajectory
from posterior.operators import NonCartesianMRI
from tests.mri.phantom import head


def test_spokes_are_a_golden_angle_apart() -> None:
    spokes = radial_trajectory(20, 30, 5, 8).unflatten(0, (5, 8)) / torch.tensor([20, 30])
    assert bool((spokes[:, 4] == 0).all())  # the zero frequency
    along = spokes.norm(dim=-1)
    assert torch.allclose(along, (torch.arange(8) - 4).abs().double() / 8)
    angles = torch.atan2(spokes[:, -1, 0], spokes[:, -1, 1])
    assert torch.allclose(
        angles.diff() % math.pi, torch.full((4,), math.radians(111.246), dtype=torch.float64), atol=1e-5
    )


def test_weights_of_a_full_grid_are_one() -> None:
    grid = torch.cartesian_prod(torch.arange(-4, 4).double(), torch.arange(-3, 4).double())
    assert torch.allclose(density_weights(grid, 8, 7), torch.ones(56, dtype=torch.float64), rtol=1e-3)


def test_weights_make_an_image_of_radial_measurements() -> None:
    height, width = 32, 40
    trajectory = radial_trajectory(height, width, 70, 80)
    weights = density_weights(trajectory, height, width)
    assert bool((weights > 0).all())
    # The ends of spokes stand for more than what is near the middle: in proportion to |k|, ±.2.
    spoke = weights.unflatten(0, (70, 80)).mean(0)[45:75]
    slope = spoke / (torch.arange(45, 75) - 40)
    assert float((slope / slope.mean() - 1).abs().max()) < 0.2
    operator = NonCartesianMRI(birdcage_maps(4, height, width, dtype=torch.float64), trajectory)
    x = torch.stack([head(height, width), torch.zeros(height, width, dtype=torch.float64)])
    errors = [
        float((operator.adjoint(w * operator(x)) - x).norm() / x.norm()) for w in (weights, torch.ones_like(weights))
    ]
    assert errors[0] < 0.25 < 1 < errors[1]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ShapeError, match=re.escape("frequencies (K, 2)")):
        density_weights(torch.zeros(2, 3), 4, 4)
    with pytest.raises(InvalidValueError, match="real frequencies"):
        density_weights(torch.zeros(3, 2) + 1j, 4, 4)
    with pytest.raises(InvalidValueError, match="samples to be an integer ≥ 2"):
        radial_trajectory(4, 4, 2, 1)
