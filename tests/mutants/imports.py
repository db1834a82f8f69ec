"""Which tests import a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


class Imports:
    """Which modules of the library each test imports, directly or through the helpers among the tests."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tests = {
            str(path.relative_to(root)): self.reached(path) for path in sorted(root.glob("tests/**/test_*.py"))
        }

    def reached(self, path: Path) -> set[str]:
        found, queue, seen = set[str](), [path], set[Path]()
        while queue:
            path = queue.pop()
            seen.add(path)
            if path.name == "cases.py":  # which imports all test files beside it
                queue += set(path.parent.rglob("test_*.py")) - seen
            for file in self.imported(path):
                if file.parts[0] != "tests":
                    found.add(str(file))
                elif self.root / file not in seen:
                    queue.append(self.root / file)
        return found

    def imported(self, path: Path) -> Iterator[Path]:
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                for alias in node.names:
                    yield from self.resolved(node.module, alias.name)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self.resolved(alias.name, "*")

    def resolved(self, module: str, name: str) -> Iterator[Path]:
        """The files that define a name of a module; of a whole package, all that it gives."""
        stem = Path(*module.split("."))
        if (self.root / stem / name).with_suffix(".py").exists():
            yield stem / f"{name}.py"
        elif (self.root / stem / name / "__init__.py").exists():
            yield from self.resolved(f"{module}.{name}", "*")
        elif (self.root / stem.with_suffix(".py")).exists():
            yield stem.with_suffix(".py")
        elif (package := self.root / stem / "__init__.py").exists():
            yield stem / "__init__.py"
            for node in ast.walk(ast.parse(package.read_bytes())):
                if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                    for alias in node.names:
                        if name in ("*", alias.asname or alias.name) and node.module != module:
                            yield from self.resolved(node.module, alias.name)

    def of(self, file: str) -> list[str]:
        """Tests of a module, the most particular first; of one that none imports, those of what imports it."""
        wanted, seen = {file}, set[str]()
        mirrored = f"tests/{Path(file).parent}/test_{Path(file).name}".replace("tests/posterior/", "tests/")
        while not (tests := [name for name, modules in self.tests.items() if modules & wanted]):
            seen |= wanted
            library = (path for part in ("samplers", "posterior") for path in self.root.glob(f"{part}/**/*.py"))
            wanted = {
                str(path.relative_to(self.root)) for path in library
                if seen & {str(imported) for imported in self.imported(path)}
            } - seen  # fmt: skip
            if not wanted:
                return []
        return sorted(tests, key=lambda name: (name != mirrored, len(self.tests[name]), name))
