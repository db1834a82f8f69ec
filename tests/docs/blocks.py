"""The code blocks of a page, run one after the other as a reader would."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from posterior.app.cli import main

ROOT = Path(__file__).resolve().parents[2]
_BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```", flags=re.S | re.M)


def pages_with_code() -> set[str]:
    """Pages with Python, or with commands of this library."""
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    blocks = {page: _BLOCK.findall(page.read_text(encoding="utf-8")) for page in pages}
    return {
        str(page.relative_to(ROOT))
        for page, found in blocks.items()
        if any(language == "python" or [*commands(code)] for language, code in found)
    }


def commands(code: str) -> Iterator[list[str]]:
    """The arguments of each command of this library in a shell's block."""
    for line in code.splitlines():
        words = shlex.split(line, comments=True)
        if words[:1] == ["posterior"]:
            yield words[1:]


def run(
    page: str, smaller: dict[str, str], flags: dict[str, str], given: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run a page in the working directory.

    Args:
        page: Its path in the repository.
        smaller: What is written, and what is run instead, so as to take seconds.
        flags: What is added to commands that begin so.
        given: Names that the page takes for granted.

    Returns:
        The names that its Python has defined.
    """
    text = (ROOT / page).read_text(encoding="utf-8")
    for written, instead in smaller.items():
        assert written in text, f"{page} no longer says {written}"
        text = text.replace(written, instead)
    found: dict[str, Any] = {"__name__": "page"} | (given or {})
    unused = set(flags)
    for language, code in _BLOCK.findall(text):
        if language == "python":
            exec(compile(code, page, "exec"), found)
            continue
        for words in commands(code):
            begin = [head for head in flags if " ".join(words).startswith(head)]
            unused -= set(begin)
            main(words + [word for head in begin for word in flags[head].split()])
    assert not unused
    return found
