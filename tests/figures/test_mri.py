from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.figures import mri_figure
from posterior.figures.page import ALARM, PALE
from posterior.noise import Noise
from posterior.reconstruction import Reconstruction, prepare
from posterior.verdict import Verdict
from tests.figures.reading import pictures, texts
from tests.reconstruction.scans import HEIGHT, WIDTH, scan

DRAWS = 20


def one(draws: int = DRAWS) -> Reconstruction:
    x = 30 + 5 * Noise.of(0).normal((draws, 2, HEIGHT, WIDTH))[0, 0]
    return Reconstruction(0, prepare(scan(1)[0]), x, 1.25, 56.0, Verdict())


def size_of(image: Tensor) -> Tensor:
    return torch.linalg.vector_norm(image, dim=0)


def test_all_that_is_shown() -> None:
    result = one()
    other = 30 * Noise.of(1).normal((2, HEIGHT, WIDTH))[0, 0]
    figure = mri_figure(result, "a scan, slice 0", {"CG-SENSE": other})
    shown = texts(figure)
    labels = ("zero-filled", "CG-SENSE", "posterior mean", "standard deviation", "width of 90 % interval", "k-space")
    for label in (*labels, "a scan, slice 0", *(f"sample {i} of 20" for i in (1, 7, 14, 20))):
        assert label in shown
    assert "misfit 1.25 σ · network calls 56 · sound" in shown
    panels = pictures(figure)
    assert len(panels) == 10
    white = float(result.mean().flatten().quantile(0.995))
    prepared = result.prepared
    images = [size_of(prepared.zero_filled()), size_of(other), result.mean()]
    for panel, image in zip(panels, images, strict=False):
        np.testing.assert_allclose(panel[..., 0], (image / white).clamp(0, 1), atol=1e-6)
    np.testing.assert_allclose(panels[3], result.std(), atol=1e-5)
    low, high = result.interval(0.9)
    np.testing.assert_allclose(panels[4], high - low, atol=1e-5)
    for panel, i in zip(panels[5:9], (0, 6, 13, 19), strict=True):
        np.testing.assert_allclose(panel[..., 1], (result.draws[i] / white).clamp(0, 1), atol=1e-6)
    missing = (panels[9] - np.array([0.337, 0.706, 0.914])).std(-1) < 1e-6  # blue
    np.testing.assert_array_equal(missing, ~prepared.mask)
    assert any("true R 2" in text and "log magnitude of 3 coils" in text for text in shown)


def _colour(figure: Figure) -> str:
    (note,) = [text for text in figure.texts if text.get_text().startswith("misfit")]
    return str(note.get_color())


def test_faults_have_a_colour() -> None:
    assert _colour(mri_figure(one())) == PALE
    for level in ("doubtful", "not the posterior"):
        assert _colour(mri_figure(replace(one(), verdict=Verdict(level, ("a fault",))))) == ALARM


@pytest.mark.parametrize(("draws", "unknown"), [(1, 2), (3, 1)])
def test_few_samples(draws: int, unknown: int) -> None:
    figure = mri_figure(one(draws), num_samples=2)
    assert len([text for axes in figure.axes for text in axes.texts if "needs at least" in text.get_text()]) == unknown
    with pytest.raises(InvalidValueError, match="num_samples"):
        mri_figure(one(draws), num_samples=0)
