"""Descent that a generator's negated valley does not hold (Hand & Voroninski)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch

from posterior.checks import NonNegative
from posterior.noise import Noise
from posterior.problem import LatentPosterior, Posterior
from samplers.map.csgm import CSGM
from samplers.map.descent import lower
from samplers.map.restarts import Search
from samplers.plan import Calls
from samplers.state import Info


@dataclass(frozen=True)
class HandVoroninski(CSGM):
    r"""CSGM in which a latent changes its sign, before each step, where that lowers the loss.

    $$ z \leftarrow \arg\min_{z, -z} f, \qquad z \leftarrow z - \eta\,\nabla f(z), \qquad
       f(z) = \|y - A(G(z))\|^2/m + \lambda\|z\|^2 $$

    For generators of random weights, each layer of which is larger by a logarithmic factor than what enters it, f
    has no valleys but those at the truth z₀ and at a negative multiple −ρz₀ of it, the second of which is higher:
    descent with this step ends near z₀. Trained generators come without a promise. With the operator `Magnitude(A)`
    this is phase retrieval under a generative prior.

    Args:
        weight: λ, 0 as in the theory; None for the latent MAP, which takes any likelihood.
        optimiser: "adam", or "sgd" with momentum 0.9; both forget which way they went where the sign changes.

    References:
        Hand & Voroninski 2018, Global Guarantees for Enforcing Deep Generative Priors by Empirical Risk, COLT,
        arXiv:1705.07576.
        Hand, Leong & Voroninski 2018, Phase Retrieval Under a Generative Prior, NeurIPS, arXiv:1807.04261.
    """

    weight: NonNegative | None = 0.0
    optimiser: Literal["adam", "sgd"] = "adam"

    def calls(self, problem: Posterior) -> Calls:
        return Calls(self.restarts * (3 * self.steps + 2), self.restarts * self.steps)

    def step(self, problem: LatentPosterior[Any], state: Search, noise: Noise) -> tuple[Search, Info]:
        (here,), (opposite,) = (problem.in_parts(self.loss, h) for h in (state.h, -state.h))
        h, _ = lower(-state.h, opposite, state.h, here)
        memory = state.memory.clone()  # first the direction, and of Adam then the scale, which stays
        memory[:, :, 0] = torch.where((opposite < here)[..., None], 0.0, memory[:, :, 0])
        return super().step(problem, replace(state, h=h, memory=memory), noise)
