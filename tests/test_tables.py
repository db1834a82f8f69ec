import re

import pytest

from posterior.tables import markdown_table
from tests.tables import cells

HEADER = ["sampler", "error", "finding"]
ROWS = [["DPS", "+1.00", "too narrow"], ["TemperedSMC", "0.970", ""]]


def test_cells_are_kept_as_they_are() -> None:
    assert cells(markdown_table(HEADER, ROWS)) == [HEADER, *ROWS]
    assert cells(markdown_table(HEADER, [])) == [HEADER]


@pytest.mark.parametrize(("align", "rule"), [("lrl", r"\|:-+\|-+:\|:-+\|"), ("l", r"\|:-+\|-+:\|-+:\|")])
def test_columns_line_up_on_their_sides(align: str, rule: str) -> None:
    lines = markdown_table(HEADER, ROWS, align).splitlines()
    assert re.fullmatch(rule, lines[1])
    assert len({len(line) for line in lines}) == 1
