"""Cases of the shared suites, which stand in the test files of what they are cases of."""

from importlib import import_module
from pathlib import Path
from typing import Any


def shared_cases(folder: Path) -> dict[str, Any]:
    """The `SHARED_CASES` of all test files in a folder, but for those of the shared suites, called test_all.py."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("test_*.py")):
        if path.stem != "test_all":
            name = ".".join(path.relative_to(Path(__file__).parents[1]).with_suffix("").parts)
            found |= getattr(import_module(name), "SHARED_CASES", {})
    return found
