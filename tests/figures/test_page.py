from pathlib import Path

import pytest
from PIL import Image

from posterior import figures
from posterior.errors import FileFormatError
from posterior.figures import posterior_figure, sample_sheet, save_figure
from tests.figures.reading import draws, normal


def test_panels_lie_on_the_page_and_apart() -> None:
    x = normal(2, 1, 6, 8)
    for samples, num_samples in ((draws(), 1), (draws(), 19), ({"A": draws(), "B": draws(40)}, 7)):
        figure = posterior_figure(x, x, samples, x, num_samples=num_samples)
        boxes = [axes.get_position() for axes in figure.axes]
        assert all(0 < b.x0 < b.x1 < 1 and 0 < b.y0 < b.y1 < 1 for b in boxes)
        for i, a in enumerate(boxes):
            for b in boxes[:i]:
                assert a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0


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


def test_matplotlib_is_imported_when_needed_only() -> None:
    names = [getattr(value, "__module__", None) or getattr(value, "__name__", "") for value in vars(figures).values()]
    assert not any(str(name).startswith("matplotlib") for name in names)
