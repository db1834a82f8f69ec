"""Ranks, tests and agreement, by hand and by other formulas; simulated readers give back what they were made of."""

import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, wilcoxon
from torch import Tensor

from posterior.app.study.analysis import analyse
from posterior.app.study.answers import Reading
from posterior.app.study.tables import answers_csv, tables
from posterior.errors import InvalidValueError
from posterior.noise import Noise
from tests.app.study.workplace import LEVELS, Study


def reading(reader: str, image: str, ranking: str, repeat: bool = False, seconds: float = 1.0) -> Reading:
    return Reading(reader, 1, image, repeat, tuple(sorted(ranking)), tuple(ranking), seconds)


def test_mean_ranks_by_hand() -> None:
    readings = [reading("r", f"{i}.png", ranking) for i, ranking in enumerate(["abc", "acb", "bac"])]
    (group,) = analyse(readings, "abc", {"r": 3}).groups
    assert group.mean_rank == pytest.approx({"a": 4 / 3, "b": 2, "c": 8 / 3})
    assert group.std_rank == pytest.approx({"a": math.sqrt(1 / 3), "b": 1.0, "c": math.sqrt(1 / 3)})
    assert group.shares["b"] == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert (group.name, group.num_readings, group.num_images) == ("all", 3, 3)


def test_p_values_by_hand() -> None:
    """Of five readings that all agree on a pair, the two-sided p-value is 2 · 2⁻⁵; Holm's is 3 times the least."""
    readings = [reading("r", f"{i}.png", ranking) for i, ranking in enumerate(["abc", "abc", "abc", "acb", "acb"])]
    (group,) = analyse(readings, "abc", {"r": 5}).groups
    pairs = {pair.first + pair.second: pair for pair in group.pairs}
    assert [pairs[name].p_value for name in ("ab", "ac", "bc")] == pytest.approx([1 / 16, 1 / 16, 1])
    assert [pairs[name].adjusted for name in ("ab", "ac", "bc")] == pytest.approx([3 / 16, 3 / 16, 1])
    assert pairs["ab"].difference == pytest.approx(1 - 12 / 5)


def test_images_are_fewer_than_readings() -> None:
    """Three readers who agree on five images: fifteen readings, p = 2 · 2⁻¹⁵, and five images, p = 2 · 2⁻⁵."""
    readings = [reading(reader, f"{i}.png", "ab") for i in range(5) for reader in "rst"]
    (group,) = analyse(readings, "ab", dict.fromkeys("rst", 5)).groups
    (pair,) = group.pairs
    assert pair.adjusted_images == pytest.approx(2 / 2**5)
    assert pair.p_value < 2e-4  # by the normal approximation that scipy takes of tied values
    assert group.concordance == group.reader_concordance == 1


def test_readers_of_an_image_are_averaged() -> None:
    """Two of three readers prefer a: on each of five images its mean rank is lower; where one does, it is higher."""
    for order, difference in (("ab", -1 / 3), ("ba", 1 / 3)):
        rankings = {"r": order, "s": order[::-1], "t": order}
        readings = [reading(reader, f"{i}.png", ranking) for i in range(5) for reader, ranking in rankings.items()]
        readings += [reading(reader, "5.png", "ba") for reader in "rst"]
        (pair,) = analyse(readings, "ab", dict.fromkeys("rst", 6)).groups[0].pairs
        images = [difference] * 5 + [1.0]
        assert pair.adjusted_images == pytest.approx(wilcoxon(images).pvalue)
        assert pair.difference == pytest.approx(np.mean(images))


def test_without_a_difference_nothing_is_rejected() -> None:
    readings = [reading("r", "1.png", "ab"), reading("s", "1.png", "ba")]
    (pair,) = analyse(readings, "ab", {"r": 1, "s": 1}).groups[0].pairs
    assert (pair.p_value, pair.adjusted, pair.adjusted_images, pair.difference) == (1, 1, 1, 0)


def test_concordance_is_that_of_friedman_s_test() -> None:
    """W = χ² / (m (n − 1)); of readers of one image, their mean over images."""
    uniform = Noise.of(0).use("ranks").uniform((24, 4))[0, 0].numpy()
    rankings = ["".join("abcd"[i] for i in row) for row in uniform.argsort(1)]
    readings = [reading(f"r{i % 6}", f"{i // 6}.png", ranking) for i, ranking in enumerate(rankings)]
    (group,) = analyse(readings, "abcd", {f"r{i}": 4 for i in range(6)}).groups
    ranks = np.array([[ranking.index(method) + 1 for method in "abcd"] for ranking in rankings])

    def concordance(some: np.ndarray) -> float:
        return float(friedmanchisquare(*some.T).statistic / (len(some) * 3))

    assert group.concordance == pytest.approx(concordance(ranks))
    assert group.reader_concordance == pytest.approx(np.mean([concordance(ranks[i : i + 6]) for i in range(0, 24, 6)]))


def test_groups_are_folders_and_all_comes_last() -> None:
    readings = [reading("r", "knee/1.png", "ab"), reading("r", "brain/1.png", "ba"), reading("r", "brain/2.png", "ba")]
    groups = analyse(readings, "ab", {"r": 3}).groups
    assert [(group.name, group.num_readings, group.mean_rank["a"]) for group in groups] == [
        ("brain", 2, 2), ("knee", 1, 1), ("all", 3, pytest.approx(5 / 3)),
    ]  # fmt: skip


def test_repeats_enter_the_consistency_alone() -> None:
    first = [reading("r", "1.png", "abc", seconds=2), reading("r", "2.png", "abc", seconds=3)]
    again = [reading("r", "1.png", "abc", True, 7), reading("r", "2.png", "cab", True, 8)]
    result = analyse([*first, *again], "abc", {"r": 6, "s": 6})
    assert result.groups == analyse(first, "abc", {"r": 6, "s": 6}).groups
    one, other = result.readers
    assert (one.num_answers, one.num_trials, one.num_repeats, one.median_seconds) == (4, 6, 2, 5)
    assert one.same_order == pytest.approx(4 / 6)  # of 2.png, a before b is all that came back
    assert one.same_best == pytest.approx(1 / 2)
    assert (other.num_answers, other.same_order, other.median_seconds) == (0, None, None)
    assert not result.complete
    text = tables(result)
    assert "| r        |    4 of 6 |                5.0 |         2 |                   67% |         50% |" in text
    assert "| all      |          2 | 1.00 (0.00) | 2.00 (0.00) | 3.00 (0.00) | 1.00 |              – |" in text
    assert "| all      | a − b        |        −1.00 |" in text


def test_no_answers_are_told() -> None:
    with pytest.raises(InvalidValueError, match="no answers yet"):
        analyse([], "ab", {"r": 1})


def test_simulated_readers_give_back_their_ranking(tmp_path: Path) -> None:
    """Twenty readers who draw from a Plackett–Luce law, through the web: P(i before j) = w_i / (w_i + w_j).

    The mean rank of i is then 1 + Σ_j w_j / (w_i + w_j); bounds are 4 standard errors of it, from the sample.
    """
    weights = {"Yakmethod": 9.0, "Xylomethod": 3.0, "Zubmethod": 1.0}
    names = [f"reader {i}" for i in range(20)]
    study = Study(tmp_path, 4, readers=names, repeats=1)
    for name in names:
        gumbel = iter(-(-Noise.of(1, [name]).use("gumbel").uniform((5, 3)).log()).log()[0, 0])

        def order(methods: list[str], gumbel: Iterator[Tensor] = gumbel) -> list[str]:
            utility = dict(zip(sorted(methods), next(gumbel).tolist(), strict=True))
            return sorted(methods, key=lambda m: -(utility[m] + math.log(weights[m])))

        study.reader(name).read_all(order)
    readings = study.answers.readings()
    *_, group = analyse(readings, sorted(LEVELS), dict.fromkeys(names, 5)).groups
    assert group.num_readings == 80
    for one, w in weights.items():
        expected = 1 + sum(v / (v + w) for other, v in weights.items() if other != one)
        std = group.std_rank[one]
        assert std is not None
        assert abs(group.mean_rank[one] - expected) < 4 * std / math.sqrt(80)
    assert sorted(weights, key=lambda m: group.mean_rank[m]) == list(weights)
    assert all(pair.adjusted < 1e-3 for pair in group.pairs)
    rows = list(csv.DictReader(io.StringIO(answers_csv(readings))))
    assert len(rows) == 20 * 5 * 3
    assert np.mean([int(row["rank"]) for row in rows if row["repeat"] == "0" and row["method"] == "Yakmethod"]) == (
        pytest.approx(group.mean_rank["Yakmethod"])
    )
