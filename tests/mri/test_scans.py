import math
from typing import get_args

import pytest
import torch

from posterior.errors import InvalidValueError, ShapeError
from posterior.mri import MASKS, calibration_region, espirit_maps, mvue, scans, true_acceleration, undersampled_scans
from posterior.mri.scans import MaskKind
from posterior.noise import Noise
from posterior.operators.fourier import centred_fft
from tests.mri.phantom import head

SHAPE = (24, 40)
IMAGES = torch.stack([head(*SHAPE), 0.3 * head(*SHAPE)]).float().expand(3, 2, *SHAPE).contiguous()
SCANS = undersampled_scans(IMAGES, Noise.of(0, 3), acceleration=2.5, snr=25.0, num_coils=4, calibration=12)


def test_each_image_has_coils_a_mask_and_noise_of_its_own() -> None:
    y, operator, truth = SCANS
    assert y.shape == (3, 4, *SHAPE) and operator.maps.shape == y.shape and truth.shape == IMAGES.shape
    assert operator.mask.shape == (3, 1, *SHAPE)
    for values in (y, operator.maps, operator.mask, truth):
        assert not torch.equal(values[0], values[1])
    assert all(true_acceleration(mask) == pytest.approx(2.5) for mask in operator.mask)
    assert (y[~operator.mask.expand_as(y)] == 0).all() and operator.restrict(y).any()


def test_the_truth_is_the_image_seen_by_the_estimated_maps() -> None:
    """Maps may turn the phase of an image, and leave its magnitude but for their own errors."""
    truth, size = SCANS.truth.norm(dim=1), IMAGES.norm(dim=1)
    inside = size > 0.1 * size.amax()
    error = ((truth - size).square() * inside).sum() / (size.square() * inside).sum()
    assert error < 0.01
    assert not torch.allclose(SCANS.truth, IMAGES, atol=0.1)
    length = SCANS.operator.maps.abs().square().sum(1)
    assert ((length - 1).abs().min(length) < 1e-4).all()


def test_the_measurement_is_of_the_truth_up_to_noise_and_errors_of_maps() -> None:
    y, operator, truth = SCANS
    size = truth.norm(dim=1)
    inside = size > 0.1 * size.amax((1, 2), keepdim=True)
    std = (size * inside).sum((1, 2)) / inside.sum((1, 2)) / 25
    residual = y - operator(truth)
    count = 2 * torch.as_tensor(operator.num_measured)
    found = (residual.abs().square().sum((1, 2, 3)) / count).sqrt() / std
    assert (found > 0.9).all() and (found < 2.5).all()


def test_noise_is_what_the_ratio_says() -> None:
    scans = [
        undersampled_scans(IMAGES, Noise.of(0, 3), acceleration=2.5, snr=snr, num_coils=4, calibration=12)
        for snr in (25, 1e9)
    ]
    white = (scans[0].y - scans[1].y)[scans[0].operator.mask.expand_as(scans[0].y)]
    size = IMAGES[0].norm(dim=0)
    std = size[size > 0.1 * size.max()].mean() / 25
    # Of 9,216 real numbers: relative error 1/√(2 · 9216) = .7 %
    assert float(torch.view_as_real(white).std() / std) == pytest.approx(1, abs=4.5 / math.sqrt(2 * 2 * white.numel()))


def test_maps_know_the_noise() -> None:
    y, operator, _ = undersampled_scans(
        IMAGES[:1], Noise.of(0, 1), acceleration=2.5, snr=4.0, num_coils=4, calibration=12
    )
    size = IMAGES[0].norm(dim=0)
    std = float(size[size > 0.1 * size.max()].mean() / 4)
    middle = calibration_region(operator.mask[0, 0])
    assert torch.equal(operator.maps[0], espirit_maps(y[0], middle, noise_std=std))
    assert not torch.allclose(operator.maps[0], espirit_maps(y[0], middle), atol=0.1)


def test_masks_are_of_the_family() -> None:
    scans = undersampled_scans(IMAGES[:1], Noise.of(0, 1), mask="gaussian", acceleration=3.0, num_coils=2)
    assert not (scans.operator.mask == scans.operator.mask[..., :1, :]).all()


def test_every_family_can_be_named() -> None:
    assert set(get_args(MaskKind)) == set(MASKS)


def test_refusals() -> None:
    with pytest.raises(ShapeError, match=r"images \(B, 2, H, W\)"):
        undersampled_scans(IMAGES[0], Noise.of(0, 3))
    with pytest.raises(InvalidValueError, match="mask"):
        undersampled_scans(IMAGES, Noise.of(0, 3), mask="spiral")  # type: ignore[arg-type]


def test_maps_that_noise_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scans, "espirit_maps", lambda y, region, noise_std: torch.zeros_like(y))
    with pytest.raises(InvalidValueError, match="no coil map can be estimated from a scan at snr = 1;"):
        undersampled_scans(IMAGES, Noise.of(0, 3), snr=1.0)


def test_it_is_a_function_of_the_noise() -> None:
    again = undersampled_scans(IMAGES, Noise.of(0, 3), acceleration=2.5, snr=25.0, num_coils=4, calibration=12)
    assert torch.equal(again.y, SCANS.y) and torch.equal(again.operator.maps, SCANS.operator.maps)
    full = centred_fft(again.operator.maps * torch.complex(*again.truth.unbind(1))[:, None])
    assert torch.allclose(mvue(full, again.operator.maps), again.truth, atol=1e-5)
