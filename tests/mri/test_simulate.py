import re

import pytest
import torch

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import birdcage_maps, random_maps, simulate
from posterior.operators import MultiCoilMRI
from tests.mri.phantom import head
from tests.operators.checks import assert_close

MAGNITUDE = head(20, 26).expand(3, -1, -1)
MAPS = birdcage_maps(4, 20, 26, dtype=torch.float64)


def test_k_space_is_that_of_the_truth_with_noise_of_the_stated_size() -> None:
    scan = simulate(MAGNITUDE, MAPS, snr=20.0, seed=3)
    assert_close(scan.image.square().sum(1).sqrt(), MAGNITUDE, 1e-12)
    inside = 0.1 * MAGNITUDE.max() < MAGNITUDE
    expected = (MAGNITUDE * inside).sum((1, 2)) / inside.sum((1, 2)) / 20
    assert_close(scan.noise_std, expected, 1e-12)
    white = torch.view_as_real(scan.kspace - MultiCoilMRI(MAPS)(scan.image)) / scan.noise_std[:, None, None, None, None]
    # 12,480 numbers: standard deviation 1 ± .006, mean 0 ± .009, correlations 0 ± .013; four times that
    assert abs(float(white.std()) - 1) < 0.026 and abs(float(white.mean())) < 0.036
    assert abs(float((white[..., 0] * white[..., 1]).mean())) < 0.052
    assert abs(float((white[0] * white[1]).mean())) < 0.09  # slices have noise of their own


def test_phases_are_smooth_and_each_slice_has_its_own() -> None:
    scan = simulate(torch.ones(200, 16, 16, dtype=torch.float64), MAPS[:, :16, :16], 10.0, phase_std=0.2)
    phase = torch.view_as_complex(scan.image.movedim(1, -1).contiguous()).angle()
    assert not torch.allclose(phase[0], phase[1], atol=0.05)
    # Six Gaussian coefficients of mean square 1 in all, 200 draws: .2 ± 3 %
    assert float(phase.square().mean().sqrt()) == pytest.approx(0.2, rel=0.12)
    assert float(phase.diff(dim=1).abs().mean()) < 0.1 * float(phase.abs().mean() * 2)
    still = simulate(MAGNITUDE, MAPS, 10.0, phase_std=0.0)
    assert_close(still.image[:, 0], MAGNITUDE, 1e-12)


def test_a_finer_grid_than_that_of_the_scan() -> None:
    fine = random_maps(3, 40, 52, dtype=torch.float64)
    magnitude = head(40, 52)[None]
    scan = simulate(magnitude, fine, snr=1e9, seed=1, shape=(20, 26), phase_std=0.0)
    assert scan.kspace.shape == (1, 3, 20, 26) and scan.image.shape == (1, 2, 20, 26)
    assert_close(scan.image[0, 0].mean(), magnitude.mean(), 1e-6)
    # It is what the fine operator measures of the low frequencies, in units of the coarse grid.
    whole = MultiCoilMRI(fine)(torch.stack([magnitude, torch.zeros_like(magnitude)], 1))
    assert_close(scan.kspace, whole[..., 10:30, 13:39] / 2, 1e-6)


def test_the_seed_draws_phases_and_noise() -> None:
    first, again, other = (simulate(MAGNITUDE, MAPS, 10.0, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(first.kspace, again.kspace) and not torch.allclose(first.kspace, other.kspace)
    assert not torch.allclose(first.image, other.image)
    assert_close(simulate(MAGNITUDE[:1], MAPS, 10.0).kspace[0], first.kspace[0], 1e-12)
    assert_close(simulate(MAGNITUDE[2:], MAPS, 10.0, ids=[2]).kspace[0], first.kspace[2], 1e-12)


def test_maps_of_each_slice() -> None:
    maps = torch.stack([MAPS, random_maps(4, 20, 26, dtype=torch.float64), MAPS])
    scan = simulate(MAGNITUDE, maps, 1e9)
    assert_close(scan.kspace, MultiCoilMRI(maps)(scan.image), 1e-6)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"magnitude": MAGNITUDE[0]}, ShapeError, "magnitudes (B, H, W)"),
        ({"maps": MAPS[..., :20]}, ShapeError, "maps ([B,] C, H, W)"),
        ({"maps": MAPS[None].expand(2, -1, -1, -1)}, ShapeError, "maps of 2 slices for magnitudes of 3"),
        ({"maps": MAPS.real}, InvalidValueError, "maps to be complex"),
        ({"magnitude": -MAGNITUDE}, InvalidValueError, "at least 0"),
        ({"magnitude": 0 * MAGNITUDE}, InvalidValueError, "slices that are 0 everywhere, [0, 1, 2]; leave them out"),
        (
            {"magnitude": MAGNITUDE * torch.tensor([1, 0, 1])[:, None, None], "ids": [4, 7, 9]},
            InvalidValueError,
            "0 everywhere, [7]; leave",
        ),
        ({"ids": [0, 1]}, InvalidValueError, "2 ids of 3 slices"),
        ({"magnitude": MAGNITUDE + 0j}, InvalidValueError, "magnitudes"),
        ({"snr": 0.0}, InvalidValueError, "snr to be a finite number > 0"),
        ({"shape": (40, 40)}, ShapeError, "(40, 40) are not rows and columns"),
        ({"phase_std": -1.0}, InvalidValueError, "phase_std"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=re.escape(words)):
        simulate(**({"magnitude": MAGNITUDE, "maps": MAPS, "snr": 10.0} | change))
