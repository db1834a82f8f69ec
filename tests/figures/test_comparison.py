"""The figures of many methods and of many measurements."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from posterior.errors import InvalidValueError, NotFiniteError, ShapeError
from posterior.figures import comparison_figure, overview_figure, save_figure
from posterior.figures.page import ALARM
from posterior.likelihoods import GaussianLikelihood
from posterior.operators import Identity
from posterior.results import PointEstimate
from posterior.verdict import Verdict
from tests.figures.reading import draws, grey, normal, pictures, texts

SHAPE = (1, 6, 8)


def estimate(batch: int = 2) -> PointEstimate:
    one = torch.ones(batch)
    return PointEstimate(normal(batch, *SHAPE, seed=2), one, one > 0, one, one)


def heats(figure: Figure) -> list[np.ndarray]:
    """Maps, which have one number a pixel, without the strip that explains their colours."""
    return [values for values in pictures(figure) if values.ndim == 2 and len(values) > 1]


def test_each_method_has_a_row(tmp_path) -> None:
    x, likelihood = normal(2, *SHAPE), GaussianLikelihood(Identity(SHAPE), 0.5)
    doubtful = replace(draws(30, seed=1), verdict=(Verdict(), Verdict("doubtful", ("a fault",), "")))
    results = {"Narrow": draws(scale=0.2), "Wide": doubtful, "Point": estimate()}
    figure = comparison_figure(x, x, results, title="A title", num_samples=3, likelihood=likelihood, index=1)
    shown = texts(figure)
    assert {"A title", "truth", "measurement", "mean, MAP", "std", "|error|", "samples", *results} <= set(shown)
    misfit = float(likelihood.misfit(doubtful.x, x)[:, 1].mean())
    assert {f"misfit {misfit:.2f} σ", "effective samples 30", "network calls 1,230"} <= set(shown)
    assert [text.get_text() for text in figure.texts if text.get_color() == ALARM] == ["doubtful"]
    panels = pictures(figure)
    assert len(panels) == 2 + 2 * (3 + 3) + 2 + 1  # given, two samplers, an estimate without a std, the colours
    np.testing.assert_allclose(panels[2][..., 0], grey(results["Narrow"].mean()[1]), atol=1e-6)
    np.testing.assert_allclose(panels[3], results["Narrow"].std()[1, 0], atol=1e-6)
    np.testing.assert_allclose(panels[4], (results["Narrow"].mean() - x)[1, 0].abs(), atol=1e-6)
    np.testing.assert_allclose(panels[5][..., 0], grey(results["Narrow"].x[0, 1]), atol=1e-6)
    np.testing.assert_allclose(panels[14][..., 0], grey(results["Point"].x[1]), atol=1e-6)
    shown_maps = [axes.images[0] for axes in figure.axes if axes.images[0].get_array().shape == (6, 8)]
    ((low, high),) = {image.get_clim() for image in shown_maps}
    assert (low, max(values.max() for values in heats(figure))) == pytest.approx((0, high))
    assert save_figure(figure, tmp_path / "comparison.png").stat().st_size > 0


def test_without_a_truth_there_are_no_errors() -> None:
    figure = comparison_figure(None, normal(2, *SHAPE), {"A": draws()}, num_samples=2)
    assert {"mean", "std"} <= set(texts(figure)) and "|error|" not in texts(figure)
    assert len(heats(figure)) == 1
    alone = comparison_figure(None, normal(2, *SHAPE), {"A": estimate()})
    assert "samples" not in texts(alone)


def test_many_measurements(tmp_path) -> None:
    x, likelihood, mask = normal(7, *SHAPE), GaussianLikelihood(Identity(SHAPE), 0.5), torch.ones(SHAPE)
    mask[0, 2:4] = 0
    verdict = (*[Verdict()] * 6, Verdict("not the posterior", ("a fault",), ""))
    samples = replace(draws(batch=7), verdict=verdict)
    figure = overview_figure(
        x, x * mask, samples, title="A title", mask=mask, likelihood=likelihood, ids=[f"n{b}" for b in range(7)]
    )
    panels, shown = pictures(figure), texts(figure)
    assert len(panels) == 7 * 4 + 1
    for b in (0, 6):
        np.testing.assert_allclose(panels[4 * b][..., 0], grey(x[b]), atol=1e-6)
        np.testing.assert_allclose(panels[4 * b + 2][..., 0], grey(samples.mean()[b]), atol=1e-6)
        np.testing.assert_allclose(panels[4 * b + 3], samples.std()[b, 0], atol=1e-6)
    assert {"A title", "truth", "measured", "mean", "std", "blue: not measured"} <= set(shown)
    (last,) = [text for text in figure.texts if text.get_text().startswith("n6 · PSNR ")]
    assert last.get_text().endswith("σ · not the posterior")
    assert last.get_color() == ALARM
    assert save_figure(figure, tmp_path / "overview.png").stat().st_size > 0


def test_the_first_of_many_measurements() -> None:
    figure = overview_figure(None, normal(5, 30), draws(batch=5), num_measurements=3)
    assert "the first 3 of 5 measurements" in texts(figure)
    assert len(figure.axes) == 3 * 3 + 1
    assert [axes.get_xlabel() for axes in figure.axes if axes.get_xlabel()] == ["standard deviation"]
    assert "estimate" in texts(overview_figure(None, normal(2, *SHAPE), estimate()))


def test_what_cannot_be_is_refused() -> None:
    x = normal(2, *SHAPE)
    for results in ({}, {"A": draws(), "B": draws(event=(1, 8, 6))}):
        with pytest.raises((InvalidValueError, ShapeError)):
            comparison_figure(x, x, results)
    with pytest.raises(InvalidValueError, match="index"):
        comparison_figure(x, x, {"A": draws()}, index=2)
    with pytest.raises(InvalidValueError, match="num_measurements"):
        overview_figure(x, x, draws(), num_measurements=0)
    with pytest.raises(NotFiniteError):
        overview_figure(x / 0, x, draws())
