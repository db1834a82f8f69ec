"""Bars of ranks."""

import pytest

from posterior.errors import InvalidValueError
from posterior.figures import ranks_figure

GROUPS = {"knee": {"a": [0.7, 0.25, 0.05], "bb": [0.3, 0.5, 0.2]}, "all": {"a": [1.0, 0, 0], "bb": [0, 0.5, 0.5]}}


def test_bars_are_divided_by_rank() -> None:
    figure = ranks_figure(GROUPS)
    knee, every = figure.axes
    bars = [(round(bar.get_x(), 9), round(bar.get_width(), 9)) for bar in knee.patches]
    assert bars == [(0, 0.7), (0.7, 0.25), (0.95, 0.05), (0, 0.3), (0.3, 0.5), (0.8, 0.2)]
    assert [text.get_text() for text in knee.texts] == ["1", "2", "1", "2", "3"]  # a narrow part has no room
    assert [label.get_text() for label in knee.get_yticklabels()] == ["a", "bb"]
    assert [label.get_text() for label in every.get_yticklabels()] == ["", ""]
    assert knee.get_ylim()[0] > knee.get_ylim()[1]  # the first method on top


def test_nothing_to_show_is_told() -> None:
    with pytest.raises(InvalidValueError, match="no ranks"):
        ranks_figure({})
