"""The analysis of a reader study in words and tables, and its answers as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from posterior.app.study.analysis import Analysis, group_of
from posterior.app.study.answers import Reading
from posterior.tables import markdown_table

_RANKS = """Mean rank (standard deviation); 1 is best. A reading is one reader's ranks of one image. W is Kendall's, of
all readings and of the readers of one image: 1 where all rank alike, by chance 1 / their number."""
_PAIRS = """Wilcoxon's signed-rank test, two-sided, of readings, as if those of one image were independent; and of
images, their ranks averaged over readers, which speaks of other images read by the same readers. Holm's adjustment is
for the pairs of a group."""
_READERS = "Of images ranked twice, how much of the order came back (of pairs 50 % by chance)."


def tables(analysis: Analysis) -> str:
    """The analysis in Markdown."""
    return "\n\n".join([_ranks(analysis), _pairs(analysis), _readers(analysis)])


def answers_csv(readings: Sequence[Reading]) -> str:
    """A row for each rank of each answer."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["reader", "number", "image", "group", "repeat", "method", "place", "rank", "seconds"])
    for one in readings:
        trial = [one.reader, one.number, one.image, group_of(one.image), int(one.repeat)]
        for place, method in enumerate(one.shown, 1):
            writer.writerow([*trial, method, place, one.ranking.index(method) + 1, one.seconds])
    return text.getvalue()


def _ranks(analysis: Analysis) -> str:
    rows = [
        [
            group.name,
            f"{group.num_readings}",
            *(f"{group.mean_rank[m]:.2f} ({_or_dash(group.std_rank[m], '{:.2f}')})" for m in analysis.methods),
            f"{group.concordance:.2f}",
            _or_dash(group.reader_concordance, "{:.2f}"),
        ]
        for group in analysis.groups
    ]
    return f"{_RANKS}\n\n" + markdown_table(["images", "readings", *analysis.methods, "W", "W of readers"], rows)


def _pairs(analysis: Analysis) -> str:
    rows = [
        [group.name, f"{p.first} − {p.second}", f"{p.difference:+.2f}".replace("-", "−")]
        + [f"{value:.3g}" for value in (p.p_value, p.adjusted, p.adjusted_images)]
        for group in analysis.groups
        for p in group.pairs
    ]
    head = ["images", "mean ranks", "difference", "p", "p (Holm)", "p of images (Holm)"]
    return f"{_PAIRS}\n\n" + markdown_table(head, rows, "ll")


def _readers(analysis: Analysis) -> str:
    rows = [
        [
            one.name,
            f"{one.num_answers} of {one.num_trials}",
            _or_dash(one.median_seconds, "{:.1f}"),
            f"{one.num_repeats}",
            _or_dash(one.same_order, "{:.0%}"),
            _or_dash(one.same_best, "{:.0%}"),
        ]
        for one in analysis.readers
    ]
    head = ["reader", "answers", "seconds (median)", "repeats", "pairs ordered alike", "same best"]
    return f"{_READERS}\n\n" + markdown_table(head, rows)


def _or_dash(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
