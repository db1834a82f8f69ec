"""Which of several processes of a job this is, as torchrun and Slurm arrays say."""

from __future__ import annotations

import os
from collections.abc import Mapping

from posterior.errors import InvalidValueError

_LAUNCHERS = {  # rank, and how many there are
    "torchrun": ("RANK", "WORLD_SIZE"),
    "a Slurm array": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
}
_SPACING = ("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP", "SLURM_ARRAY_TASK_MAX")


def rank_and_size(
    rank: int | None = None, world_size: int | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[int, int]:
    """Number of this process, from 0 on, and how many there are; 0 of 1 where nothing says otherwise.

    Args:
        rank, world_size: What the user says, both or neither.
        environment: What a launcher says.

    Raises:
        InvalidValueError: One is given without the other, there is no such rank, or the numbers of a Slurm array are
            not evenly spaced, so that they do not say which of its tasks this is.
    """
    if (rank is None) != (world_size is None):
        raise InvalidValueError("--rank and --world_size go together")
    if rank is None or world_size is None:
        rank, world_size = _launched(environment)
    if not 0 <= rank < world_size:
        raise InvalidValueError(f"of {world_size} processes there is no number {rank}: they count from 0 on")
    return rank, world_size


def _launched(environment: Mapping[str, str]) -> tuple[int, int]:
    for launcher, (number, count) in _LAUNCHERS.items():
        if number in environment and count in environment:
            try:
                said = {name: int(environment[name]) for name in (number, count, *_SPACING) if name in environment}
            except ValueError as error:
                raise InvalidValueError(f"{number} and {count}, set by {launcher}, are no numbers: {error}") from error
            if launcher == "torchrun":
                return said[number], said[count]
            return _place(said[number], said[count], *map(said.get, _SPACING))
    return 0, 1


def _place(task: int, count: int, first: int | None, step: int | None, last: int | None) -> tuple[int, int]:
    """Which of the tasks first, first + step, … last of a Slurm array one is, and how many there are."""
    first, step = first or 0, step or 1
    place, rest = divmod(task - first, step)
    if rest or last not in (None, first + step * (count - 1)):
        raise InvalidValueError(
            "the tasks of this Slurm array are not evenly spaced, so that their numbers do not say which shards each "
            "has to do; say it by --rank and --world_size"
        )
    return place, count
