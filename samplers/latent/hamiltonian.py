"""The Hamiltonian move of a latent: exact for its Gaussian prior, kicked by the likelihood."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.kernel import Move
from samplers.state import Info

_LONGEST = 1.5  # step, in units in which the target is about as wide as its mass says


@dataclass(frozen=True)
class HamiltonianKernel:
    """How a population of latents is drawn first, and moved: with masses that follow its own spread.

    Args:
        leapfrogs: Steps of a move.
    """

    leapfrogs: int

    def start(self, problem: Posterior, count: int, noise: Noise) -> Tensor:
        """Draw from N(0, I): (count, B, *latent)."""
        return noise.for_draws(count).normal(problem.event_shape)

    def move(
        self, problem: Posterior, z: Tensor, epsilon: Tensor, log_likelihood: Tensor, beta: Tensor, scale: Tensor,
        noise: Noise,
    ) -> tuple[Move, Info]:  # fmt: skip
        """`hamiltonian_move`, and what to report of it."""
        step_size = _LONGEST * scale
        variance = z.var(0).clamp(1e-12, 1.0)
        move = hamiltonian_move(problem, z, log_likelihood, beta, step_size, variance, self.leapfrogs, noise)
        return move, {"step_size": step_size}

    def polished(
        self, problem: Posterior, z: Tensor, epsilon: Tensor, log_likelihood: Tensor, pilot: Tensor, scale: Tensor,
        noise: Noise,
    ) -> Tensor:  # fmt: skip
        """The latents as they are: these moves are exact."""
        return z


def hamiltonian_move(
    problem: Posterior, z: Tensor, log_likelihood: Tensor, beta: Tensor, step_size: Tensor, variance: Tensor,
    leapfrogs: int, noise: Noise,
) -> Move:  # fmt: skip
    r"""One move that leaves \(N(z; 0, I)\,L(z)^\beta\) invariant; `epsilon` of what it returns is the last momentum.

    In \(u = z/\sqrt v\) the energy is \(\tfrac12\|\sqrt v\,u\|^2 - \beta\log L + \tfrac12\|p\|^2\). Each of the steps
    rotates (u, p) for half its length, as the prior alone would, kicks p by the likelihood, and rotates again; the
    whole is accepted or turned back by Metropolis' rule. Where L is flat every move is accepted.

    Args:
        problem: The posterior of latents.
        z: Latents (S, B, *latent).
        log_likelihood: log L at z, (S, B).
        beta: Inverse temperature, (B,).
        step_size: Length of a step, (B,), or (S, B); about 1 suits where v is right.
        variance: v, about the variance of each entry of the target, (B, *latent); the inverse of the mass.
        leapfrogs: Steps, at a forward and a backward network call each.
        noise: Source of randomness.

    References:
        Neal 2011, MCMC using Hamiltonian dynamics, arXiv:1206.1901 (5.5.1, splitting the Hamiltonian).
        Beskos, Pinski, Sanz-Serna & Stuart 2011, Hybrid Monte Carlo on Hilbert spaces, SPA 121.
    """
    dims = len(problem.event_shape)
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

    gain = beta * (new - log_likelihood) + half_square(z) - half_square(ahead) + half_square(start) - half_square(p)
    accepted = gain.nan_to_num(nan=-torch.inf).clamp_max(0).exp()
    take = noise.use("accept").uniform() < accepted
    wide = expand_right(take, dims)
    return Move(torch.where(wide, ahead, z), p, torch.where(take, new, log_likelihood), accepted)
