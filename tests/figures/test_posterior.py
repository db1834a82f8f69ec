from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from posterior.errors import InvalidValueError, NotFiniteError, ShapeError
from posterior.figures import posterior_figure
from posterior.figures.page import ALARM, PALE
from posterior.likelihoods import GaussianLikelihood
from posterior.metrics import psnr
from posterior.operators import Identity
from posterior.results import PointEstimate
from posterior.verdict import Verdict
from tests.figures.reading import draws, figure_of, grey, normal, pictures, texts


def test_one_sampler() -> None:
    truth, y, samples, point = normal(2, 1, 6, 8), normal(2, 1, 6, 8, seed=1), draws(), normal(2, 1, 6, 8, seed=2)
    figure = posterior_figure(truth, y, samples, point, title="A title with $ and _", index=1)
    shown = texts(figure)
    labels = ("truth", "measurement", "point estimate (MAP)", "posterior mean", "standard deviation")
    for label in (*labels, "width of 90 % interval", "12 of 20 samples", "A title with $ and _"):
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
    assert {"Narrow", "Wide", "5 of 20 samples", "5 of 30 samples"} <= set(shown)
    error = float(psnr(draws(scale=0.2).mean(), x)[1])
    assert f"PSNR {error:.1f} dB · effective samples 20 · network calls 1,230" in shown
    assert len(pictures(figure)) == 2 + 2 * (3 + 5)
    limits = {axes.images[0].get_clim() for axes in figure.axes if axes.images and axes.images[0].get_array().ndim == 2}
    (_, std), (_, width) = sorted(limits)  # one for the standard deviations, one for the widths
    assert width == pytest.approx(3.29 * std)
    heats = [(a.images[0].get_array(), a.images[0].get_clim()[1]) for a in figure.axes if a.images]
    fullest = max(float(values.max()) / high for values, high in heats if values.ndim == 2)
    assert fullest == pytest.approx(1)  # nothing saturates, and something reaches the end of the scale


def test_what_is_said_of_each_row() -> None:
    x, likelihood, one = normal(2, 1, 6, 8), GaussianLikelihood(Identity((1, 6, 8)), 0.5), torch.ones(2)
    verdict = (Verdict(), Verdict("doubtful", ("a fault",), "a remedy"))
    samples = replace(draws(), info={"effective_samples": 7 * one}, verdict=verdict)
    estimate = PointEstimate(x + 0.2, one, one > 0, one, one, verdict=verdict)
    figure = figure_of(x, x, {"A": samples, "B": samples}, estimate, likelihood=likelihood, index=1)
    misfit = float(likelihood.misfit(samples.x, x)[:, 1].mean())
    error = float(psnr(samples.mean(), x)[1])
    line = f"PSNR {error:.1f} dB · misfit {misfit:.2f} σ · effective samples 7 · network calls 1,230 · doubtful"
    found = [text for text in figure.texts if text.get_text() == line]
    assert [text.get_color() for text in found] == [ALARM, ALARM]
    assert "PSNR 20.0 dB\nmisfit 0.40 σ, doubtful" in texts(figure)
    (alone,) = [text for text in figure_of(x, x, samples).texts if " · " in text.get_text()]
    assert alone.get_text().endswith("network calls 1,200 · sound")
    assert alone.get_color() == PALE


def test_colour_images_average_the_spread_over_channels() -> None:
    x, samples = normal(2, 3, 6, 8), draws(event=(3, 6, 8))
    panels = pictures(figure_of(x, x, samples))
    np.testing.assert_allclose(panels[0], ((x[0] + 1) / 2).clamp(0, 1).permute(1, 2, 0), atol=1e-6)
    np.testing.assert_allclose(panels[3], samples.std()[0].mean(0), atol=1e-6)


def test_two_channels_are_shown_by_magnitude() -> None:
    x = normal(1, 2, 6, 8)
    panels = pictures(figure_of(x, x, draws(batch=1, event=(2, 6, 8)), value_range=(-2, 2)))
    np.testing.assert_allclose(panels[0][..., 0], (x[0].norm(dim=0) / 2).clamp(0, 1), atol=1e-6)


def test_few_draws_have_no_interval() -> None:
    x = normal(2, 1, 6, 8)
    figure = figure_of(x, x, draws(18))
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["needs at least\n19 samples"]


def test_one_draw_has_no_spread() -> None:
    x = normal(2, 1, 6, 8)
    figure = figure_of(x, x, draws(1))
    notes = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert notes == ["needs at least\n2 samples", "needs at least\n19 samples"]
    assert "the only sample" in texts(figure)


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
    assert "all 4 samples" in texts(figure_of(x, x, draws(4), num_samples=4))


def test_draws_that_are_all_equal() -> None:
    x = normal(2, 1, 6, 8)
    figure = figure_of(x, x, draws(scale=0))
    assert (pictures(figure)[3] == 0).all()


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
        with pytest.raises(ShapeError, match="samples"):
            posterior_figure(None, x, wrong)
    with pytest.raises(ShapeError, match="C, H, W"):
        posterior_figure(None, x, None, x[0])
    with pytest.raises(ShapeError, match="mask"):
        posterior_figure(x, x, samples, mask=torch.ones(5))


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
    samples.x[3, 1, 0, 2, 2] = torch.nan
    with pytest.raises(NotFiniteError, match="NaN"):
        posterior_figure(x, x, samples)
