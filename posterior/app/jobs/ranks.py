"""Which of several processes of a job this is, as torchrun and Slurm arrays say."""

from __future__ import annotations

import os
from collections.abc import Mapping

from posterior.errors import InvalidValueError

_LAUNCHERS = {  # rank, its first value, and how many there are
    "torchrun": ("RANK", None, "WORLD_SIZE"),
    "a Slurm array": ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT"),
}


def rank_and_size(
    rank: int | None = None, world_size: int | None = None, environment: Mapping[str, str] = os.environ
) -> tuple[int, int]:
    """Number of this process, from 0 on, and how many there are; 0 of 1 where nothing says otherwise.

    Args:
        rank, world_size: What the user says, both or neither.
        environment: What a launcher says.

    Raises:
        InvalidValueError: One is given without the other, or there is no such rank.
    """
    if (rank is None) != (world_size is None):
        raise InvalidValueError("--rank and --world_size go together")
    if rank is None or world_size is None:
        rank, world_size = _launched(environment)
    if not 0 <= rank < world_size:
        raise InvalidValueError(f"of {world_size} processes there is no number {rank}: they count from 0 on")
    return rank, world_size


def _launched(environment: Mapping[str, str]) -> tuple[int, int]:
    for launcher, (number, first, count) in _LAUNCHERS.items():
        if number in environment and count in environment:
            try:
                start = int(environment.get(first, "0")) if first else 0
                return int(environment[number]) - start, int(environment[count])
            except ValueError as error:
                raise InvalidValueError(f"{number} and {count}, set by {launcher}, are no numbers: {error}") from error
    return 0, 1
