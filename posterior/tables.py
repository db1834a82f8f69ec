"""Tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str = "l") -> str:
    """Return rows of text as a table in Markdown, its columns lined up.

    Args:
        header: Names of the columns.
        rows: Cells, which are text already: nothing is parsed or rounded.
        align: A letter for each column, "l" or "r"; columns without one are aligned to the right, as numbers are.
    """
    from tabulate import tabulate

    sides = [{"l": "left", "r": "right"}[letter] for letter in align.ljust(len(header), "r")]
    return tabulate(rows, header, tablefmt="pipe", disable_numparse=True, colalign=sides)
