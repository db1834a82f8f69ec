"""Kinetic moves of a population, which go much farther than Gibbs sweeps of as many calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.auxiliary_kernel import AuxiliaryKernel, noisy_image
from samplers.baoab import Phase, baoab
from samplers.curvature import Curvature
from samplers.kernel import KernelCalls, Move
from samplers.noisy_posterior import SHARE, Problem, denoised, preconditioned, score
from samplers.state import Info

_FRICTION = 0.1  # γ, in units of 1/ρ
_STEP = 1.1  # h of a kinetic move, in units of ρ: 1.7 would shift weights of modes that overlap by up to 5 %


@dataclass(frozen=True)
class KineticKernel(AuxiliaryKernel):
    r"""Gibbs sweeps below β = 1 and kinetic moves at it, for Gaussian noise on a linear operator.

    A kinetic move goes by way of z: z given x, BAOAB steps, x given z. It leaves \(p(x) L(x)^\beta\) invariant up to
    the error of the steps, which have none in z on Gaussians. Momenta are kept from move to move, in the place of ε: n
    steps diffuse as far as some n² sweeps. Below β = 1 there are as many draws of x as the calls allow, since these
    cross from mode to mode, which the steps do not.

    Args:
        sampling: How the prior is sampled.
        steps: Steps of a kinetic move.
    """

    patience: ClassVar = 1
    refuses: ClassVar = False
    steps: int

    @property
    def calls(self) -> KernelCalls:
        calls = super().calls
        return calls._replace(final=self.steps + max(1, calls.move))  # one for the first kick, and the last is shared

    def move(self, problem: Posterior, before: Move, beta: Tensor, scale: Tensor, noise: Noise) -> tuple[Move, Info]:
        final = beta >= 1
        if not final.any():
            swept, size = super().move(problem, before, beta, scale, noise)
            return swept, {**size, "calls": torch.full_like(beta, self.calls.move)}
        if final.all():
            return self._kinetic(problem, before, beta, noise)
        order = final.long().argsort(stable=True)
        moves = []
        for part in order.split([int((~final).sum()), int(final.sum())]):
            own = Move(*(values[:, part] for values in before[:3]))
            moves.append(self.move(problem.select(part), own, beta[part], scale[part], noise.select(part)))
        back = order.argsort()
        joined = Move(*(torch.cat(values, 1)[:, back] for values in zip(*(move for move, _ in moves), strict=True)))
        return joined, {name: torch.cat([size[name] for _, size in moves])[back] for name in ("rho", "calls")}

    def _kinetic(self, problem: Problem, before: Move, beta: Tensor, noise: Noise) -> tuple[Move, Info]:
        curvature = Curvature(problem, before.x[0])
        rho = (SHARE / (beta * curvature.norm)).sqrt().clamp(problem.prior.sigma_min, problem.prior.sigma_max)
        epsilon, kappa = noise.use("z").normal(problem.event_shape), rho**2 * beta
        z = noisy_image(before.x, problem.log_likelihood_grad(before.x), epsilon, kappa, rho, curvature)
        tau2, wide = problem.likelihood.noise_std.to(beta) ** 2 / beta, expand_right(rho, len(problem.event_shape))

        def score_at(z: Tensor) -> Tensor:
            return score(problem, z, rho, tau2)

        def precondition(v: Tensor) -> Tensor:
            return preconditioned(problem, v, kappa * curvature.norm)

        phase = Phase(z, before.epsilon, wide * score_at(z))
        for step in range(self.steps):
            phase = baoab(phase, score_at, precondition, rho, _STEP, _FRICTION, noise.use("step", step))
        centre = denoised(problem, phase.z, phase.kick / wide, rho, tau2)
        x = self.sampling.sample_denoised(problem.prior, phase.z, rho, noise.use("x"), centre)
        log_likelihood = problem.log_likelihood(x)
        return Move(x, log_likelihood, phase.momentum, torch.ones_like(log_likelihood)), {
            "rho": rho,
            "calls": torch.full_like(beta, self.calls.final),
        }
