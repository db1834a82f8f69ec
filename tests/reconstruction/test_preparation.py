from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from posterior.data import Geometry, RawSlice, load_brain
from posterior.errors import InvalidValueError, PosteriorError, ShapeError
from posterior.mri import birdcage_maps, mvue, noise_std_from_border, random_maps, random_mask, simulate
from posterior.operators import MultiCoilMRI
from posterior.reconstruction import coil_maps, prepare
from tests.mri.phantom import head
from tests.reconstruction.scans import COILS, GEOMETRY, MAPS, STD, head_slice, images, noise, raw

IMAGE = images(1)[0]
# coils of different gain, and noise that goes from one to the next
MIX = torch.tensor([[2.0, 0, 0], [0.5j, 1.0, 0], [0.3, 0.2j, 0.5]], dtype=torch.complex64)


def size_of(image: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(image, dim=0)


def test_without_noise_and_fully_sampled_images_are_the_truth_in_the_file_s_unit() -> None:
    prepared = prepare(raw(IMAGE, mask=None, std=0.0, noise=STD * noise(COILS, 4000)))
    # whitening by a nearly diagonal matrix of an estimate: to a few percent of 1/√4000
    torch.testing.assert_close(prepared.zero_filled(), IMAGE, rtol=0.1, atol=2)
    assert prepared.scale == pytest.approx(float(size_of(prepared.zero_filled()).quantile(0.99)), rel=1e-3)
    assert float(size_of(prepared.zero_filled() / prepared.scale).quantile(0.99)) == pytest.approx(1, rel=1e-3)


def test_a_noise_scan_makes_noise_white_and_keeps_the_unit() -> None:
    covariance = MIX @ MIX.mH
    scan = MIX @ noise(COILS, 50_000)
    prepared = prepare(raw(IMAGE, noise=scan))
    assert prepared.noise_from == "noise scan"
    assert prepared.whitening is not None
    std = prepared.noise_std * prepared.scale
    white = prepared.whitening @ covariance @ prepared.whitening.mH
    torch.testing.assert_close(white, std**2 * torch.eye(COILS).to(white), rtol=0, atol=0.03 * std**2)
    assert float(torch.linalg.det(prepared.whitening).abs()) == pytest.approx(1, rel=1e-4)
    assert std == pytest.approx(float(torch.linalg.det(covariance).real) ** (1 / 6), rel=0.01)


def test_maps_go_with_whitened_coils() -> None:
    prepared = prepare(raw(IMAGE, mask=None, std=0.0, noise=MIX @ noise(COILS, 4000)))
    assert prepared.whitening is not None
    mixed = torch.einsum("dc,chw->dhw", prepared.whitening, MAPS)
    length = mixed.abs().square().sum(0).sqrt()
    torch.testing.assert_close(prepared.maps, mixed / length)
    torch.testing.assert_close(prepared.zero_filled(), length * IMAGE, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(MultiCoilMRI(prepared.maps)(length * IMAGE) / prepared.scale, prepared.y)


def test_without_a_noise_scan_sigma_is_that_of_the_border() -> None:
    one = raw(IMAGE)
    prepared = prepare(one)
    assert prepared.noise_from == "border of k-space"
    assert prepared.whitening is None
    assert prepared.noise_std * prepared.scale == pytest.approx(float(noise_std_from_border(one.kspace)))


def test_maps_are_the_file_s_or_espirit_s() -> None:
    maps = birdcage_maps(4, 32, 28)
    magnitude = head(32, 28).float()
    assert prepare(head_slice(magnitude, maps, maps=3 * maps)).maps_from == "file"
    torch.testing.assert_close(prepare(head_slice(magnitude, maps, maps=3 * maps)).maps, maps)
    prepared = prepare(head_slice(magnitude, maps))
    assert prepared.maps_from == "ESPIRiT of the middle 32 × 28"
    inside = magnitude > 0.2
    overlap = (prepared.maps.conj() * maps).sum(0).abs()[inside]
    assert float(overlap.min()) > 0.99
    torch.testing.assert_close(size_of(prepared.zero_filled())[inside], magnitude[inside], rtol=0.02, atol=0)


def test_maps_of_calibration_lines_that_were_measured_apart() -> None:
    """Every second column of the image, and in another contrast the middle of k-space."""
    maps = random_maps(COILS, 32, 28, seed=2)
    magnitude = head(32, 28).float()
    middle = (torch.arange(28) - 14).abs() <= 4
    calibration = head_slice(magnitude.sqrt(), maps).kspace * middle
    one = head_slice(magnitude, maps, noise=0.01 * MIX @ noise(COILS, 4000))
    half = torch.arange(28) % 2 == 0
    one = replace(one, kspace=one.kspace * half, mask=half, calibration=calibration)
    found, words = coil_maps(one)
    assert words == "ESPIRiT of the middle 32 × 9 of calibration lines measured apart"
    overlap = (found.conj() * maps).sum(0).abs()[magnitude > 0.2]  # smallest where ESPIRiT has nine columns alone
    assert float(overlap.mean()) > 0.995 and float(overlap.min()) > 0.95
    torch.testing.assert_close(prepare(one).y.any(0), half.expand(32, 28))  # the image's alone
    left = replace(one, calibration=None, notes=["9 separate calibration lines were left out"])
    with pytest.raises(InvalidValueError, match="give coil maps; 9 separate calibration lines were left out"):
        prepare(left)


def test_coil_maps_are_those_of_the_file_s_own_coils() -> None:
    maps = random_maps(COILS, 32, 28, seed=2)
    magnitude = head(32, 28).float()
    one = head_slice(magnitude, maps, noise=0.01 * MIX @ noise(COILS, 4000))
    found, words = coil_maps(one)
    assert words.startswith("ESPIRiT")
    inside = magnitude > 0.2
    assert float((found.conj() * maps).sum(0).abs()[inside].min()) > 0.99


@pytest.mark.parametrize("shape", [(16, 12), (40, 50), (16, 50), (31, 27)])
def test_another_matrix_keeps_values_and_places(shape: tuple[int, int]) -> None:
    maps = birdcage_maps(4, 32, 28)

    def smooth(height: int, width: int) -> torch.Tensor:
        """A blob off the middle, in units of the field of view."""
        rows, columns = torch.arange(height)[:, None] - height // 2, torch.arange(width) - width // 2
        return torch.exp(-40 * ((rows / height - 0.1) ** 2 + (columns / width + 0.05) ** 2))

    prepared = prepare(head_slice(smooth(32, 28), maps, maps=maps), shape)
    assert prepared.mask.shape == shape
    # what lies around the measured k-space is not measured
    kept = [min(n, m) for n, m in zip(shape, (32, 28), strict=True)]
    assert int(prepared.mask.sum()) == kept[0] * kept[1]
    assert prepared.acceleration == pytest.approx(shape[0] * shape[1] / (kept[0] * kept[1]))
    # maps are interpolated linearly between pixels, to a percent or two
    torch.testing.assert_close(size_of(prepared.zero_filled()), smooth(*shape), rtol=0, atol=0.03)


def test_noise_goes_with_the_matrix() -> None:
    """White noise alone: cut or with zeros around it, its strength is as `noise_std` says."""
    maps = birdcage_maps(4, 32, 28)
    alone = replace(head_slice(torch.ones(32, 28), maps, maps=maps), kspace=noise(4, 32, 28))
    for shape in ((16, 12), (40, 50)):
        prepared = prepare(alone, shape)
        found = torch.view_as_real(prepared.y)[:, prepared.mask].std()
        assert float(found) == pytest.approx(prepared.noise_std, rel=0.06)  # 4·192·2 values: 1.8 %; σ itself: 2 %


def test_pixels_of_another_size_stay_in_place() -> None:
    one = raw(IMAGE, geometry=GEOMETRY)
    prepared = prepare(one, (4, 9))
    assert prepared.geometry is not None
    assert prepared.geometry.spacing == (5.0, 4.0, 2.0)
    middles = [
        geometry.affine() @ np.array([0, rows // 2, columns // 2, 1])
        for geometry, rows, columns in ((GEOMETRY, 8, 6), (prepared.geometry, 4, 9))
    ]
    np.testing.assert_allclose(*middles)
    assert prepare(one).geometry == GEOMETRY
    unplaced = prepare(replace(one, geometry=Geometry((5.0, 2.0, 3.0))), (4, 9)).geometry
    assert unplaced == Geometry((5.0, 4.0, 2.0))
    assert prepare(raw(IMAGE)).geometry is None


@pytest.mark.parametrize("shape", [(13, 12), (26, 12)])
def test_a_window_with_nothing_around_it(shape: tuple[int, int]) -> None:
    """The image in a field of view of 13 × 12 pixels, whose pixel (6, 6) is its pixel (4, 3)."""
    maps = random_maps(COILS, 13, 12, seed=2)
    whole = functional.pad(IMAGE, (3, 3, 2, 3))
    one = raw(whole, mask=None, std=0.0, maps=maps, noise=STD * noise(COILS, 4000), geometry=GEOMETRY)
    prepared = prepare(one, shape, (8, 6))
    assert prepared.maps.shape == (COILS, 8, 6) and prepared.mask.shape == shape == prepared.y.shape[1:]
    middle = np.array([0, 4, 3, 1])
    assert prepared.geometry is not None
    np.testing.assert_allclose(prepared.geometry.affine() @ middle, GEOMETRY.affine() @ np.array([0, 6, 6, 1]))
    if shape == (13, 12):
        cropped = prepare(one).zero_filled()[:, 2:10, 3:9]
        torch.testing.assert_close(prepared.zero_filled(), cropped, rtol=1e-4, atol=1e-3)
        operator = MultiCoilMRI(prepared.maps, prepared.mask, shape)
        torch.testing.assert_close(operator(cropped) / prepared.scale, prepared.y, rtol=1e-3, atol=1e-3)


def test_the_scale_of_an_undersampled_image() -> None:
    """At R = 4 conjugate gradients halve what the zero-filled image is too dark by, as docs/mri.md says."""
    magnitude = load_brain("test")[:2, 0]
    made = simulate(magnitude, random_maps(8, *magnitude.shape[1:], seed=0), 30.0, shape=(96, 112))
    mask = random_mask((96, 112), 4, calibration=16)
    for kspace, image in zip(made.kspace, made.image, strict=True):
        prepared = prepare(RawSlice(source="a head", kspace=kspace * mask, mask=mask))
        truth = float(size_of(image).quantile(0.99))
        zero_filled = float(size_of(prepared.zero_filled()).quantile(0.99))
        assert zero_filled / truth == pytest.approx(0.8, abs=0.03)
        assert prepared.scale / truth == pytest.approx(0.9, abs=0.03)


def test_the_zero_filled_image_is_the_mvue() -> None:
    one = raw(IMAGE)
    prepared = prepare(one)
    torch.testing.assert_close(prepared.zero_filled(), mvue(one.kspace, MAPS))
    assert prepared.acceleration == pytest.approx(2)
    assert prepared.source == "a scan"


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.arange(28) % 2 == 1, "a head: calibration_region: the zero frequency"),
        ((torch.arange(28) - 14).abs() < 2, "of which 32 × 3 are measured in full; it takes 6 × 6: give coil maps"),
    ],
    ids=["no middle", "a small middle"],
)
def test_files_without_a_middle(mask: torch.Tensor, message: str) -> None:
    one = head_slice(head(32, 28).float(), birdcage_maps(4, 32, 28))
    with pytest.raises(InvalidValueError, match=message):
        prepare(replace(one, kspace=one.kspace * mask, mask=mask))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kspace": noise(4, 32, 28)}, "a head: (the image is zero in nearly all pixels|.* is noise alone)"),
        ({"noise": torch.zeros(4, 100) * 1j}, "a head: whitening_matrix: in the noise scan a coil is silent"),
        ({"noise": noise(4, 2)}, "at least as many noise samples as coils"),
    ],
    ids=["noise alone", "silent", "short"],
)
def test_slices_that_tell_nothing(change: dict[str, torch.Tensor], message: str) -> None:
    one = head_slice(head(32, 28).float(), birdcage_maps(4, 32, 28))
    with pytest.raises(PosteriorError, match=message):
        prepare(replace(one, **change))


def test_shapes_that_are_none() -> None:
    for shape, window in (((4,), None), (None, (4,)), (None, (9, 6)), ((7, 6), (8, 6))):
        with pytest.raises(ShapeError, match=r"on \(H, W\) pixels, or a window in them; got \("):
            prepare(raw(IMAGE), shape, window)
    with pytest.raises(InvalidValueError, match="shape"):
        prepare(raw(IMAGE), (0, 4))
