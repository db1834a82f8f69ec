"""Mutants run against the tests of their modules."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.mutants.finder import Mutant, digest
from tests.mutants.imports import Imports

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 60  # seconds of a processor that a mutant's tests may take: a loop without end is a fault that is found
BUDGET = 20.0  # seconds that they take without it: those that would exceed them are left out


class Bench:
    """A copy of the tree in which mutants are run.

    Args:
        folder: Where the copy is made.
        durations: Seconds that each test takes, by file with the digest of its text; what is missing is measured.
    """

    def __init__(self, folder: Path, durations: dict[str, dict[str, float]]) -> None:
        self.folder, self.durations = folder, durations
        for part in ("posterior", "samplers", "tests", "benchmarks"):
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        self.imports = Imports(folder)

    def pytest(self, *arguments: str, limit: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[str]:
        environment = os.environ | {"PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(
            command, cwd=self.folder, env=environment, text=True, capture_output=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit)),
        )  # fmt: skip

    def seconds(self, test: str) -> dict[str, float]:
        """What each test of a file takes, measured once for each version of the file."""
        key = f"{test} {digest((self.folder / test).read_bytes())}"
        if key not in self.durations:
            done = self.pytest("-vv", "--durations=0", test)
            if done.returncode not in (0, 5):
                raise SystemExit(f"{test} fails as it is:\n{done.stdout[-3000:]}")
            found: dict[str, float] = {}
            for took, name in re.findall(r"^([\d.]+)s (?:setup|call|teardown) +(.+)$", done.stdout, re.M):
                found[name] = found.get(name, 0.0) + float(took)
            self.durations[key] = found
        return self.durations[key]

    def chosen(self, file: str) -> list[str]:
        """The tests of a module that fit into the budget."""
        left, chosen = BUDGET, []
        for test in self.imports.of(file):
            if left < 0.05 * BUDGET:
                break
            for name, took in sorted(self.seconds(test).items(), key=lambda pair: pair[1]):
                if took <= left:
                    chosen.append(name)
                    left -= took
        return chosen

    def run(self, mutant: Mutant) -> tuple[str, str]:
        """Whether a mutant was killed, timed out or survived, and the test that killed it."""
        tests, path = self.chosen(mutant.file), self.folder / mutant.file
        if not tests:
            return "survived", "no test imports it"
        source = path.read_bytes()
        (self.folder / "chosen.txt").write_text("\n".join(tests))
        path.write_bytes(mutant.applied(source))
        try:
            done = self.pytest("-x", "-q", "--tb=no", "@chosen.txt", limit=LIMIT)
        finally:
            path.write_bytes(source)
        if done.returncode == -signal.SIGKILL or done.returncode == -signal.SIGXCPU:
            return "timeout", ""
        failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", done.stdout, re.M)
        return ("survived" if done.returncode == 0 else "killed"), failed[1] if failed else ""
