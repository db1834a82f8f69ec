"""The faults that can be put into a module, found in its syntax tree."""

from __future__ import annotations

import ast
import hashlib
import re
from dataclasses import dataclass

OPERATORS = {
    ast.Add: ("+", "-"), ast.Sub: ("-", "+"), ast.Mult: ("*", "/"), ast.Div: ("/", "*"), ast.Pow: ("**", "*"),
    ast.FloorDiv: ("//", "*"), ast.Mod: ("%", "//"), ast.BitAnd: ("&", "|"), ast.BitOr: ("|", "&"),
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.And: ("and", "or"), ast.Or: ("or", "and"), ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
}  # fmt: skip
PAIRS = [
    ("min", "max"), ("amin", "amax"), ("minimum", "maximum"), ("clamp_min", "clamp_max"), ("argmin", "argmax"),
    ("any", "all"), ("sum", "mean"), ("sqrt", "square"), ("floor", "ceil"), ("zeros", "ones"),
    ("zeros_like", "ones_like"), ("cos", "sin"),
]  # fmt: skip
SWAPS = dict(PAIRS) | {b: a for a, b in PAIRS}


@dataclass(frozen=True)
class Mutant:
    """The text of a module with its bytes start … end replaced: the lines that change, from number `line` on."""

    file: str
    version: str
    kind: str
    line: int
    before: str
    after: str
    start: int
    end: int
    text: str

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]


class Finder(ast.NodeVisitor):
    """Every mutant of a module that compiles."""

    def __init__(self, file: str, source: bytes) -> None:
        self.file, self.source = file, source
        self.found: list[Mutant] = []
        self.assigned: set[str] = set()  # names that the function at hand has given a value
        self.begins = [0, *(m.end() for m in re.finditer(b"\n", source))]
        self.visit(ast.parse(source))

    def at(self, line: int, column: int) -> int:
        return self.begins[line - 1] + column

    def span(self, node: ast.AST) -> tuple[int, int]:
        return self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]

    def text(self, node: ast.AST) -> str:
        start, end = self.span(node)
        return self.source[start:end].decode()

    def add(self, kind: str, start: int, end: int, text: str) -> None:
        first, last = self.source.rfind(b"\n", 0, start) + 1, self.source.find(b"\n", end)
        before = self.source[first:last].decode().strip()
        after = (self.source[first:start] + text.encode() + self.source[end:last]).decode().strip()
        line = self.source.count(b"\n", 0, first) + 1
        mutant = Mutant(self.file, digest(self.source), kind, line, before, after, start, end, text)
        try:
            compile(mutant.applied(self.source), self.file, "exec")
        except SyntaxError:
            return
        self.found.append(mutant)

    def between(self, kind: ast.AST, left: ast.AST, right: ast.AST) -> None:
        """The operator between two operands, changed."""
        if type(kind) not in OPERATORS:
            return
        old, new = OPERATORS[type(kind)]
        start, end = self.span(left)[1], self.span(right)[0]
        place = self.source.find(old.encode(), start, end)
        self.add("operator", place, place + len(old), new)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if not any(isinstance(part, ast.JoinedStr) for part in (node.left, node.right)):
            self.between(node.op, node.left, node.right)
            if isinstance(node.op, ast.Add | ast.Sub | ast.Mult):
                for part in (node.left, node.right):
                    self.add("dropped term", *self.span(node), f"({self.text(part)})")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for kind, left, right in zip(node.ops, (node.left, *node.comparators), node.comparators, strict=False):
            self.between(kind, left, right)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        for left, right in zip(node.values, node.values[1:], strict=False):
            self.between(node.op, left, right)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.add("sign", *self.span(node), f"({self.text(node.operand)})")
        if not isinstance(node.operand, ast.Constant):
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if type(node.value) is int:
            self.add("constant", *self.span(node), str(node.value + 1))
        elif type(node.value) is float:
            self.add("constant", *self.span(node), repr(1.5 * node.value or 0.5))
        elif type(node.value) is bool:
            self.add("constant", *self.span(node), str(not node.value))

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in SWAPS:
            end = self.span(node.func)[1]
            self.add("function", end - len(name), end, SWAPS[name])
        if name not in ("warn", "tqdm", "TypeVar"):
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        names = {n.id for target in node.targets for n in ast.walk(target) if isinstance(n, ast.Name)}
        if names <= self.assigned:  # without it there is an older value
            self.delete(node)
        self.assigned |= names
        self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Call):
            self.delete(node)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.delete(node)
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.delete(node)

    def delete(self, node: ast.stmt) -> None:
        self.add("deleted statement", *self.span(node), "pass")

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer = self.assigned
        self.assigned = {argument.arg for argument in ast.walk(node.args) if isinstance(argument, ast.arg)}
        for statement in node.body:
            self.visit(statement)
        self.assigned = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            if not isinstance(statement, ast.AnnAssign):  # settings and their defaults
                self.visit(statement)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """A message."""


def digest(*values: object) -> str:
    """A few letters that tell a text, or several, from any other."""
    parts = (value if isinstance(value, bytes) else str(value).encode() for value in values)
    return hashlib.sha1(b"|".join(parts)).hexdigest()[:16]
