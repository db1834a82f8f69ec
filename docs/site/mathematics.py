r"""Formulas, \( \) and $$ $$, as MathML, which browsers draw without a script (a hook of mkdocs)."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

_INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.S)
_BLOCK = re.compile(r'<div class="arithmatex">\s*\\\[(.*?)\\\]\s*</div>', re.S)


def on_page_content(content: str, **_: Any) -> str:
    """The page with MathML in place of LaTeX."""
    content = _BLOCK.sub(lambda found: _focusable(convert(html.unescape(found[1]), display="block")), content)
    return _INLINE.sub(lambda found: convert(html.unescape(found[1])), content)


def _focusable(formula: str) -> str:
    """A formula that may be wider than the screen, to be scrolled by keyboard."""
    return formula.replace("<math ", '<math tabindex="0" ', 1)
