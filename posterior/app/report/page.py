"""The page: contents, style and program in one HTML file that asks for nothing else."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

_TOKEN = re.compile(r"\{\{(\w+)\}\}")
_PROGRAM = (
    "state", "arrays", "words", "pictures", "rows", "probe", "browse", "zoom", "keys", "overview", "groups", "start",
)  # fmt: skip


def page(title: str, job: dict[str, Any], measurements: Sequence[str]) -> str:
    """The HTML.

    Args:
        title: Its title.
        job: What is known of all measurements.
        measurements: What is known of each, as `block` makes it.
    """
    style = _file("style/base.css") + _file("report/page/report.css")
    program = "\n".join(_file(f"report/page/{name}.js") for name in _PROGRAM)
    policy = (
        f"default-src 'none'; script-src {_source(program)}; style-src {_source(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    parts = {
        "title": html.escape(title),
        "policy": policy,
        "style": style,
        "program": program,
        "first": "\n".join([block("job", job), *measurements[:1]]),
        "rest": "\n".join(measurements[1:]),
    }
    return _TOKEN.sub(lambda token: parts[token[1]], _file("report/page/report.html"))


def block(name: str, content: dict[str, Any]) -> str:
    """Content for the program, which nothing in it can end or turn into a part of the page."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _file(name: str) -> str:
    return (files("posterior.app") / name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    """What a policy calls an inline script or style by."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
