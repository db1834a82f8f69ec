import math
import re

import pytest
import torch

from posterior.data import load_brain
from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import (
    birdcage_maps,
    compression_matrix,
    mix_coils,
    noise_std_from_border,
    random_maps,
    simulate,
    whitening_matrix,
)
from tests.mri.phantom import head
from tests.mri.test_kspace import complex_normal
from tests.operators.checks import assert_close

GAINS = complex_normal(4, 4, seed=5) * torch.tensor([1.0, 20.0, 0.1, 3.0])[:, None]


def test_whitened_noise_is_white_with_deviation_one() -> None:
    scan = GAINS @ complex_normal(4, 3000)
    matrix = whitening_matrix(scan.unflatten(1, (30, 100)))
    white = matrix @ scan
    eye = torch.eye(4, dtype=white.dtype)
    assert_close(white @ white.mH / 3000, 2 * eye, 1e-10)
    assert bool((matrix.triu(1) == 0).all())
    # Of another scan it is so up to Monte Carlo error: 2/√3000 = .037 of a covariance, twice, four times that.
    other = matrix @ GAINS @ complex_normal(4, 3000, seed=1)
    assert float((other @ other.mH / 3000 - 2 * eye).abs().max()) < 0.3


def test_whitening_in_single_precision_of_coils_of_any_gain() -> None:
    scan = (GAINS @ complex_normal(4, 3000)).to(torch.complex64) * 1e-6
    white = whitening_matrix(scan) @ scan
    assert white.dtype == torch.complex64
    assert_close(white @ white.mH / 3000, 2 * torch.eye(4, dtype=white.dtype), 1e-4)


def test_noise_scans_that_tell_nothing_are_refused() -> None:
    scan = complex_normal(4, 300)
    silent, copied = scan.clone(), scan.clone()
    silent[1] = 0
    copied[1] = 2j * copied[0]
    for bad in (silent, copied):
        with pytest.raises(InvalidValueError, match="a coil is silent, or a combination of others"):
            whitening_matrix(bad)
    with pytest.raises(InvalidValueError, match="as many noise samples as coils, 4; got 3"):
        whitening_matrix(scan[:, :3])
    with pytest.raises(InvalidValueError, match=r"complex samples, got torch.float64"):
        whitening_matrix(scan.real)
    for shapeless in (scan[0], scan[:0]):
        with pytest.raises(ShapeError, match=re.escape("samples (C, ...)")):
            whitening_matrix(shapeless)


def test_compression_keeps_the_most_of_k_space_and_leaves_noise_white() -> None:
    maps = birdcage_maps(8, 24, 28, dtype=torch.float64)
    kspace = simulate(head(24, 28)[None], maps, 1000.0).kspace
    matrix = compression_matrix(kspace, 5)
    assert_close(matrix @ matrix.mH, torch.eye(5, dtype=matrix.dtype), 1e-10)
    kept = mix_coils(matrix, kspace)
    assert kept.shape == (1, 5, 24, 28)
    # The most that any five combinations hold is the sum of the five largest squared singular values.
    values = torch.linalg.svdvals(kspace[0].flatten(1)).square()
    assert math.isclose(float(kept.abs().square().sum()), float(values[:5].sum()), rel_tol=1e-10)
    assert float(values[:5].sum() / values.sum()) > 0.98
    powers = kept[0].abs().square().sum((1, 2))
    assert_close(powers, values[:5], 1e-8)  # the strongest first
    with pytest.raises(InvalidValueError, match="at most 8, the coils; got 9"):
        compression_matrix(kspace, 9)


@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_compression_does_not_depend_on_the_unit_of_k_space(unit: float) -> None:
    kspace = simulate(head(24, 28)[None].float(), birdcage_maps(8, 24, 28), 1000.0).kspace
    matrix, other = compression_matrix(kspace, 3), compression_matrix(unit * kspace, 3)
    assert_close(other.mH @ other, matrix.mH @ matrix, 1e-3)  # onto the same combinations
    nothing = compression_matrix(0 * kspace, 3)
    assert_close(nothing @ nothing.mH, torch.eye(3, dtype=matrix.dtype), 1e-5)


def test_noise_level_from_the_border() -> None:
    maps = birdcage_maps(4, 64, 64, dtype=torch.float64)
    scan = simulate(head(64, 64).expand(2, -1, -1), maps, 5.0)
    estimate = noise_std_from_border(scan.kspace)
    assert estimate.shape == (2,)
    # 36 % of 64 · 64 · 4 coefficients, two numbers each: the median's error is 1.17/√(2N) = .8 %, four times that; and
    # what is there of the head adds to it.
    assert torch.allclose(estimate, scan.noise_std, rtol=0.05)
    alone = noise_std_from_border(scan.kspace[1])
    assert alone.shape == () and float(alone) == float(estimate[1])


@pytest.mark.parametrize(("snr", "factor"), [(30.0, 1.08), (50.0, 1.2), (100.0, 1.55), (300.0, 3.4)])
def test_noise_level_from_the_border_of_sharp_images(snr: float, factor: float) -> None:
    """With little noise there is signal in the border: σ is too large by the factors that docs/mri.md names."""
    magnitude = load_brain("test")[:2, 0]
    scan = simulate(magnitude, random_maps(8, *magnitude.shape[1:], seed=0), snr, shape=(96, 112))
    assert_close(noise_std_from_border(scan.kspace) / scan.noise_std, torch.full((2,), factor), 0.05)


def test_what_was_not_measured_tells_nothing_of_noise() -> None:
    noise = 0.3 * complex_normal(3, 40, 40)
    mask = torch.arange(40) % 4 == 0
    assert math.isclose(float(noise_std_from_border(noise * mask)), 0.3, rel_tol=0.08)
    middle = torch.zeros(40)
    middle[15:25] = 1
    with pytest.raises(InvalidValueError, match="needs 32 coefficients in the border, got 0"):
        noise_std_from_border(noise * middle[:, None] * middle)
    assert noise_std_from_border(noise[:1, :4, :8], border=0.5).shape == ()  # of all 32
    with pytest.raises(InvalidValueError, match="got 28"):
        noise_std_from_border(noise[:1, :4, :7], border=0.5)
    with pytest.raises(InvalidValueError, match="border to be a finite number in"):
        noise_std_from_border(noise, border=0.7)
