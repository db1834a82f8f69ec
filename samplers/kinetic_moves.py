"""Kinetic Langevin steps of the noisy variable z = x + ρε, whose posterior has no smoothing bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import LinearOperator
from posterior.priors.base import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.auxiliary_kernel import AuxiliaryKernel, noisy_image
from samplers.curvature import Curvature
from samplers.kernel import KernelCalls, Move
from samplers.state import Info

SHARE = 0.5  # ρ²‖A‖²/τ²: curvatures of −log π are then at most 2/ρ²
_FRICTION = 0.1  # γ, in units of 1/ρ
_STEP = 0.8  # h of a kinetic move, in units of ρ: 1.2 would shift weights of modes that overlap by up to 5 %

Problem = Posterior[ScorePrior, GaussianLikelihood[LinearOperator]]


class Walker(NamedTuple):
    """Where chains of z are.

    Attributes:
        z: Noisy images, (S, B, *event).
        momentum: p, as z.
        kick: ρ∇log π(z), as z.
        denoised: D(z, ρ), as z; empty where nothing takes it.
    """

    z: Tensor
    momentum: Tensor
    kick: Tensor
    denoised: Tensor = torch.empty(0)


@dataclass(frozen=True)
class NoisyPosterior:
    r"""The law of z = x + ρε given y, for Gaussian noise of level τ on a linear operator, coupled to ε.

    $$ \pi_\tau(z) \propto p_\rho(z)\,N(y; Az, \tau^2 I - \rho^2 AA^T) $$

    A draw of p(x0 | x0 + ρε = z) makes a sample of p(x) N(y; Ax, τ²I) of one of π.

    Args:
        problem: The measurements.
        rho: ρ of each, (B,), with ρ‖A‖ < τ.
        tau2: τ², (B,).
    """

    problem: Problem
    rho: Tensor
    tau2: Tensor

    def at(self, z: Tensor, momentum: Tensor) -> Walker:
        r"""Chains at z, with their kicks, at one network call.

        $$ \rho\nabla\log\pi(z) = (D(z, \rho) - z)/\rho + \rho A^T(\tau^2 I - \rho^2 AA^T)^{-1}(y - Az) $$
        """
        operator, wide = self.problem.operator, expand_right(self.rho, len(self.problem.event_shape))

        def inverse(values: Tensor) -> Tensor:
            tau2, rho2 = (expand_right(v, values.ndim).to(values) for v in (self.tau2, self.rho**2))
            return 1 / (tau2 - rho2 * values)

        denoised = self.problem.prior.denoise(z, self.rho)
        seen = operator.gram_function(inverse, operator.adjoint(self.problem.y - operator(z)))
        return Walker(z, momentum, (denoised - z) / wide + wide * seen, denoised)

    def step(self, walker: Walker, length: float, noise: Noise) -> Walker:
        """A BAOAB step of length hρ, at one network call: shorter where ρ‖A‖ is near τ, and stable for h ≤ 1.2."""
        dims = len(self.problem.event_shape)
        share = self.rho**2 * self.problem.operator.norm().to(self.rho) ** 2 / self.tau2
        step = expand_right(
            length * (2 * (1 - share)).clamp_max(1).sqrt(), dims
        )  # curvatures are at most 1/(1 − share)
        wide, keep = expand_right(self.rho, dims), (-_FRICTION * step).exp()
        momentum = walker.momentum + 0.5 * step * walker.kick
        z = walker.z + 0.5 * step * wide * momentum
        momentum = keep * momentum + (1 - keep**2).sqrt() * noise.use("momentum").normal(self.problem.event_shape)
        ahead = self.at(z + 0.5 * step * wide * momentum, momentum)
        return ahead._replace(momentum=momentum + 0.5 * step * ahead.kick)


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

    def finish(self, problem: Posterior, last: Move, pilot: Tensor, scale: Tensor, noise: Noise) -> Tensor:
        # Where z is certain BAOAB leaves momenta too small, which is right for its next step but not for a sweep.
        epsilon = noise.use("epsilon").normal(problem.event_shape)
        return super().finish(problem, last._replace(epsilon=epsilon), pilot, scale, noise)

    def _kinetic(self, problem: Problem, before: Move, beta: Tensor, noise: Noise) -> tuple[Move, Info]:
        curvature = Curvature(problem, before.x[0])
        rho = (SHARE / (beta * curvature.norm)).sqrt().clamp(problem.prior.sigma_min, problem.prior.sigma_max)
        epsilon, kappa = noise.use("z").normal(problem.event_shape), rho**2 * beta
        z = noisy_image(before.x, problem.log_likelihood_grad(before.x), epsilon, kappa, rho, curvature)
        target = NoisyPosterior(problem, rho, problem.likelihood.noise_std.to(beta) ** 2 / beta)
        walker = target.at(z, before.epsilon)
        for step in range(self.steps):
            walker = target.step(walker, _STEP, noise.use("step", step))
        x = self.sampling.sample_denoised(problem.prior, walker.z, rho, noise.use("x"), walker.denoised)
        log_likelihood = problem.log_likelihood(x)
        return Move(x, log_likelihood, walker.momentum, torch.ones_like(log_likelihood)), {
            "rho": rho,
            "calls": torch.full_like(beta, self.calls.final),
        }
