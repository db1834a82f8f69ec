"""Fairness: the shares and recalls of groups under point estimates and under sampling.

Measures and their names are those of `posterior.fairness`. Gaps are followed by 95 % bootstrap intervals over
measurements; of several groups the largest gap is shown. Seeds are 0 and 1. Cost: an hour and a half on one core, and a
run that stopped goes on from results/fairness (the time below is then that of the last part); --quick: seconds.
"""

from __future__ import annotations

from benchmarks.common.pages import page, run
from benchmarks.fairness import images, toy
from posterior.tables import markdown_table

FINDING = (
    "`TemperedSMC`, which knows of no groups, keeps every group's share, as exact samples do: its gaps on real images "
    "are within ±0.05 in 12 of 12 problems. MAP gives up the groups that the measurement leaves open, with PR gaps of "
    "up to +0.518, and `DPS` misjudges them measurement by measurement, with CPR gaps of up to +0.317."
)
DOC = "\n\n".join([__doc__.strip(), "### Closed forms", toy.__doc__.strip(), "### Real images", images.__doc__.strip()])


def main(quick: bool) -> str:
    """The tables, as Markdown."""
    return page("Fairness", FINDING, [
        "## Closed forms",
        markdown_table(toy.HEAD, toy.table(quick), "ll"),
        "MAP tells the smaller group apart while y does, and forgets it as y grows uninformative: its share of the "
        "images goes from .133 to nothing. Sampling keeps every share, for all y, without being told of groups; what "
        "it cannot keep equal is how often each group is recovered (RDP), which takes a prior reweighted by group "
        "(`ComponentGroups.equalised`).",
        "## Real images",
        "Figures: [digits](fairness-digits.png), [fashion](fairness-fashion.png), and [stated probabilities against "
        "observed frequencies](fairness-reliability.png).",
        images.tables(quick),
        "MAP gives up the groups that y does not single out, the more the less y says. Who is left is not decided by "
        "shares alone: of equally large groups one is given up as well, for MAP follows the density of the prior, "
        "image by image. The posterior mean has the least squared error and shows whoever is next to an average. DPS "
        "and AnnealedLangevin come nearer to the right shares, and are off by more than chance in "
        "most problems; their PR gaps can be small where their CPR gaps are not, as errors for one y cancel those for "
        "another. Samples of TemperedSMC, which sees the prior through its denoiser alone and knows of no groups, are "
        "on these twelve as proportional as exact samples.",
    ], DOC)  # fmt: skip


if __name__ == "__main__":
    run(main, "fairness.md", __doc__)
