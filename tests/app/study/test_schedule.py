"""The order of trials: every image once, then the repeats, and methods at every place."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from posterior.app.study.plan import read_plan
from posterior.app.study.schedule import schedule
from tests.app.study.workplace import LEVELS, write_study


@pytest.mark.parametrize("repeats", [0, 1, 7, 12])
def test_every_image_comes_once_and_repeats_come_late(tmp_path: Path, repeats: int) -> None:
    plan = read_plan(write_study(tmp_path, 12, repeats=repeats))
    for reader in map(str, range(20)):
        trials = schedule(plan, reader)
        first, again = trials[:12], trials[12:]
        assert sorted(trial.image for trial in first) == list(plan.images)
        assert not any(trial.repeat for trial in first) and all(trial.repeat for trial in again)
        assert len({trial.image for trial in again}) == len(again) == repeats
        seen = {trial.image: number for number, trial in enumerate(first)}
        assert all(number - seen[trial.image] > 6 for number, trial in enumerate(again, 12))


def test_the_order_is_that_of_the_seed_and_the_reader(tmp_path: Path) -> None:
    plan = read_plan(write_study(tmp_path, 12))
    orders = [schedule(plan, "ada"), schedule(plan, "grace"), schedule(replace(plan, seed=1), "ada")]
    assert schedule(plan, "ada") == orders[0]
    assert len({tuple(trial.image for trial in order) for order in orders}) == 3
    assert len({tuple(trial.methods for trial in order) for order in orders}) == 3


def test_methods_are_at_every_place_equally_often(tmp_path: Path) -> None:
    plan = read_plan(write_study(tmp_path, 30, repeats=0))
    orders = [trial.methods for reader in map(str, range(20)) for trial in schedule(plan, reader)]
    assert all(sorted(order) == sorted(LEVELS) for order in orders)
    # of 600 draws, each of 6 orders has 100 expected, with a standard deviation of √(600 · 1/6 · 5/6) = 9.1
    counts = Counter(orders)
    assert len(counts) == 6 and all(abs(count - 100) < 4 * 9.1 for count in counts.values())
