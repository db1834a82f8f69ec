import re

import numpy as np
import pytest
import torch
from sigpy.mri.app import EspiritCalib
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import birdcage_maps, calibration_region, espirit_maps, random_maps, random_mask, simulate
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from tests.mri.phantom import head

HEIGHT, WIDTH = 96, 112
OBJECT = head(HEIGHT, WIDTH)


def scan(maps: Tensor, snr: float = 50.0) -> Tensor:
    return simulate(OBJECT[None], maps, snr, seed=1).kspace[0]


def agreement(maps: Tensor, other: Tensor) -> Tensor:
    """|⟨S, S′⟩| in each pixel, which no phase changes."""
    return (maps.conj() * other).sum(0).abs()


@pytest.mark.parametrize("maps", [birdcage_maps(6, HEIGHT, WIDTH), random_maps(6, HEIGHT, WIDTH, seed=2)])
def test_maps_of_a_head_are_found(maps: Tensor) -> None:
    found = espirit_maps(scan(maps), (24, 24))
    assert found.dtype == torch.complex64 and found.shape == maps.shape
    alike = agreement(found, maps)[OBJECT > 0]
    assert float(alike.median()) > 0.9999 and float(alike.quantile(0.01)) > 0.998
    squares = found.abs().square().sum(0)
    assert bool(((squares - 1).abs() < 1e-5)[OBJECT > 0].all())
    assert float((squares == 0).double().mean()) > 0.05  # the corners
    assert float(MultiCoilMRI(found, random_mask((HEIGHT, WIDTH), 4)).norm()) <= 1 + 1e-5


@pytest.mark.parametrize("unit", [1e-25, 1e25])
def test_maps_do_not_depend_on_the_unit(unit: float) -> None:
    kspace = scan(random_maps(3, HEIGHT, WIDTH, seed=2))
    alike = agreement(espirit_maps(unit * kspace, (16, 16)), espirit_maps(kspace, (16, 16)))[OBJECT > 0]
    assert float(alike.min()) > 1 - 1e-3


def test_sigpy_finds_the_same_maps() -> None:
    kspace = scan(random_maps(6, HEIGHT, WIDTH, seed=2))
    theirs, eigenvalues = EspiritCalib(
        kspace.numpy(), calib_width=24, kernel_width=6, show_pbar=False, output_eigenvalue=True
    ).run()
    ours = espirit_maps(kspace, (24, 24), kernel=6, crop=0.95)
    both = torch.as_tensor(np.abs(theirs).sum(0) > 0) & (ours.abs().sum(0) > 0)
    assert float(agreement(ours, torch.as_tensor(theirs))[both].min()) > 0.9999
    # They crop at the same eigenvalue, which sigpy has from a hundred power iterations.
    clear = torch.as_tensor(np.abs(eigenvalues[0] - 0.95) > 1e-3)
    assert torch.equal((ours.abs().sum(0) > 0)[clear], torch.as_tensor(np.abs(theirs).sum(0) > 0)[clear])


def test_nine_columns_of_a_mask_are_enough() -> None:
    maps = birdcage_maps(6, HEIGHT, WIDTH)
    mask = random_mask((HEIGHT, WIDTH), 4, calibration=9, seed=1)
    region = calibration_region(mask)
    assert region[0] == HEIGHT and region[1] in (9, 10)
    found = espirit_maps(scan(maps) * mask, region)
    assert float(agreement(found, maps)[OBJECT > 0].quantile(0.01)) > 0.997
    # The same data beyond the middle play no part.
    assert torch.equal(found, espirit_maps(scan(maps), region))


def test_the_strongest_combination_of_coils_is_real_and_positive() -> None:
    kspace = scan(random_maps(6, HEIGHT, WIDTH, seed=2)).to(torch.complex128)
    middle = kspace[:, 36:60, 44:68].flatten(1)
    strongest = torch.linalg.svd(middle, full_matrices=False)[0][:, 0]
    found = espirit_maps(kspace, (24, 24))
    along = (strongest.conj()[:, None, None] * found).sum(0)[OBJECT > 0]
    along = along / along[0] * along[0].abs()  # the singular vector's own phase is anything
    assert float(along.angle().abs().max()) < 1e-8


def test_slices_are_found_each_on_its_own() -> None:
    kspace = torch.stack([scan(birdcage_maps(4, HEIGHT, WIDTH)), scan(random_maps(4, HEIGHT, WIDTH))])
    together = espirit_maps(kspace[:, None], (20, 16))
    assert together.shape == (2, 1, 4, HEIGHT, WIDTH)
    for one, maps in zip(kspace, together[:, 0], strict=True):
        assert torch.allclose(maps, espirit_maps(one, (20, 16)), atol=1e-5)


@pytest.mark.parametrize(
    ("kspace", "region", "error", "words"),
    [
        (torch.ones(8, 8), (4, 4), ShapeError, "(..., C, H, W)"),
        (torch.ones(2, 8, 8), (4, 4), InvalidValueError, "complex"),
        (torch.ones(2, 8, 8) + 0j, (9, 4), ShapeError, "(9, 4) are not rows and columns within"),
        (torch.ones(2, 8, 8) + 0j, (4,), ShapeError, "rows and columns"),
        (torch.ones(2, 8, 8) + 0j, (4, 0), InvalidValueError, "≥ 1"),
        (torch.zeros(2, 8, 8) + 0j, (4, 4), InvalidValueError, "of zeros"),
    ],
)
def test_what_does_not_fit_is_refused(
    kspace: Tensor, region: tuple[int, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=re.escape(words)):
        espirit_maps(kspace, region)


def test_a_coefficient_that_is_zero_by_chance_is_no_fault() -> None:
    kspace = scan(birdcage_maps(4, HEIGHT, WIDTH))
    kspace[1, HEIGHT // 2 + 3, WIDTH // 2] = 0
    assert bool(espirit_maps(kspace, (24, 24)).any())


def test_a_middle_smaller_than_a_patch_is_refused() -> None:
    with pytest.raises(InvalidValueError, match=re.escape("patches of 5 × 5; got 4 × 8")):
        espirit_maps(torch.ones(2, 8, 8) + 0j, (4, 8), kernel=5)


def test_noise_does_not_count_as_signal() -> None:
    """At an SNR of 4 it has singular values above 2 % of the largest, and with them there are maps everywhere."""
    truth = random_maps(6, HEIGHT, WIDTH, seed=2)
    made = simulate(OBJECT[None], truth, 4.0, seed=1)
    found = espirit_maps(made.kspace[0], (24, 24), noise_std=float(made.noise_std[0]))
    nothing = found.abs().sum(0) == 0
    assert float(nothing[OBJECT > 0.2].double().mean()) < 0.005
    assert float(nothing[OBJECT == 0].double().mean()) > 0.7
    assert float(agreement(found, truth)[OBJECT > 0.2].quantile(0.02)) > 0.95
    assert bool((espirit_maps(made.kspace[0], (24, 24)).abs().sum(0) > 0).all())


@pytest.mark.parametrize("middle", [(24, 24), (HEIGHT, WIDTH)])
def test_maps_of_a_noisy_scan_whose_middle_is_large(middle: tuple[int, int]) -> None:
    """Noise of many patches is below the threshold: above it the largest eigenvector is a random one."""
    truth = random_maps(6, HEIGHT, WIDTH, seed=2)
    made = simulate(OBJECT[None], truth, 10.0, seed=1)
    found = espirit_maps(made.kspace[0], middle, noise_std=float(made.noise_std[0]))
    assert float(agreement(found, truth)[OBJECT > 0.2].quantile(0.02)) > 0.98
    assert float((found.abs().sum(0) == 0)[OBJECT == 0].double().mean()) > 0.7


def test_noise_alone_has_no_maps() -> None:
    noise = torch.view_as_complex(Noise.of(0).normal((6, 40, 40, 2))[0, 0])
    assert not bool(espirit_maps(noise, (24, 24), noise_std=1.0).any())
