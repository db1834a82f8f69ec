import re

import pytest
import torch

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import birdcage_maps, central, mix_coils, mvue, rss
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from tests.operators.checks import assert_close
from tests.operators.test_fourier import transform

MAPS = birdcage_maps(3, 5, 6, dtype=torch.float64)


def complex_normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.view_as_complex(Noise.of(seed, dtype=torch.float64).normal((*shape, 2))[0, 0])


def test_the_middle_keeps_the_zero_frequency_in_its_own() -> None:
    for size in range(1, 8):
        values = torch.zeros(2, size, 7)
        values[:, size // 2, 3] = 1
        for rows in range(1, size + 1):
            for columns in range(1, 8):
                middle = central(values, (rows, columns))
                assert middle.shape == (2, rows, columns)
                assert bool((middle[:, rows // 2, columns // 2] == 1).all())
    with pytest.raises(ShapeError, match=re.escape("(8, 7) are not rows and columns within (2, 7, 7)")):
        central(values, (8, 7))


def test_mvue_is_the_image_of_which_k_space_is_measured() -> None:
    x = Noise.of(1, dtype=torch.float64).normal((4, 2, 5, 6))[0, 0]
    for maps in (MAPS, 2.5 * MAPS):  # divided by the root once: the image is as large as the maps are
        scale = float(maps.abs().square().sum(0).sqrt().mean())
        assert_close(mvue(MultiCoilMRI(maps)(x), maps), scale * x, 1e-12)
    blind = MAPS.clone()
    blind[:, 0, 0] = 0
    image = mvue(MultiCoilMRI(blind)(x), blind)
    assert bool((image[..., 0, 0] == 0).all()) and bool(image.isfinite().all())


def test_rss_is_the_root_of_the_sum_of_squares() -> None:
    images = complex_normal(2, 3, 5, 6)
    kspace = transform(images)
    assert_close(rss(kspace), (images.abs() ** 2).sum(1) ** 0.5, 1e-12)
    assert rss(kspace).shape == (2, 5, 6)


def test_combinations_of_coils() -> None:
    matrix, values = complex_normal(2, 3), complex_normal(4, 3, 5, 6, seed=1)
    mixed = mix_coils(matrix, values)
    assert mixed.shape == (4, 2, 5, 6)
    assert_close(mixed[1, 1], sum(matrix[1, c] * values[1, c] for c in range(3)), 1e-12)
    # k-space and maps alike: what is measured through the combined maps is the combination of what is measured.
    x = Noise.of(1, dtype=torch.float64).normal((2, 5, 6))[0, 0]
    assert_close(MultiCoilMRI(mix_coils(matrix, MAPS))(x), mix_coils(matrix, MultiCoilMRI(MAPS)(x)), 1e-12)
    each = mix_coils(torch.stack([matrix, 2 * matrix]), values[:2])
    assert_close(each[1], mix_coils(2 * matrix, values[1]), 1e-12)
    with pytest.raises(ShapeError, match=re.escape("(2, 3) does not take the coils of (4, 5, 6)")):
        mix_coils(matrix, torch.zeros(4, 5, 6))


def test_what_does_not_fit_is_refused() -> None:
    kspace = torch.ones(3, 5, 6, dtype=torch.complex64)
    for arguments, error, words in (
        ((kspace[0], MAPS), ShapeError, "kspace to be (..., C, H, W)"),
        ((kspace.real, MAPS), InvalidValueError, "kspace to be complex"),
        ((kspace, MAPS.real), InvalidValueError, "maps to be complex"),
        ((kspace, MAPS[:2]), ShapeError, "of other sizes"),
    ):
        with pytest.raises(error, match=re.escape(words)):
            mvue(*arguments)
    with pytest.raises(InvalidValueError, match="rss needs kspace to be complex"):
        rss(kspace.real)
