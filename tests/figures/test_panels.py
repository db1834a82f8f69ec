import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex

from tests.figures.reading import draws, figure_of, is_standard, normal, pictures, texts

BLUE = "#56b4e9"


def test_what_was_not_measured_is_blue_or_grey() -> None:
    mask = torch.ones(6, 8)
    mask[2:4, 3:] = 0
    for channels, colour in ((1, BLUE), (3, "#808080")):
        x, samples = normal(2, channels, 6, 8), draws(event=(channels, 6, 8))
        for shape in ((6, 8), (1, channels, 6, 8), (2, channels, 6, 8)):
            figure = figure_of(x, x * mask, samples, mask=mask.expand(shape), index=1)
            panel = pictures(figure)[1]
            painted = np.array([[to_hex(pixel) == colour for pixel in row] for row in panel])
            np.testing.assert_array_equal(painted, mask == 0)
        assert any("not measured" in text for text in texts(figure))


def test_what_was_not_measured_is_said_below_the_colours_of_counts() -> None:
    mask = torch.ones(6, 8)
    mask[2:4, 3:] = 0
    y = torch.arange(2 * 48.0).reshape(2, 1, 6, 8) * mask
    figure = figure_of(None, y, draws(), mask=mask)
    np.testing.assert_array_equal(pictures(figure)[0].mask, mask == 0)
    assert "blue: not measured" in [axes.get_xlabel() for axes in figure.axes]


def test_k_space_is_drawn_by_log_magnitude() -> None:
    x, mask = normal(1, 2, 6, 8), torch.ones(8, dtype=torch.bool)
    mask[3] = False
    y = torch.zeros(1, 4, 6, 8, dtype=torch.complex64)
    y[0, :, 2, 2], y[0, 0, 0, 0] = 10j, 0.2  # root sum of squares: 20 and 0.2, two of the four decades apart
    figure = figure_of(x, y, draws(batch=1, event=(2, 6, 8)), mask=mask)
    panel = pictures(figure)[1]
    assert panel[2, 2, 0] == pytest.approx(1)
    assert panel[0, 0, 0] == pytest.approx(0.5, abs=1e-6)
    assert panel[5, 5, 0] == 0
    assert to_hex(panel[0, 3]) == BLUE
    assert "log magnitude of 4 coils\nblue: not measured" in texts(figure)


@pytest.mark.parametrize("length", [1, 30, 200])
def test_vectors_are_plotted(length: int) -> None:
    y = normal(2, length)
    axes = figure_of(None, y, draws(), index=1).axes[0]
    if length <= 60:
        assert len(axes.collections[0].get_segments()) == length
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), y[1])
    assert is_standard(axes)


def test_vectors_with_a_mask_and_complex_ones() -> None:
    y, mask = torch.complex(normal(2, 9), normal(2, 9, seed=1)), torch.arange(9) % 2 == 0
    line = figure_of(None, y, draws(), mask=mask).axes[0].lines[-1]
    np.testing.assert_array_equal(line.get_xdata(), [0, 2, 4, 6, 8])
    np.testing.assert_allclose(line.get_ydata(), y[0, mask].abs())


def test_measured_images_in_other_units_and_sizes() -> None:
    x, samples = normal(2, 1, 6, 8), draws()
    small = figure_of(x, normal(2, 1, 3, 4), samples)
    assert pictures(small)[1].shape == (3, 4, 3)
    assert "3 × 4 pixels" in texts(small)
    counts = figure_of(x, torch.arange(2 * 48.0).reshape(2, 1, 6, 8), samples)
    np.testing.assert_array_equal(pictures(counts)[1].flatten(), torch.arange(48.0))
    assert counts.axes[1].images[0].get_clim() == (0, 47)
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in counts.axes]
    assert ["0", "20", "40"] in [each[:3] for each in ticks]  # a fourth is beyond the range
    counts = figure_of(x, 1000 + torch.arange(2 * 48.0).reshape(2, 1, 6, 8) / 4, samples)
    ticks = [[label.get_text() for label in axes.get_xticklabels()] for axes in counts.axes]
    assert any(each[:3] == ["1000", "1005", "1010"] for each in ticks)  # of large values too they are told apart
    colours = figure_of(None, 100 * normal(2, 3, 6, 8), draws(event=(3, 6, 8)))
    assert any(text.startswith("black −") and ", white " in text for text in texts(colours))
    stack = figure_of(x, normal(2, 5, 6, 8), samples)
    assert "first of 5" in texts(stack)
