from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from posterior import figures
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, ShapeError
from posterior.figures import posterior_figure, sample_sheet, save_figure
from posterior.noise import Noise
from posterior.results import PointEstimate, Samples

BLUE = "#56b4e9"


def normal(*shape: int, seed: int = 0) -> Tensor:
    return 0.5 * Noise.of(seed).normal(shape)[0, 0]


def draws(
    size: int = 20, batch: int = 2, event: tuple[int, ...] = (1, 6, 8), seed: int = 0, scale: float = 1
) -> Samples:
    x = scale * normal(size, batch, *event, seed=seed)
    return Samples(x, torch.full((batch,), 1200.0), torch.arange(batch) * 30.0)


def figure_of(*parts: Any, num_samples: int = 1, **options: Any) -> Figure:
    """A figure with one draw: axes take time."""
    return posterior_figure(*parts, num_samples=num_samples, **options)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def pictures(figure: Figure) -> list[Any]:
    """The pictures of the figure's panels in their order, colour bars left out."""
    return [axes.images[0].get_array() for axes in figure.axes if axes.images]


def grey(x: Tensor) -> np.ndarray:
    return ((x[0].double() + 1) / 2).clamp(0, 1).numpy()


def test_one_sampler() -> None:
    truth, y, samples, point = normal(2, 1, 6, 8), normal(2, 1, 6, 8, seed=1), draws(), normal(2, 1, 6, 8, seed=2)
    figure = posterior_figure(truth, y, samples, point, title="A title with $ and _", index=1)
    shown = texts(figure)
    labels = ("truth", "measurement", "point estimate (MAP)", "posterior mean", "standard deviation")
    for label in (*labels, "width of 90 % interval", "12 of 20 draws", "A title with $ and _"):
        assert label in shown
    panels = pictures(figure)
    assert len(panels) == 6 + 12
    for panel, image in zip(panels, (truth[1], y[1], point[1], samples.mean()[1]), strict=False):
        np.testing.assert_allclose(panel[..., 0], grey(image), atol=1e-6)
    np.testing.assert_allclose(panels[4], samples.std()[1, 0], atol=1e-6)
    lower, upper = samples.credible_interval(0.9)
    np.testing.assert_allclose(panels[5], (upper - lower)[1, 0], atol=1e-6)
    np.testing.assert_allclose(panels[6][..., 1], grey(samples.x[0, 1]), atol=1e-6)
    np.testing.assert_allclose(panels[-1][..., 2], grey(samples.x[-1, 1]), atol=1e-6)


def test_point_estimates_and_tensors_are_drawn_alike() -> None:
    x, one = normal(2, 1, 6, 8), torch.ones(2)
    estimate = PointEstimate(x, one, one > 0, one, one)
    for a, b in zip(*(pictures(figure_of(x, x, draws(), e)) for e in (estimate, x)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_several_samplers_share_their_scales() -> None:
    x = normal(2, 1, 6, 8)
    figure = posterior_figure(x, x, {"Narrow": draws(scale=0.2), "Wide": draws(30, seed=1)}, num_samples=5, index=1)
    shown = texts(figure)
    assert shown.count("posterior mean") == 2
    assert {"Narrow", "Wide", "5 of 20 draws", "5 of 30 draws"} <= set(shown)
    assert "1,200 network calls a draw, 30 backward" in shown
    assert len(pictures(figure)) == 2 + 2 * (3 + 5)
    limits = {axes.images[0].get_clim() for axes in figure.axes if axes.images and axes.images[0].get_array().ndim == 2}
    (_, std), (_, width) = sorted(limits)  # one for the standard deviations, one for the widths
    assert width == pytest.approx(3.29 * std)
    heats = [(a.images[0].get_array(), a.images[0].get_clim()[1]) for a in figure.axes if a.images]
    fullest = max(float(values.max()) / high for values, high in heats if values.ndim == 2)
    assert fullest == pytest.approx(1)  # nothing saturates, and something reaches the end of the scale


def test_panels_lie_on_the_page_and_apart() -> None:
    x = normal(2, 1, 6, 8)
    for samples, num_samples in ((draws(), 1), (draws(), 19), ({"A": draws(), "B": draws(40)}, 7)):
        figure = posterior_figure(x, x, samples, x, num_samples=num_samples)
        boxes = [axes.get_position() for axes in figure.axes]
        assert all(0 < b.x0 < b.x1 < 1 and 0 < b.y0 < b.y1 < 1 for b in boxes)
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


def test_colour_images_average_the_spread_over_channels() -> None:
    x, samples = normal(2, 3, 6, 8), draws(event=(3, 6, 8))
    panels = pictures(figure_of(x, x, samples))
    np.testing.assert_allclose(panels[0], ((x[0] + 1) / 2).clamp(0, 1).permute(1, 2, 0), atol=1e-6)
    np.testing.assert_allclose(panels[3], samples.std()[0].mean(0), atol=1e-6)


def test_two_channels_are_shown_by_magnitude() -> None:
    x = normal(1, 2, 6, 8)
    panels = pictures(figure_of(x, x, draws(batch=1, event=(2, 6, 8)), value_range=(-2, 2)))
    np.testing.assert_allclose(panels[0][..., 0], (x[0].norm(dim=0) / 2).clamp(0, 1), atol=1e-6)


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
    assert pictures(counts)[1].min() == 0
    assert pictures(counts)[1].max() == 1
    assert "black 0, white 47" in texts(counts)
    stack = figure_of(x, normal(2, 5, 6, 8), samples)
    assert "first of 5" in texts(stack)


def test_few_draws_have_no_interval() -> None:
    x = normal(2, 1, 6, 8)
    figure = figure_of(x, x, draws(18))
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["needs at least\n19 draws"]


def test_one_draw_has_no_spread() -> None:
    x = normal(2, 1, 6, 8)
    figure = figure_of(x, x, draws(1))
    notes = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert notes == ["needs at least\n2 draws", "needs at least\n19 draws"]
    assert "the only draw" in texts(figure)


def test_a_point_estimate_alone() -> None:
    x, point = normal(2, 1, 6, 8), normal(2, 1, 6, 8, seed=2)
    figure = figure_of(x, x, None, point, title="A rather long title for so few panels, of an operator", index=1)
    panels = pictures(figure)
    assert len(panels) == 3
    np.testing.assert_allclose(panels[2][..., 0], grey(point[1]), atol=1e-6)
    renderer = FigureCanvasAgg(figure).get_renderer()
    assert all(text.get_window_extent(renderer).x1 <= figure.bbox.x1 for text in figure.texts)
    assert len(pictures(figure_of(None, x, {}, point))) == 2


def test_all_draws_are_shown_where_there_are_few() -> None:
    x = normal(2, 1, 6, 8)
    assert "all 4 draws" in texts(figure_of(x, x, draws(4), num_samples=4))


def test_draws_that_are_all_equal() -> None:
    x = normal(2, 1, 6, 8)
    figure = figure_of(x, x, draws(scale=0))
    assert (pictures(figure)[3] == 0).all()


def test_sample_sheet(tmp_path: Path) -> None:
    images = normal(7, 1, 4, 4)
    figure = sample_sheet(images, columns=3, title="Draws")
    panels = pictures(figure)
    assert len(panels) == 7
    assert texts(figure)[-1] == "Draws"
    np.testing.assert_allclose(panels[4][..., 0], ((images[4, 0] + 1) / 2).clamp(0, 1), atol=1e-6)
    corners = [(round(axes.get_position().x0, 6), round(axes.get_position().y0, 6)) for axes in figure.axes]
    assert len({x for x, _ in corners}) == 3
    assert len({y for _, y in corners}) == 3
    assert corners[3][0] == corners[0][0]
    assert corners[3][1] < corners[0][1]


def test_save_figure(tmp_path: Path) -> None:
    figure = sample_sheet(normal(4, 1, 4, 4))
    with Image.open(save_figure(figure, tmp_path / "new" / "a.png")) as picture:
        assert min(picture.size) > 200
    for suffix in ("png", "pdf", "svg"):
        first = save_figure(figure, tmp_path / f"a.{suffix}").read_bytes()
        again = save_figure(sample_sheet(normal(4, 1, 4, 4)), tmp_path / f"b.{suffix}").read_bytes()
        assert first == again
    for name in ("a", "a.npz"):
        with pytest.raises(FileFormatError, match="png"):
            save_figure(figure, tmp_path / name)


def test_parts_that_do_not_fit() -> None:
    x, samples = normal(2, 1, 6, 8), draws()
    with pytest.raises(ShapeError, match="truth"):
        posterior_figure(x[:1], x, samples)
    with pytest.raises(ShapeError, match="estimate"):
        posterior_figure(x, x, samples, x[..., 1:])
    with pytest.raises(ShapeError, match="measurement"):
        posterior_figure(x, x[0, 0], samples)
    with pytest.raises(ShapeError, match="'b'"):
        posterior_figure(x, x, {"a": samples, "b": draws(event=(1, 8, 6))})
    for wrong in (draws(event=(4, 6, 8)), draws(event=(6, 8)), draws(0)):
        with pytest.raises(ShapeError, match="draws"):
            posterior_figure(None, x, wrong)
    with pytest.raises(ShapeError, match="C, H, W"):
        posterior_figure(None, x, None, x[0])
    with pytest.raises(ShapeError, match="mask"):
        posterior_figure(x, x, samples, mask=torch.ones(5))
    with pytest.raises(ShapeError, match="N, C, H, W"):
        sample_sheet(x[0])


def test_values_that_make_no_sense() -> None:
    x, samples = normal(2, 1, 6, 8), draws()
    for arguments, message in (({"index": 2}, "index"), ({"num_samples": 0}, "num_samples")):
        with pytest.raises(InvalidValueError, match=message):
            posterior_figure(x, x, samples, **arguments)  # type: ignore[arg-type]
    for nothing in ({}, None):
        with pytest.raises(InvalidValueError, match="needs samples or an estimate"):
            posterior_figure(x, x, nothing)
    with pytest.raises(InvalidValueError, match="value_range"):
        posterior_figure(x, x, samples, value_range=(1, 0))
    with pytest.raises(InvalidValueError, match="columns"):
        sample_sheet(x, columns=0)
    samples.x[3, 1, 0, 2, 2] = torch.nan
    with pytest.raises(NotFiniteError, match="NaN"):
        posterior_figure(x, x, samples)


def test_matplotlib_is_imported_when_needed_only() -> None:
    names = [getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in vars(figures).values()]
    assert not any(str(name).startswith("matplotlib") for name in names)
