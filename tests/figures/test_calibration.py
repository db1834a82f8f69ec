import pytest

from posterior.diagnostics import Calibration, calibrate
from posterior.figures import calibration_figure, save_figure
from tests.diagnostics.methods import KnownDraws, PriorDraws
from tests.figures.reading import is_standard, texts
from tests.problems import gaussian, gaussian_problem


def study(method: KnownDraws | PriorDraws) -> Calibration:
    likelihood = gaussian_problem(4).likelihood
    return calibrate(method, gaussian(4), likelihood, num_problems=60, num_samples=9, seed=1, progress=False)


def test_every_check_has_a_panel(tmp_path) -> None:
    result = study(KnownDraws())
    figure = calibration_figure(result)
    assert len(figure.axes) == len(result.checks) == 8
    assert set(texts(figure)) >= {check.name for check in result.checks} | {result.title}
    for axes, check in zip(figure.axes, result.checks, strict=True):
        assert is_standard(axes)
        zero, curve = axes.get_lines()
        assert zero.get_ydata()[0] == 0
        assert curve.get_ydata().tolist() == pytest.approx((check.observed - check.levels).tolist())
    assert save_figure(figure, tmp_path / "calibration.png").stat().st_size > 0


def test_faults_have_a_colour_and_words_of_their_own() -> None:
    result = study(PriorDraws())
    figure = calibration_figure(result, title="Of the prior")
    colours = {
        check.name: axes.get_lines()[1].get_color() for axes, check in zip(figure.axes, result.checks, strict=True)
    }
    assert len(set(colours.values())) == 2
    assert {name for name, colour in colours.items() if colour == colours["TARP"]} == {"TARP", "log-likelihood"}
    assert any("draws too low" in text for text in texts(figure))
    assert texts(figure).count("Of the prior") == 1


def test_many_functionals_take_several_rows() -> None:
    likelihood = gaussian_problem(4).likelihood
    functionals = {f"entry {i}": lambda x, problem, i=i: x[..., i % 4] for i in range(7)}
    result = calibrate(
        KnownDraws(), gaussian(4), likelihood, num_problems=20, num_samples=9, functionals=functionals, progress=False
    )
    heights = [round(axes.get_position().y0, 6) for axes in calibration_figure(result).axes]
    assert len(set(heights)) == 3
