"""What the ranks of a reader study say: mean ranks, differences between methods, agreement, consistency.

The unit is one reading: one reader's ranks of one image, as seen for the first time. Second readings of an image enter
the consistency of readers and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from posterior.app.study.answers import Reading
from posterior.diagnostics.uniformity import holm
from posterior.errors import InvalidValueError

_Ranks = NDArray[np.float64]  # (readings, methods)


@dataclass(frozen=True)
class Pair:
    """Two methods compared.

    Attributes:
        first, second: Their names.
        difference: Mean rank of the first less that of the second: negative where the first is better.
        p_value: Wilcoxon's signed-rank test on readings, two-sided.
        adjusted: The same, adjusted after Holm for the pairs of this group.
        adjusted_images: The same test on images, of ranks averaged over readers, adjusted likewise.
    """

    first: str
    second: str
    difference: float
    p_value: float
    adjusted: float
    adjusted_images: float


@dataclass(frozen=True)
class Group:
    """The ranks in one group of images.

    Attributes:
        name: The folder of its images, or "all".
        num_readings, num_images: Readings, and the images that they are of.
        mean_rank, std_rank: Mean and standard deviation of each method's rank; 1 is best.
        shares: How often each method had rank 1, 2, …, as shares of readings.
        pairs: Every pair of methods.
        concordance: Kendall's W of all readings, 0 where ranks are as by chance, 1 where all are the same.
        reader_concordance: Kendall's W of the readers of one image, averaged over images that several have read; by
            chance 1 / readers.
    """

    name: str
    num_readings: int
    num_images: int
    mean_rank: dict[str, float]
    std_rank: dict[str, float | None]
    shares: dict[str, list[float]]
    pairs: list[Pair]
    concordance: float
    reader_concordance: float | None


@dataclass(frozen=True)
class Reader:
    """How one reader went through the study.

    Attributes:
        name: The reader.
        num_answers: Trials answered, of `num_trials`.
        num_trials: Trials in all.
        median_seconds: Median time of an answer.
        num_repeats: Images ranked twice.
        same_order: Of the pairs of methods in these, the share that was ordered alike both times; by chance ½.
        same_best: The share of these images with the same best method both times.
    """

    name: str
    num_answers: int
    num_trials: int
    median_seconds: float | None
    num_repeats: int
    same_order: float | None
    same_best: float | None


@dataclass(frozen=True)
class Analysis:
    """Groups of images, "all" last if there are several, and readers."""

    methods: tuple[str, ...]
    groups: list[Group]
    readers: list[Reader]

    @property
    def complete(self) -> bool:
        """Whether every reader has answered every trial."""
        return all(reader.num_answers == reader.num_trials for reader in self.readers)


def analyse(readings: Sequence[Reading], methods: Sequence[str], num_trials: dict[str, int]) -> Analysis:
    """Analyse the answers of a study.

    Args:
        readings: The answers.
        methods: The methods, in the order of the tables.
        num_trials: Trials of each reader.

    Raises:
        InvalidValueError: There are no answers.

    References:
        Jalal, Arvinte, Daras, Price, Dimakis & Tamir 2021, Robust Compressed Sensing MRI with Deep Generative Priors,
        arXiv:2108.01368. Wilcoxon 1945, Individual Comparisons by Ranking Methods. Kendall & Babington Smith 1939, The
        Problem of m Rankings.
    """
    first = [reading for reading in readings if not reading.repeat]
    if not first:
        raise InvalidValueError("there are no answers yet")
    by_group: dict[str, list[Reading]] = {}
    for reading in first:
        by_group.setdefault(group_of(reading.image), []).append(reading)
    groups = [_group(name, by_group[name], methods) for name in sorted(by_group)]
    if len(groups) > 1:
        groups.append(_group("all", first, methods))
    readers = [_reader(name, [one for one in readings if one.reader == name], num) for name, num in num_trials.items()]
    return Analysis(tuple(methods), groups, readers)


def group_of(image: str) -> str:
    """The group of an image: the folder that its file name begins with, or "all"."""
    folder, slash, _ = image.partition("/")
    return folder if slash else "all"


def _group(name: str, readings: Sequence[Reading], methods: Sequence[str]) -> Group:
    ranks = np.array([[reading.ranking.index(method) + 1 for method in methods] for reading in readings], float)
    images = np.array([reading.image for reading in readings])
    each = [ranks[images == image] for image in np.unique(images)]
    return Group(
        name,
        len(ranks),
        len(each),
        dict(zip(methods, ranks.mean(0).tolist(), strict=True)),
        dict(zip(methods, ranks.std(0, ddof=1).tolist() if len(ranks) > 1 else [None] * len(methods), strict=True)),
        {m: [float((ranks[:, i] == r + 1).mean()) for r in range(len(methods))] for i, m in enumerate(methods)},
        _pairs(ranks, np.array([some.mean(0) for some in each]), methods),
        _concordance(ranks),
        float(np.mean(several)) if (several := [_concordance(some) for some in each if len(some) > 1]) else None,
    )


def _pairs(ranks: _Ranks, image_ranks: _Ranks, methods: Sequence[str]) -> list[Pair]:
    """Every pair of methods, by ranks of readings and by those of images."""
    chosen = list(combinations(range(len(methods)), 2))
    p_values, p_images = ([_wilcoxon(some[:, i] - some[:, j]) for i, j in chosen] for some in (ranks, image_ranks))
    adjusted, adjusted_images = (holm(torch.tensor(p, dtype=torch.float64)).tolist() for p in (p_values, p_images))
    mean = ranks.mean(0)
    return [
        Pair(methods[i], methods[j], float(mean[i] - mean[j]), p_values[k], adjusted[k], adjusted_images[k])
        for k, (i, j) in enumerate(chosen)
    ]


def _wilcoxon(differences: NDArray[np.float64]) -> float:
    """The two-sided p-value; where no difference is left, nothing speaks against equality."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue) if differences.any() else 1.0


def _concordance(ranks: _Ranks) -> float:
    """Kendall's W = 12 Σ_i (R_i − R̄)² / (m² (n³ − n)), R_i the sum of m ranks of method i of n."""
    m, n = ranks.shape
    return float(12 * ((ranks.sum(0) - m * (n + 1) / 2) ** 2).sum() / (m**2 * (n**3 - n)))


def _reader(name: str, readings: Sequence[Reading], num_trials: int) -> Reader:
    first = {reading.image: reading.ranking for reading in readings if not reading.repeat}
    twice = [(first[reading.image], reading.ranking) for reading in readings if reading.repeat]
    alike = [
        (one.index(a) < one.index(b)) == (two.index(a) < two.index(b))
        for one, two in twice
        for a, b in combinations(one, 2)
    ]
    return Reader(
        name,
        len(readings),
        num_trials,
        median(reading.seconds for reading in readings) if readings else None,
        len(twice),
        float(np.mean(alike)) if alike else None,
        float(np.mean([one[0] == two[0] for one, two in twice])) if twice else None,
    )
