"""Every benchmark runs in its smoke mode, and finds the numbers that are committed in tests/quick/.

`python -m tests.test_benchmarks [names]` writes them anew, after a change that is meant to change them; that of
peers.comparison needs the extra `peers`. Times are left out.
"""

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from posterior.tables import markdown_table
from tests.tables import cells

ROOT = Path(__file__).resolve().parents[1]
NEEDING = {"exactness.cifar", "exactness.galaxies", "peers.comparison"}  # at full size: a package's files, or an extra
QUICK = ROOT / "tests/quick"
NAMES = sorted(
    f"{path.parent.name}.{path.stem}"
    for path in (ROOT / "benchmarks").glob("*/*.py")
    if "\ndef main(" in path.read_text(encoding="utf-8")
)
# Columns with times, or with what is judged by them.
TIMED = {
    "exactness.galaxies": {"ms a network call", "minutes planned"},
    "exactness.overhead": {"network alone", "ratio", "target ≤ 1.05"},
    "jobs.kills": {"shards finished at the start", "shards finished when killed"},
    "jobs.scaling": {
        "shards a minute", "speed-up", "of two bare processes", "hours on 8 GPUs", "hours on 64 GPUs",
    },
    "mri.calibration": {"seconds a sample"},
    "peers.comparison": {
        "deepinv", "ours", "", "deepinv, a step", "beyond", "ours, a step", "ratio", "target 0.5", "peak",
        "above a process that denoises one image",
    },
}  # fmt: skip
MADE_ON = "AuthenticAMD"  # processors on which tests/quick was made
OPTIONAL = {"BM3D", "CSGM without prior, one batch", "deepinv CSGMGenerator"}  # rows of packages that may be missing
# Relative and absolute tolerance of numbers that depend on how a machine rounds: on signs of eigenvectors, on ties
# between two groups, and on chains of a network's decisions. All others are equal to the last digit.
TOLERANCES = {
    "exactness.galaxies": (0.05, 0.02),
    "exactness.gaussian_mixture": (0.05, 0.01),
    "exactness.linear_gaussian": (1.0, 0.25),
    "exactness.photograph_coverage": (0.05, 0.02),  # chains of a network's calls
    "exactness.scale": (0.05, 0.005),  # of a spiky prior: 0.002 between instruction sets
    "fairness.conformal": (0.3, 0.01),
    "fairness.faces": (0.02, 0.002),
    "fairness.gaps": (0.02, 0.002),
    "flows.digits": (1.0, 1.0),
    "mri.calibration": (0.05, 0.02),
    "mri.shift": (0.05, 0.02),
    "talk.layerwise": (0.1, 0.01),  # vertices of programs
    "talk.phase_retrieval": (0.1, 0.05),
    "talk.robust": (0.05, 0.005),  # medians
    "talk.theory": (0.05, 0.005),
}


def quick(name: str) -> str:
    return importlib.import_module(f"benchmarks.{name}").main(True)


def kept(name: str, text: str) -> str:
    """The tables and lists of a page."""
    timed, blocks = {"seconds"} | TIMED.get(name, set()), []
    for block in text.split("\n\n"):
        if block.startswith("- "):
            blocks.append(block)
        elif block.startswith("|"):
            header, *rows = cells(block)
            columns = [i for i, title in enumerate(header) if title not in timed]
            parts = [[row[i] for i in columns] for row in rows if not OPTIONAL.intersection(row)]
            blocks.append(markdown_table([header[i] for i in columns], parts))
    return "\n\n".join(blocks) + "\n"


def cpu_vendor() -> str:
    """Who made the processor, as Linux says; empty elsewhere."""
    path = Path("/proc/cpuinfo")
    found = re.search(r"vendor_id\s*:\s*(\w+)", path.read_text(encoding="utf-8")) if path.exists() else None
    return found[1] if found else ""


def first_columns(text: str) -> list[str]:
    """Which tables there are, and the names of their rows."""
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]


def decimals(line: str) -> list[float]:
    """The magnitudes of a line's numbers with a decimal point, the least first."""
    return sorted(float(number) for number in re.findall(r"\d+\.\d+", line))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """More threads round otherwise."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.integration
@pytest.mark.parametrize("name", NAMES)
def test_quick_run(name: str) -> None:
    if name == "peers.comparison":
        pytest.importorskip("deepinv", reason="the extra `peers` is not installed")
    text = quick(name)
    assert text.startswith("# ")
    assert "nan" not in text
    assert "Cost:" in text
    found, known = kept(name, text), (QUICK / f"{name}.md").read_text(encoding="utf-8")
    if cpu_vendor() != MADE_ON:  # chains of a network's decisions go other ways where it rounds otherwise
        assert first_columns(found) == first_columns(known)
        return
    if name not in TOLERANCES:
        assert found == known
        return
    relative, absolute = TOLERANCES[name]
    for line, expected in zip(found.splitlines(), known.splitlines(), strict=True):
        assert decimals(line) == pytest.approx(decimals(expected), rel=relative, abs=absolute), f"{line}\n{expected}"


def test_make_bench_runs_all_that_needs_nothing_more() -> None:
    listed = re.search(r"BENCHES :=((?:.*\\\n)*.*)", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert listed
    assert sorted(listed[1].replace("\\", "").split()) == [name for name in NAMES if name not in NEEDING]


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name in sys.argv[1:] or NAMES:
        (QUICK / f"{name}.md").write_text(kept(name, quick(name)), encoding="utf-8")
