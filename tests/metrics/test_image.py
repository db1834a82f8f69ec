import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.metrics import nmse, psnr, ssim


def pair(channels: int = 1, height: int = 28, width: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    """A smooth image in [-1, 1] and a noisy copy of it."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(channels, height, width)), (0, 2, 2))
    truth = np.clip(2 * smooth / np.abs(smooth).max(), -1, 1)
    noisy = np.clip(truth + 0.2 * rng.normal(size=truth.shape), -1, 1)
    return torch.from_numpy(noisy), torch.from_numpy(truth)


def ssim_by_scipy(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004 on images in [0, 1], with scipy's Gaussian filter, 11 pixels wide."""

    def blur(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b, cov = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2, blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
    return float((luminance * (2 * cov + 9e-4) / (var_a + var_b + 9e-4)).mean())


def test_psnr_of_a_constant_offset() -> None:
    truth = torch.zeros(1, 8, 8)
    assert psnr(truth + 0.2, truth).item() == pytest.approx(20.0, abs=1e-5)  # 10 log10(2² / 0.2²)
    assert psnr(truth + 0.2, truth, (0, 1)).item() == pytest.approx(20 * math.log10(1 / 0.2), abs=1e-5)


def test_equal_images_are_perfect() -> None:
    _, truth = pair(3)
    assert psnr(truth, truth).item() == math.inf
    assert nmse(truth, truth).item() == 0
    assert ssim(truth, truth).item() == pytest.approx(1, abs=1e-12)


def test_nmse_of_a_scaled_image() -> None:
    _, truth = pair(2)
    assert nmse(0.9 * truth, truth).item() == pytest.approx(0.01, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ssim_equals_its_definition(dtype: torch.dtype) -> None:
    estimate, truth = pair(3)
    channels = zip((estimate.numpy() + 1) / 2, (truth.numpy() + 1) / 2, strict=True)
    expected = np.mean([ssim_by_scipy(a, b) for a, b in channels])
    value = ssim(estimate.to(dtype), truth.to(dtype))
    assert value.dtype == dtype
    assert value.item() == pytest.approx(expected, abs=1e-6)
    assert 0.1 < value.item() < 0.9


def test_ssim_equals_scikit_image() -> None:
    structural_similarity = pytest.importorskip("skimage.metrics").structural_similarity
    estimate, truth = pair(3)
    expected = structural_similarity(
        (truth.numpy() + 1) / 2,
        (estimate.numpy() + 1) / 2,
        data_range=1,
        channel_axis=0,
        gaussian_weights=True,
        use_sample_covariance=False,
    )
    assert ssim(estimate, truth).item() == pytest.approx(expected, abs=1e-5)


def test_ssim_does_not_depend_on_how_values_are_scaled() -> None:
    estimate, truth = pair()
    stretched = ssim(127.5 * (estimate + 1), 127.5 * (truth + 1), (0, 255))
    assert stretched.item() == pytest.approx(ssim(estimate, truth).item(), abs=1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 28), (7, 7), (10, 12)])
def test_ssim_of_small_images(height: int, width: int) -> None:
    estimate, truth = pair(1, height, width)
    assert ssim(truth, truth).item() == pytest.approx(1, abs=1e-12)
    assert ssim(estimate, truth).item() < 1


def test_ssim_of_one_pixel_is_its_luminance_factor() -> None:
    value = ssim(torch.full((1, 1, 1), 0.0), torch.full((1, 1, 1), 1.0))  # 1/2 and 1 in [0, 1]
    assert value.item() == pytest.approx((2 * 0.5 + 1e-4) / (0.25 + 1 + 1e-4), abs=1e-6)


@pytest.mark.parametrize("metric", [psnr, ssim, nmse])
def test_truth_broadcasts_to_the_leading_dimensions(metric) -> None:  # type: ignore[no-untyped-def]
    pairs = [pair(seed=seed) for seed in range(6)]
    estimates = torch.stack([a for a, _ in pairs]).reshape(3, 2, 1, 28, 32)
    truths = torch.stack([b for _, b in pairs[:2]])
    values = metric(estimates, truths)
    assert values.shape == (3, 2)
    for s in range(3):
        for b in range(2):
            torch.testing.assert_close(values[s, b], metric(estimates[s, b], truths[b]))


def test_ssim_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    estimates, truths = (torch.stack(images) for images in zip(*(pair(seed=seed) for seed in range(3)), strict=True))
    whole = ssim(estimates, truths)
    monkeypatch.setattr("posterior.metrics.image._CHUNK", 1)
    torch.testing.assert_close(ssim(estimates, truths), whole)


@pytest.mark.parametrize("metric", [psnr, ssim, nmse])
def test_shapes_that_do_not_fit(metric) -> None:  # type: ignore[no-untyped-def]
    estimate, truth = pair()
    with pytest.raises(ShapeError, match=r"\(1, 28, 32\).*\(1, 28, 31\)"):
        metric(estimate, truth[..., :-1])
    with pytest.raises(ShapeError, match="C, H, W"):
        metric(estimate[0], truth[0])
    with pytest.raises(ShapeError, match="leading dimensions"):
        metric(estimate.expand(2, 1, 28, 32), truth.expand(3, 1, 28, 32))
    with pytest.raises(ShapeError, match="leading dimensions"):
        metric(estimate, truth.expand(3, 1, 28, 32))
    with pytest.raises(InvalidValueError, match="float"):
        metric(estimate.int(), truth)


def test_values_that_make_no_sense() -> None:
    estimate, truth = pair()
    for metric in (psnr, ssim):
        with pytest.raises(InvalidValueError, match="value_range"):
            metric(estimate, truth, (1, 1))
    with pytest.raises(InvalidValueError, match="zero everywhere"):
        nmse(estimate, torch.zeros_like(truth))
