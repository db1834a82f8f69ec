"""The figure of how samples differ, and the gif."""

import numpy as np
import pytest
import torch
from PIL import Image

from posterior.diagnostics import principal_components
from posterior.errors import FileFormatError, InvalidValueError, NotFiniteError, ShapeError
from posterior.fairness import Groups
from posterior.figures import save_figure, save_gif, uncertainty_figure
from posterior.results import Samples
from tests.figures.reading import draws, grey, is_standard, normal, pictures, texts


def test_what_is_shown(tmp_path) -> None:
    truth, samples = normal(2, 1, 6, 8), draws()
    groups = Groups(["dark", "light"], lambda x: (x.mean((1, 2, 3)) > 0).long())
    figure = uncertainty_figure(samples, truth, groups=groups, components=2, title="Title", index=1)
    shown, panels = texts(figure), pictures(figure)
    assert {"posterior mean", "error of the mean", "error against std", "probabilities", "+2 σ", "Title"} <= set(shown)
    mean, found = samples.mean()[1], principal_components(Samples(samples.x[:, 1:], torch.ones(1), torch.ones(1)), 2)
    np.testing.assert_allclose(panels[0][..., 0], grey(mean), atol=1e-6)
    np.testing.assert_allclose(panels[1], samples.std()[1, 0], atol=1e-6)
    np.testing.assert_allclose(panels[3], (truth - samples.mean()).abs()[1, 0], atol=1e-6)
    np.testing.assert_allclose(panels[4], found.directions[0, 0, 0], atol=1e-5)  # then the walk along it
    far = mean - 2 * found.std[0, 0] * found.directions[0, 0]
    np.testing.assert_allclose(panels[5][..., 0], grey(far), atol=1e-5)
    assert len(panels) == 4 + 2 * 6
    assert [axes.get_ylabel() for axes in figure.axes if is_standard(axes)] == ["|truth − mean|"]
    assert "share of the samples" in [axes.get_xlabel() for axes in figure.axes]
    light = float((samples.x[:, 1].mean((1, 2, 3)) > 0).double().mean())
    assert any(f"light  {light:.2f}" == text.get_text() for axes in figure.axes for text in axes.texts)
    assert f"1: {float(found.share[0, 0]):.0%} of variance" in shown
    assert save_figure(figure, tmp_path / "uncertainty.png").stat().st_size > 0


def test_two_draws_are_enough_and_one_is_not() -> None:
    figure = uncertainty_figure(draws(2))
    assert "1: 100% of variance" in texts(figure)
    with pytest.raises(InvalidValueError, match="two samples"):
        uncertainty_figure(draws(1))


def test_complex_and_colour_images() -> None:
    for channels in (2, 3):
        figure = uncertainty_figure(draws(event=(channels, 6, 8)), normal(2, channels, 6, 8), components=1)
        assert len(pictures(figure)) == 4 + 6


def test_what_cannot_be_is_refused() -> None:
    samples = draws()
    for options, error in (
        ({"truth": normal(1, 1, 6, 8)}, ShapeError),
        ({"index": 2}, InvalidValueError),
        ({"value_range": (1.0, -1.0)}, InvalidValueError),
        ({"truth": normal(2, 1, 6, 8) / 0}, NotFiniteError),
    ):
        with pytest.raises(error):
            uncertainty_figure(samples, **options)
    with pytest.raises(ShapeError):
        uncertainty_figure(draws(event=(4, 6, 8)))
    with pytest.raises(NotFiniteError):
        uncertainty_figure(Samples(samples.x * float("nan"), samples.nfe, samples.nfe))


def test_a_gif_shows_all_draws(tmp_path) -> None:
    x = normal(5, 1, 6, 8)
    with Image.open(save_gif(x, tmp_path / "new" / "draws.gif", seconds=0.3)) as picture:
        assert picture.n_frames == 5
        assert picture.info["duration"] == 300
        assert picture.size == (8 * 28, 6 * 28)
        picture.seek(4)
        frame = np.asarray(picture.convert("L"))[::28, ::28]
    np.testing.assert_allclose(frame / 255, grey(x[4]), atol=0.01)
    with pytest.raises(FileFormatError):
        save_gif(x, tmp_path / "draws.png")
    with pytest.raises(ShapeError):
        save_gif(x[0], tmp_path / "draws.gif")
    with pytest.raises(NotFiniteError):
        save_gif(x / 0, tmp_path / "draws.gif")
    with pytest.raises(InvalidValueError):
        save_gif(x, tmp_path / "draws.gif", seconds=0)
