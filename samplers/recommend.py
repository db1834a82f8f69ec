"""Which samplers take a problem, what each is exact for, and what each would cost."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import samplers.flows
import samplers.guided
import samplers.latent
from posterior.checks import Count, checked
from posterior.errors import PosteriorError
from posterior.modes import own_modes
from posterior.problem import Posterior
from samplers.base import Sampler
from samplers.plan import Plan
from samplers.stopwatch import Stopwatch


@dataclass(frozen=True)
class Recommendation:
    """Samplers with their default settings, by name; printed, it says what each is exact for and what it would cost.

    Attributes:
        exact_for: What each that applies converges to the posterior of: first those that do, from the quickest on.
        plans: What a run of it would cost, in the same order.
        refused: Why the others do not apply.
    """

    exact_for: dict[str, str]
    plans: dict[str, Plan]
    refused: dict[str, str]

    def __str__(self) -> str:
        parts = [
            "\n  ".join((name, f"exact for {self.exact_for[name]}", plan.cost, *plan.remarks))
            for name, plan in self.plans.items()
        ]
        return "\n".join([*parts, *(f"not for this problem: {reason}" for reason in self.refused.values())])


@checked
@own_modes()
def recommend(problem: Posterior, num_samples: Count = 64, *, batch_size: Count | None = None) -> Recommendation:
    """Which samplers take a problem, by what each says of itself, what they are exact for, and their plans.

    Args:
        problem: Prior, likelihood and measurements.
        num_samples: Draws of each measurement; more of samplers that make as many of each of several chains.
        batch_size: Images a network call at the most.
    """
    exact_for: dict[str, str] = {}
    plans: dict[str, Plan] = {}
    refused: dict[str, str] = {}
    stopwatch = Stopwatch(problem)
    for name, kind in _samplers(samplers, samplers.guided, samplers.latent, samplers.flows).items():
        sampler = kind()
        try:
            sampler.check(problem)
        except PosteriorError as error:
            refused[name] = str(error)
            continue
        count = -(-num_samples // sampler.num_chains) * sampler.num_chains
        exact_for[name], plans[name] = kind.exact_for, sampler.planned(problem, count, batch_size, stopwatch)
    order = sorted(plans, key=lambda name: (exact_for[name].startswith("nothing"), plans[name].seconds))
    return Recommendation({name: exact_for[name] for name in order}, {name: plans[name] for name in order}, refused)


def _samplers(*packages: ModuleType) -> dict[str, type[Sampler[Any]]]:
    """The samplers in the packages' `__all__`, by name."""
    found = {name: getattr(package, name) for package in packages for name in package.__all__}
    kinds = {name: kind for name, kind in found.items() if isinstance(kind, type) and issubclass(kind, Sampler)}
    return {name: kind for name, kind in kinds.items() if kind is not Sampler}
