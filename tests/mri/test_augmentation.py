import math

import pytest
import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import augmented, complex_images
from posterior.noise import Noise

COUNT, SIDES = 100, (192, 224)


def spot(row: float, column: float, high: float, wide: float) -> Tensor:
    """A Gaussian spot (1, 1, *SIDES), its place from the centre and its standard deviations in pixels."""
    rows = torch.arange(SIDES[0])[:, None] - SIDES[0] / 2 - row
    columns = torch.arange(SIDES[1]) - SIDES[1] / 2 - column
    return (-0.5 * ((rows / high) ** 2 + (columns / wide) ** 2)).exp()[None, None]


def moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Centres (N, 2) from the middle and covariances (N, 2, 2) of magnitudes, in pixels of the images."""
    weight = images.norm(dim=1) ** 2
    weight = weight / weight.sum((1, 2), keepdim=True)
    rows = torch.arange(weight.shape[1])[:, None] - weight.shape[1] / 2
    columns = torch.arange(weight.shape[2]) - weight.shape[2] / 2
    place = torch.stack(torch.broadcast_tensors(rows, columns), -1).float()
    centre = torch.einsum("nhw,hwi->ni", weight, place)
    return centre, torch.einsum("nhw,hwi,hwj->nij", weight, place, place) - centre[:, :, None] * centre[:, None]


def test_what_is_smooth_is_halved_in_size_and_its_unit_is_the_quantile() -> None:
    slices = spot(-15, 27, 18, 24).expand(3, -1, -1, -1)
    images = complex_images(slices, Noise.of(0, 3))
    assert images.shape == (3, 2, 96, 112) and images.dtype == torch.float32
    decimated = slices[:, 0, ::2, ::2]  # the middle, ⌊n/2⌋, is where it was
    expected = decimated / decimated.flatten(1).quantile(0.99, dim=1)[:, None, None]
    torch.testing.assert_close(images.norm(dim=1), expected, atol=0.01, rtol=0)
    torch.testing.assert_close(images.norm(dim=1).flatten(1).quantile(0.99, dim=1), torch.ones(3))
    torch.testing.assert_close(complex_images(7 * slices, Noise.of(0, 3)), images, atol=1e-5, rtol=0)


def test_one_pixel_becomes_the_kernel_of_the_middle_of_k_space() -> None:
    """Σ exp(2πik(j/96 − r/192)) over −48 ≤ k < 48 along the rows, the same along the columns, from the middle."""
    place = (7, -5)
    slices = torch.zeros(1, 1, *SIDES)
    slices[0, 0, SIDES[0] // 2 + place[0], SIDES[1] // 2 + place[1]] = 1
    kernels = []
    for side, at in zip(SIDES, place, strict=True):
        half = side // 2
        k, j = torch.arange(-half // 2, half // 2)[:, None], torch.arange(-half // 2, half // 2)
        kernels.append(torch.polar(torch.ones(half, half), 2 * math.pi * k * (j / half - at / side)).sum(0))
    expected = kernels[0][:, None] * kernels[1]
    image = torch.complex(*complex_images(slices, Noise.of(0, 1))[0])
    scale = (expected.conj() * image).sum() / expected.abs().square().sum()  # of the phase there, and the unit
    torch.testing.assert_close(image, scale * expected, atol=1e-4 * float(image.abs().max()), rtol=0)


def test_phases_are_smooth_and_of_every_angle() -> None:
    """The mean of n unit vectors of every angle is shorter than 3/√n; slopes are as often up as down."""
    images = complex_images(torch.ones(COUNT, 1, *SIDES), Noise.of(0, COUNT))
    phases = torch.complex(images[:, 0], images[:, 1]).angle()
    inner = phases[:, 8:-8, 8:-8]
    for axis in (1, 2):
        step = (inner.diff(dim=axis) + math.pi) % (2 * math.pi) - math.pi
        assert 0.03 < float(step.std()) < 0.1
        assert abs(float(step.mean())) < 3 * float(step.mean((1, 2)).std()) * COUNT**-0.5
    assert float(torch.polar(torch.ones(COUNT), phases[:, 48, 56]).mean().abs()) < 3 * COUNT**-0.5


def test_slices_are_mirrored_in_the_first_axis_alone() -> None:
    centre, _ = moments(augmented(spot(-60, 70, 8, 8).expand(COUNT, -1, -1, -1), Noise.of(0, COUNT)))
    mirrored = centre[:, 0] > 0
    assert abs(int(mirrored.sum()) - COUNT / 2) < 4 * COUNT**0.5 / 2
    assert bool((centre[:, 1] > 0).all())


def test_slices_are_moved_stretched_sheared_turned_and_bent() -> None:
    """Bounds are about four standard errors, √(1/2n) = 7 % each, from what the settings give together."""
    noise = Noise.of(0, COUNT)
    broad, covariance = moments(augmented(spot(0, 0, 36, 36).expand(COUNT, -1, -1, -1), noise))
    for axis, side in enumerate(SIDES):
        assert 0.76 < float(broad[:, axis].std()) / (0.02 * side / 2) < 1.3  # what is left of a bend adds 6 %
    ratio = (covariance[:, 0, 0] / covariance[:, 1, 1]).log() / 4
    assert 0.037 < float(ratio.std()) < 0.062  # 0.04, and of bends 0.03
    slant = covariance[:, 0, 1] / (covariance[:, 0, 0] * covariance[:, 1, 1]).sqrt()
    assert 0.05 < float(slant.std()) < 0.078  # of the shear 0.04, of the rest 0.045

    corners = [spot(side * 50, side * 50, 4, 4).expand(COUNT, -1, -1, -1) for side in (-1, 0, 1)]
    upper, narrow, lower = (moments(augmented(slices, noise))[0] for slices in corners)
    assert 2.1 < 2 * float((narrow - broad).std()) < 3.4  # bends of 2.5 pixels, and of shades 1.6
    assert 0.055 < float((upper - lower).norm(dim=1).log().std()) < 0.1  # 0.06, and shapes and bends

    _, covariance = moments(augmented(spot(0, 0, 8, 40).expand(COUNT, -1, -1, -1), noise))
    angle = 0.5 * torch.atan2(2 * covariance[:, 0, 1], covariance[:, 1, 1] - covariance[:, 0, 0])
    assert 15 / 3**0.5 < math.degrees(float(angle.std())) < 12  # ±15°, sheared and bent
    assert abs(math.degrees(float(angle.mean()))) < 4 * 12 / COUNT**0.5


def test_a_row_depends_on_its_own_slice_and_noise_alone() -> None:
    slices, noise = torch.cat([spot(row, 0, 5, 9) for row in (-9, 0, 4)]), Noise.of(3, 3)
    together = augmented(slices, noise)
    torch.testing.assert_close(augmented(slices[1:2], noise.select(torch.tensor([1]))), together[1:2])
    assert torch.equal(augmented(slices, noise), together)
    assert not torch.allclose(augmented(slices, noise.at(1)), together, atol=0.1)


def test_contrasts_intensities_and_scales_vary() -> None:
    """Of a plateau of 1 beside one of ½ the ratio is 2 to the power e^(0.2 w), but for intensities e^(0.15 b)."""
    slices = torch.full((COUNT, 1, *SIDES), 0.5)
    slices[..., 112:] = 1.0
    images = augmented(slices, Noise.of(0, COUNT)).norm(dim=1)
    ratio = (images[:, 40:56, 80:92].mean((1, 2)) / images[:, 40:56, 20:32].mean((1, 2))).log() / math.log(2)
    assert abs(float(ratio.mean()) - math.exp(0.02)) < 4 * 0.35 / COUNT**0.5
    assert 0.22 < float(ratio.std()) < 0.35  # without a power, 0.19
    unit = images.flatten(1).quantile(0.99, dim=1).log()
    assert abs(float(unit.std()) - 0.1) < 4 * 0.1 / (2 * COUNT) ** 0.5


def test_an_empty_slice_stays_empty() -> None:
    assert not bool(augmented(torch.zeros(2, 1, *SIDES), Noise.of(0, 2)).any())


@pytest.mark.parametrize("shape", [(64, 96), (2, 2, 64, 96), (2, 1, 62, 96), (2, 1, 64, 0)])
def test_shapes_that_are_no_slices(shape: tuple[int, ...]) -> None:
    for function in (augmented, complex_images):
        with pytest.raises(ShapeError, match=r"N, 1, H, W"):
            function(torch.zeros(shape), Noise.of(0, 2))


def test_noise_and_values_that_do_not_fit() -> None:
    slices = torch.ones(2, 1, 8, 8)
    for function in (augmented, complex_images):
        with pytest.raises(ShapeError, match="2 slices need noise of as many rows"):
            function(slices, Noise.of(0, 3))
        for wrong in (-slices, slices.long(), slices * torch.nan):
            with pytest.raises(InvalidValueError, match="slices"):
                function(wrong, Noise.of(0, 2))
