"""The state of a run, and the protocol of an algorithm that takes its steps."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.problem import Posterior

Info = dict[str, Tensor]
Callback = Callable[[int, "State", Info], "State | None"]


def per_draw() -> Any:
    """A field of `State` whose shape starts with (S, B); the others start with (B,)."""
    return dataclasses.field(metadata={"axis": 1})


@dataclass(kw_only=True)
class State:
    """What the next step needs.

    Attributes:
        x: Current draws (S, B, *event).
        done: Which measurements are finished, (B,).
        progress: How far each is, in [0, 1], (B,).
        step: Steps taken before; the run counts them.
    """

    x: Tensor = per_draw()
    done: Tensor
    progress: Tensor
    step: int = 0

    def select(self, measurements: Tensor) -> Self:
        """The state of some of the measurements."""
        parts: dict[str, Any] = {name: v.index_select(axis, measurements) for name, v, axis in self.items()}
        return dataclasses.replace(self, **parts)

    def merged(self, measurements: Tensor, part: State) -> Self:
        """The state in which some of the measurements are those of `part`."""
        items = self.items()
        parts: dict[str, Any] = {n: v.index_copy(axis, measurements, getattr(part, n)) for n, v, axis in items}
        return dataclasses.replace(self, **parts)

    def after(self, total: int, **fields: Any) -> Self:
        """The state after the next of `total` steps, which changes these fields."""
        taken = self.step + 1
        done, progress = torch.full_like(self.done, taken == total), torch.full_like(self.progress, taken / total)
        return dataclasses.replace(self, done=done, progress=progress, **fields)

    def check_successor(self, other: State, source: str) -> None:
        """Raise `InvalidValueError` unless `other`, which came from a user, can take the place of this state."""
        if type(other) is not type(self):
            raise InvalidValueError(
                f"{source} returned a {type(other).__name__}; return a {type(self).__name__}, or None"
            )
        for name, mine, _ in self.items():
            theirs = getattr(other, name)
            if not isinstance(theirs, Tensor) or (theirs.shape, theirs.dtype) != (mine.shape, mine.dtype):
                got = f"{theirs.dtype} {tuple(theirs.shape)}" if isinstance(theirs, Tensor) else repr(theirs)
                raise InvalidValueError(
                    f"{source} returned a state whose {name} is {got}; it was {mine.dtype} {tuple(mine.shape)}"
                )

    def watched(self) -> dict[str, Tensor]:
        """What must be finite if the state of a measurement is to make sense, by name: (B, …) each."""
        return {"x": self.x.transpose(0, 1)}

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name."""
        return {name: value for name, value, _ in self.items()}

    def items(self) -> list[tuple[str, Tensor, int]]:
        """The tensors, each with its name and the axis along which measurements lie."""
        fields = (f for f in dataclasses.fields(self) if f.name != "step")
        return [(f.name, getattr(self, f.name), f.metadata.get("axis", 0)) for f in fields]


class Algorithm(Protocol):
    """Something that takes steps on all measurements together: a sampler, or an iterative solver."""

    @property
    def name(self) -> str:
        """What progress bars and errors call it."""
        ...

    @property
    def remedy(self) -> str:
        """What to do when a state becomes NaN or infinite, as errors say it."""
        ...

    @property
    def state_type(self) -> type[Any]:
        """The subclass of `State` that `init` and `step` return."""
        ...

    def target(self, problem: Posterior, batch_size: int | None) -> Posterior:
        """The posterior to work on, which may be that of a generator's latents."""
        ...

    def init(self, problem: Any, noise: Noise) -> Any:
        """The state before the first step."""
        ...

    def step(self, problem: Any, state: Any, noise: Noise) -> tuple[Any, Info]:
        """One step of every measurement that is not done; `Info` holds (B, …) tensors for the record."""
        ...
