"""Markdown tables, read back."""

import re


def cells(text: str) -> list[list[str]]:
    """The cells of every table in a text, line by line, without the rules below the names."""
    lines = [line for line in text.splitlines() if line.startswith("|") and not re.fullmatch(r"[|:-]+", line)]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
