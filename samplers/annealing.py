"""What annealed kinetic Langevin dynamics spends, and what it carries from step to step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from samplers.auxiliary_kernel import FINE
from samplers.state import State, per_draw

FINE_CALLS = 5  # network calls of a sweep of small ρ


class Budget(NamedTuple):
    """The settings of an accuracy.

    Attributes:
        flow: Levels of noise far above the prior's scale, from each of which z follows the flow to the next.
        coarse: Levels above the prior's scale, at which one step is taken.
        fine: Levels below it.
        steps: Steps at each of the fine levels but the last.
        last: Steps at the last, at which all of the measurement is known.
        sweeps: Exact sweeps at the end, before those of small ρ.
        denoise_steps: Network calls for the draw of x, and a sweep.
    """

    flow: int
    coarse: int
    fine: int
    steps: int
    last: int
    sweeps: int
    denoise_steps: int

    @property
    def above(self) -> int:
        """Levels above the prior's scale."""
        return self.flow + self.coarse

    @property
    def moves(self) -> int:
        """Steps along the flow, and of Langevin dynamics."""
        return self.above + (self.fine - 1) * self.steps + self.last

    @property
    def calls(self) -> int:
        """Network calls a sample: one before the first step, one a step, one a level of Langevin dynamics, several for
        the draw of x and for each sweep.
        """
        return self.spent(self.steps_in_all)

    @property
    def steps_in_all(self) -> int:
        """Steps of the run: those of Langevin dynamics, the draw of x and the sweeps."""
        return self.moves + 1 + self.sweeps + len(FINE)

    def spent(self, taken: int) -> int:
        """Network calls a sample after so many steps of the run, one at the least."""
        moves, drawn = min(taken, self.moves), min(taken - self.moves, 1 + self.sweeps)
        fine = taken - self.moves - 1 - self.sweeps
        levels = max(0, self.level(moves - 1) - self.flow)
        return moves + min(moves, 1) + levels + max(0, drawn) * self.denoise_steps + max(0, fine) * FINE_CALLS

    @property
    def weighed(self) -> int:
        """The step before which modes are weighed: half-way down the levels below the prior's scale."""
        return self.above + ((self.fine - 1) // 2 + 1) * self.steps

    def level(self, step: int) -> int:
        """The level of a step."""
        return min(step, self.above) + min(max(0, step - self.above) // self.steps, self.fine - 1)


BUDGETS = {
    "fast": Budget(3, 1, 4, 3, 22, 1, 5),
    "standard": Budget(15, 8, 4, 11, 49, 3, 8),
    "high": Budget(15, 8, 5, 25, 110, 4, 9),
}


@dataclass(kw_only=True)
class KineticState(State):
    """Chains of the noisy variable, and then of the image.

    Attributes:
        momentum: p, as x.
        kick: ρ∇log π(z), as x.
        log_weights: Logarithm of the weight by which each chain was resampled, (S, B).
        ancestor: The slot in which each chain began, (S, B).
    """

    momentum: Tensor = per_draw()
    kick: Tensor = per_draw()
    log_weights: Tensor = per_draw()
    ancestor: Tensor = per_draw()
