"""What point estimates do to the smaller group, and what sampling does instead.

Measures and their names: `posterior.fairness`. Gaps are followed by 95 % bootstrap intervals over measurements; of
several groups the largest gap is shown. Seeds are 0 and 1. Cost: an hour and a half on one core, and a run that stopped
goes on from results/fairness (the time below is then that of the last part); --quick: seconds.
"""

from __future__ import annotations

from benchmarks.common.table import markdown, run
from benchmarks.fairness import fairness_images, fairness_toy


def main(quick: bool) -> str:
    """The tables, as Markdown."""
    return "\n\n".join([
        "# Fairness",
        (__doc__ or "").split("\n\n", 1)[1].strip(),
        "## Closed forms",
        (fairness_toy.__doc__ or "").split("\n\n", 1)[1].strip(),
        markdown(fairness_toy.HEAD, fairness_toy.table(quick)),
        "MAP tells the smaller group apart while y does, and forgets it as y grows uninformative: its share of the "
        "images goes from .133 to nothing. Sampling keeps every share, for all y, without being told of groups; what "
        "it cannot keep equal is how often each group is recovered (RDP), which takes a prior reweighted by group "
        "(`ComponentGroups.equalised`).",
        "## Real images",
        (fairness_images.__doc__ or "").split("\n\n", 1)[1].strip(),
        "Figures: [digits](fairness-digits.png), [fashion](fairness-fashion.png), and [what was said to be likely "
        "against what happened](fairness-reliability.png).",
        fairness_images.tables(quick),
        "MAP gives up the groups that y does not single out, the more the less y says. Who is left is not decided by "
        "shares alone: of equally large groups one is given up as well, for MAP follows the density of the prior, "
        "image by image. The posterior mean has the least squared error and shows whoever is next to an average. DPS "
        "and AnnealedLangevin come nearer to the right shares, and are off by more than chance in "
        "most problems; their PR gaps can be small where their CPR gaps are not, as errors for one y cancel those for "
        "another. Draws of TemperedSMC, which sees the prior through its denoiser alone and knows of no groups, are on "
        "these twelve as proportional as exact draws.",
    ])  # fmt: skip


if __name__ == "__main__":
    run(main, "fairness.md", __doc__ or "")
