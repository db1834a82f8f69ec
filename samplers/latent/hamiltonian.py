"""The Hamiltonian move of a latent: exact for its Gaussian prior, kicked by the likelihood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.kernel import KernelCalls, Move
from samplers.state import Info

_LONGEST = 1.5  # step, in units in which the target is about as wide as its mass says
_FIRST = 0.3  # of the longest step, to begin with


@dataclass(frozen=True)
class HamiltonianKernel:
    """Moves of latents, with masses that follow the population's own spread.

    Args:
        leapfrogs: Steps of a move.
    """

    patience: ClassVar = 8
    refuses: ClassVar = True
    leapfrogs: int

    @property
    def calls(self) -> KernelCalls:
        move = self.leapfrogs + 1  # a likelihood besides the gradients
        return KernelCalls(1, move, move, 1, move_grad=self.leapfrogs)

    def start(self, problem: Posterior, count: int, noise: Noise) -> Tensor:
        return noise.for_draws(count).normal(problem.event_shape)

    def first_scale(self, problem: Posterior) -> float:
        return _FIRST

    def move(self, problem: Posterior, before: Move, beta: Tensor, scale: Tensor, noise: Noise) -> tuple[Move, Info]:
        step_size, variance = _LONGEST * scale, before.x.var(0).clamp(1e-12, 1.0)
        return hamiltonian_move(problem, before, beta, step_size, variance, self.leapfrogs, noise), {
            "step_size": step_size
        }

    def finish(self, problem: Posterior, last: Move, pilot: Tensor, scale: Tensor, noise: Noise) -> Tensor:
        return last.x  # the moves are exact


def hamiltonian_move(
    problem: Posterior, before: Move, beta: Tensor, step_size: Tensor, variance: Tensor, leapfrogs: int, noise: Noise
) -> Move:
    r"""One move that leaves \(N(z; 0, I)\,L(z)^\beta\) invariant.

    In \(u = z/\sqrt v\) the energy is \(\tfrac12\|\sqrt v\,u\|^2 - \beta\log L + \tfrac12\|p\|^2\). Each of the steps
    rotates (u, p) for half its length, as the prior alone would, kicks p by the likelihood, and rotates again; the
    whole is accepted or turned back by Metropolis' rule. Where L is flat every move is accepted.

    Args:
        problem: The posterior of latents.
        before: Where the chains of latents are.
        beta: Inverse temperature, (B,).
        step_size: Length of a step, (B,), or (S, B); about 1 suits where v is right.
        variance: v, about the variance of each entry of the target, (B, *latent); the inverse of the mass.
        leapfrogs: Steps, at a forward and a backward network call each.
        noise: Source of randomness.

    References:
        Neal 2011, MCMC using Hamiltonian dynamics, arXiv:1206.1901 (5.5.1, splitting the Hamiltonian).
        Beskos, Pinski, Sanz-Serna & Stuart 2011, Hybrid Monte Carlo on Hilbert spaces, SPA 121.
    """
    z, dims = before.x, len(problem.event_shape)
    root = variance.sqrt()  # also the frequency at which the prior turns (u, p)
    step = expand_right(step_size, dims)
    cosine, sine = (0.5 * step * root).cos(), (0.5 * step * root).sin()
    kick = step * root * expand_right(beta, dims)
    start = noise.use("momentum").normal(problem.event_shape)

    def rotated(z: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return cosine * z + sine * p, cosine * p - sine * z  # z = √v u has the prior's energy, as p has its own

    ahead, p = z, start
    for _ in range(leapfrogs):
        ahead, p = rotated(ahead, p)
        p = p + kick * problem.log_likelihood_grad(ahead)
        ahead, p = rotated(ahead, p)
    new = problem.log_likelihood(ahead)

    def half_square(v: Tensor) -> Tensor:
        return 0.5 * v.flatten(-dims).square().sum(-1)

    gain = (
        beta * (new - before.log_likelihood) + half_square(z) - half_square(ahead) + half_square(start) - half_square(p)
    )
    accepted = gain.nan_to_num(nan=-torch.inf).clamp_max(0).exp()
    take = noise.use("accept").uniform() < accepted
    wide = expand_right(take, dims)
    return Move(torch.where(wide, ahead, z), torch.where(take, new, before.log_likelihood), before.epsilon, accepted)
