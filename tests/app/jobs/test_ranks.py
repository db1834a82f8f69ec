"""Which process of a job this is, as launchers say."""

import pytest

from posterior.app.jobs.ranks import rank_and_size
from posterior.errors import InvalidValueError


def array(task: int, first: int, last: int, step: int, count: int) -> dict[str, str]:
    """What Slurm says to a task of an array."""
    numbers = {"ID": task, "MIN": first, "MAX": last, "STEP": step, "COUNT": count}
    return {f"SLURM_ARRAY_TASK_{name}": str(number) for name, number in numbers.items()}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, (3, 4)),
        ({"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"}, (2, 4)),
        ({"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "2"}, (0, 2)),
        (array(4, 0, 9, 1, 10), (4, 10)),
        (array(4, 0, 8, 2, 5), (2, 5)),  # of --array=0-9:2
        (array(3, 3, 3, 1, 1), (0, 1)),  # a task alone, which was forgotten: it does all that is left
        ({"RANK": "1"}, (0, 1)),
    ],
)
def test_ranks_as_launchers_say(environment: dict[str, str], expected: tuple[int, int]) -> None:
    assert rank_and_size(environment=environment) == expected
    assert rank_and_size(0, 2, environment) == (0, 2)


@pytest.mark.parametrize(
    ("rank", "size", "environment", "message"),
    [
        (1, None, {}, "go together"),
        (2, 2, {}, "no number 2"),
        (-1, 2, {}, "no number -1"),
        (None, None, {"RANK": "a", "WORLD_SIZE": "2"}, "set by torchrun, are no numbers"),
        (None, None, {"RANK": "2", "WORLD_SIZE": "2"}, "no number 2"),
        (None, None, array(3, 3, 9, 1, 3), "not evenly spaced"),  # of --array=3,4,9
        (None, None, array(4, 3, 9, 3, 3), "not evenly spaced"),
    ],
)
def test_wrong_ranks(rank: int | None, size: int | None, environment: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidValueError, match=message):
        rank_and_size(rank, size, environment)
