"""Stated and observed frequencies."""

import pytest
import torch

from posterior.errors import ShapeError
from posterior.fairness import reliability
from posterior.figures import reliability_figure
from tests.figures.reading import texts

DOUBLE = torch.float64


def both(p):
    return torch.stack([p, 1 - p], 1)


def test_bins_hold_what_was_stated_in_them():
    p = torch.tensor([0.04, 0.06, 0.95, 1.0, 0.55], dtype=DOUBLE)
    truth = both(torch.tensor([0.0, 1.0, 1.0, 1.0, 0.0], dtype=DOUBLE))
    found = reliability(truth, both(p))
    assert found.count[0].tolist() == [2, 0, 0, 0, 0, 1, 0, 0, 0, 2]
    assert found.stated[0, [0, 5, 9]].tolist() == pytest.approx([0.05, 0.55, 0.975])
    assert found.observed.value[0, [0, 5, 9]].tolist() == [0.5, 0, 1]
    assert found.observed.value[0, 1].isnan()
    # Wilson's interval of 0 of 1 ends at z²/(1 + z²)
    assert float(found.observed.high[0, 5]) == pytest.approx(1.96**2 / (1 + 1.96**2))
    with pytest.raises(ShapeError, match="both alike"):
        reliability(truth, both(p)[:2])


def test_intervals_of_calibrated_probabilities_hold_them():
    generator = torch.Generator().manual_seed(0)
    held = []
    for _ in range(100):
        p = torch.rand(300, generator=generator, dtype=DOUBLE)
        truth = (torch.rand(300, generator=generator, dtype=DOUBLE) < p).double()
        found = reliability(both(truth), both(p))
        held.append((found.observed.low[0] <= found.stated[0]) & (found.stated[0] <= found.observed.high[0]))
    share = torch.stack(held).double().mean()
    assert 0.93 < share < 0.99  # 95 % of 1,000 bins, whose standard error is .7 %, and a little more within a bin


def test_the_figure_has_a_panel_for_each_class():
    p = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    found = reliability(both((p > 0.5).double()), both(p))
    figure = reliability_figure({"one": found, "other": found}, ("a", "b"), title="Told")
    assert len(figure.axes) == 4
    assert {"one", "other", "Told"} <= set(texts(figure))
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() == "o"]
    assert marks[0].get_ydata() == pytest.approx(found.observed.value[0][found.count[0] > 0].tolist())
    with pytest.raises(ShapeError, match="names"):
        reliability_figure({"one": found}, ("a", "b", "c"))
