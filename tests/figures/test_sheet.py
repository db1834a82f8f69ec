import numpy as np
import pytest

from posterior.errors import InvalidValueError, ShapeError
from posterior.figures import sample_sheet
from tests.figures.reading import normal, pictures, texts


def test_sample_sheet() -> None:
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


def test_sheets_that_make_no_sense() -> None:
    x = normal(2, 1, 6, 8)
    with pytest.raises(ShapeError, match="N, C, H, W"):
        sample_sheet(x[0])
    with pytest.raises(InvalidValueError, match="columns"):
        sample_sheet(x, columns=0)
