"""The page of warnings holds every finding that the code can make, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

PAGE = ROOT / "docs/warnings.md"
MODULES = [path for package in ("posterior", "samplers") for path in sorted((ROOT / package).rglob("*.py"))]
SPEAKS = re.compile(r"\b(Verdict|broken|warn_caller)\(|def (reasons|too_large)\(")


def written(node: ast.AST) -> str:
    """A text of the code, with … in place of what is filled in; empty where it is none."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def said(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that hold findings: what verdicts and warnings are made of."""
    match node:
        case ast.Call(func=ast.Name(id="Verdict"), args=[_, ast.Tuple(elts=findings), *_]):
            yield from findings
        case ast.Call(func=ast.Name(id="broken" | "warn_caller"), args=[text, *_]):
            yield text
        case ast.Call(func=ast.Attribute(value=ast.Name(id="findings"), attr="append"), args=[text]):
            yield text
        case ast.Assign(targets=[ast.Name(id="text")], value=text):
            yield text
        case ast.FunctionDef(name="reasons"):
            for part in ast.walk(node):
                if isinstance(part, ast.Dict):
                    yield from (key for key in part.keys if key is not None)
                elif isinstance(part, ast.Assign) and isinstance(part.targets[0], ast.Subscript):
                    yield part.targets[0].slice
        case ast.FunctionDef(name="too_large" | "_words"):
            for part in ast.walk(node):
                match part:
                    case ast.Return(value=ast.Tuple(elts=texts)):
                        yield from texts
                    case ast.Return(value=ast.JoinedStr() as text):
                        yield text


def findings(path: Path) -> set[str]:
    source = path.read_text(encoding="utf-8")
    if not SPEAKS.search(source):
        return set()
    texts = (written(text) for node in ast.walk(ast.parse(source)) for text in said(node))
    return {text for text in texts if re.search(r"[a-z]{3}", text)}


def listed() -> set[str]:
    """The first cells of the page's tables."""
    rows = re.findall(r"^\| (.*?) (?<!\\)\|", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return {row.replace(r"\|", "|") for row in rows} - {"it says"}


def test_every_finding_is_listed_and_no_other() -> None:
    assert set().union(*(findings(path) for path in MODULES)) == listed()


@pytest.mark.parametrize(
    ("code", "texts"),
    [
        ("class A:\n def reasons(self):\n  return {'it is off': self.x}", {"it is off"}),
        ("class A:\n def reasons(self):\n  found = {}\n  found['too few'] = self.x\n  return found", {"too few"}),
        ("warn_caller(f'{n} are gone')", {"… are gone"}),
        ("Verdict('doubtful', (f'{n} σ off',), advice)", {"… σ off"}),
        ("print('not a finding')", set()),
    ],
)
def test_findings_are_found(code: str, texts: set[str], tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(code)
    assert findings(path) == texts
