"""Mutants run against the tests of their modules."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path

from tests.mutants.finder import Mutant
from tests.mutants.imports import Imports

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120  # seconds of a processor after which a run is ended from outside, should `limits` not get to it


class Bench:
    """A copy of the tree in which mutants are run.

    Args:
        folder: Where the copy is made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for part in ("posterior", "samplers", "tests", "benchmarks"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        self.imports = Imports(folder)

    def run(self, mutant: Mutant) -> tuple[str, str]:
        """Whether a mutant was killed, timed out or survived, and the test that killed it."""
        tests, path = self.imports.of(mutant.file), self.folder / mutant.file
        if not tests:
            return "survived", "no test imports it"
        source = path.read_bytes()
        path.write_bytes(mutant.applied(source))
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        options = ["-x", "-q", "--tb=no", "-p", "no:cacheprovider", "-p", "tests.mutants.limits"]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pytest", *options, *tests],
                cwd=self.folder, env=environment, text=True, capture_output=True,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT)),
            )  # fmt: skip
        finally:
            path.write_bytes(source)
        failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.M)
        by = failed[1] if failed else ""
        if done.returncode < 0 or "EndlessError" in done.stdout:
            return "timeout", by
        return "killed" if done.returncode else "survived", by
