import math

import pytest
import torch
from torch import Tensor

from posterior.errors import ShapeError
from posterior.mri import augmented, complex_images
from posterior.noise import Noise

COUNT, SIDES = 200, (64, 96)


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
    slices = spot(-5, 9, 6, 8).expand(3, -1, -1, -1)
    images = complex_images(slices, Noise.of(0, 3))
    assert images.shape == (3, 2, 32, 48) and images.dtype == torch.float32
    decimated = slices[:, 0, ::2, ::2]  # the middle, ⌊n/2⌋, is where it was
    expected = decimated / decimated.flatten(1).quantile(0.99, dim=1)[:, None, None]
    torch.testing.assert_close(images.norm(dim=1), expected, atol=0.02, rtol=0)
    torch.testing.assert_close(images.norm(dim=1).flatten(1).quantile(0.99, dim=1), torch.ones(3))
    torch.testing.assert_close(complex_images(7 * slices, Noise.of(0, 3)), images, atol=1e-5, rtol=0)


def test_what_k_space_of_the_images_cannot_hold_is_gone() -> None:
    """A grating of 3 pixels has frequencies beyond those of pixels twice as large; one of 8 pixels has not."""
    rows = torch.arange(SIDES[0])[:, None].expand(SIDES)
    fine, coarse = (1 + (2 * math.pi * rows / period).cos()[None, None] for period in (3, 8))
    phases = complex_images(torch.ones(1, 1, *SIDES), Noise.of(0, 1))
    gone, kept = (complex_images(slices, Noise.of(0, 1)).norm(dim=1) for slices in (fine, coarse))
    middle = (..., slice(8, 24), slice(8, 40))
    assert float(phases.norm(dim=1)[middle].std()) < 0.02
    assert float(gone[middle].std() / gone[middle].mean()) < 0.05
    assert float(kept[middle].std() / kept[middle].mean()) == pytest.approx(0.5**0.5, abs=0.05)


def test_phases_are_smooth_and_of_every_angle() -> None:
    """The mean of n unit vectors of every angle is shorter than 3/√n."""
    images = complex_images(torch.ones(COUNT, 1, *SIDES), Noise.of(0, COUNT))
    phases = torch.complex(images[:, 0], images[:, 1]).angle()
    step = (phases[:, 1:] - phases[:, :-1] + math.pi) % (2 * math.pi) - math.pi
    assert 0.05 < float(step[:, 8:-8, 8:-8].std()) < 0.3
    assert float(torch.polar(torch.ones(COUNT), phases[:, 16, 24]).mean().abs()) < 3 * COUNT**-0.5


def test_slices_are_moved_turned_stretched_and_mirrored_in_the_first_axis() -> None:
    noise = Noise.of(0, COUNT)
    centre, covariance = moments(augmented(spot(-16, 24, 3, 3).expand(COUNT, -1, -1, -1), noise))
    mirrored = centre[:, 0] > 0
    assert abs(int(mirrored.sum()) - COUNT / 2) < 4 * COUNT**0.5 / 2
    assert bool((centre[:, 1] > 0).all())
    distance = centre.norm(dim=1)
    assert abs(float(distance.mean()) - 0.5 * math.hypot(16, 24)) < 1
    assert 0.05 < float(distance.std() / distance.mean()) < 0.15  # overall, one axis against the other, and shifts

    centre, covariance = moments(augmented(spot(0, 0, 4, 16).expand(COUNT, -1, -1, -1), noise))
    angle = 0.5 * torch.atan2(2 * covariance[:, 0, 1], covariance[:, 1, 1] - covariance[:, 0, 0])
    assert 15 / 3**0.5 < math.degrees(float(angle.std())) < 11  # ±15°, and shears
    assert abs(math.degrees(float(angle.mean()))) < 4 * 11 / COUNT**0.5
    for axis, side in enumerate(SIDES):  # shifts of 2 %, and fields of 3 pixels less what averages out
        assert 0.02 * side / 2 < float(centre[:, axis].std()) < (0.02 * side + 3) / 2


def test_a_row_depends_on_its_own_slice_and_noise_alone() -> None:
    slices, noise = torch.cat([spot(row, 0, 5, 9) for row in (-9, 0, 4)]), Noise.of(3, 3)
    together = augmented(slices, noise)
    torch.testing.assert_close(augmented(slices[1:2], noise.select(torch.tensor([1]))), together[1:2])
    assert torch.equal(augmented(slices, noise), together)
    assert not torch.allclose(augmented(slices, noise.at(1)), together, atol=0.1)


def test_contrasts_intensities_and_scales_vary() -> None:
    """Of a plateau of 1 beside one of ½ the ratio is 2 to the power e^(0.2 w), but for intensities e^(0.15 b)."""
    slices = torch.full((COUNT, 1, *SIDES), 0.5)
    slices[..., 48:] = 1.0
    images = augmented(slices, Noise.of(0, COUNT)).norm(dim=1)
    ratio = (images[:, 12:20, 34:40].mean((1, 2)) / images[:, 12:20, 8:14].mean((1, 2))).log() / math.log(2)
    assert abs(float(ratio.mean()) - math.exp(0.02)) < 4 * 0.35 / COUNT**0.5
    assert 0.2 < float(ratio.std()) < 0.35
    unit = images.flatten(1).quantile(0.99, dim=1).log()
    assert abs(float(unit.std()) - 0.1) < 4 * 0.1 / (2 * COUNT) ** 0.5


def test_an_empty_slice_stays_empty() -> None:
    assert not bool(augmented(torch.zeros(2, 1, *SIDES), Noise.of(0, 2)).any())


@pytest.mark.parametrize("shape", [(64, 96), (2, 2, 64, 96), (2, 1, 62, 96), (2, 1, 64, 0)])
def test_shapes_that_are_no_slices(shape: tuple[int, ...]) -> None:
    for function in (augmented, complex_images):
        with pytest.raises(ShapeError, match=r"N, 1, H, W"):
            function(torch.zeros(shape), Noise.of(0, 2))
