"""Flow priors: exactness on posteriors that are known, calibration and cost on digits.

Cost: an hour on two cores, and a calibration that stopped goes on from results/flows; --quick: seconds.
"""

from __future__ import annotations

from benchmarks import flows_digits, flows_known
from benchmarks.table import run


def main(quick: bool) -> str:
    """The tables, as Markdown."""
    return "\n\n".join([
        "# Flow priors",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        "## Known posteriors",
        (flows_known.__doc__ or "").split("\n\n", 1)[1].strip(),
        flows_known.section(quick),
        "## Digits",
        (flows_digits.__doc__ or "").split("\n\n", 1)[1].strip(),
        flows_digits.section(quick),
    ])  # fmt: skip


if __name__ == "__main__":
    run(main, "flows.md", __doc__ or "")
