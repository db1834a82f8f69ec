import math

import torch

from posterior.mri import birdcage_maps, random_maps


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


def test_random_maps_are_no_birdcage() -> None:
    maps = random_maps(6, 40, 48, seed=2, dtype=torch.float64)
    assert maps.shape == (6, 40, 48) and maps.dtype == torch.complex128
    assert torch.allclose(maps.abs().square().sum(0), torch.ones(40, 48, dtype=torch.float64))
    assert torch.equal(maps, random_maps(6, 40, 48, seed=2, dtype=torch.float64))
    assert not torch.allclose(maps, random_maps(6, 40, 48, seed=3, dtype=torch.float64))
    for coil, size in enumerate(maps.abs()):  # each sees best what is on its side, at its end of the image
        row, column = divmod(int(size.argmax()), 48)
        up, right = row / 39 * 2 - 1, column / 47 * 2 - 1
        turn = math.atan2(up, right) - math.pi / 3 * coil
        assert float(size.max()) > 0.6 and math.hypot(up, right) > 0.8
        assert abs(math.remainder(turn, 2 * math.pi)) < math.pi / 3
    powers = maps.abs().square().mean((1, 2))
    assert float(powers.max()) > 1.2 * float(powers.min())  # of a birdcage they are alike, but for the aspect
    steps = torch.cat([maps.diff(dim=1).flatten(), maps.diff(dim=2).flatten()]).abs()
    curvatures = torch.cat([maps.diff(dim=1, n=2).flatten(), maps.diff(dim=2, n=2).flatten()]).abs()
    assert float(curvatures.mean()) < 0.25 * float(steps.mean())  # smooth: of white noise it is √3 times
