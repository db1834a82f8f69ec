import math

import torch

from posterior.mri import birdcage_maps


def test_birdcage_maps() -> None:
    maps = birdcage_maps(4, 6, 8, radius=2.0, dtype=torch.float64)
    assert maps.shape == (4, 6, 8) and maps.dtype == torch.complex128
    assert torch.allclose(maps.abs().square().sum(0), torch.ones(6, 8, dtype=torch.float64))
    # Coil 0 is to the right, coil 1 below, two half widths from the centre, which is pixel (3, 4).
    assert maps[0].abs().argmax() % 8 == 7 and maps[1].abs().argmax() // 8 == 5
    ratio = maps[0, 3, 6].abs() / maps[2, 3, 6].abs()  # half a half width off the centre: 1.5 and 2.5 away
    assert math.isclose(float(ratio), 2.5 / 1.5)
    right, down = 0.5 - 2.0, 0.0
    assert math.isclose(float(maps[0, 3, 6].angle()), math.atan2(right, -down), abs_tol=1e-12)
