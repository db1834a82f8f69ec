"""Moment-matching posterior sampling (MMPS)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.guided.base import Guided, denoise_with_grad, noise_variance, renoise


@dataclass(frozen=True)
class MMPS(Guided):
    r"""Guidance by the likelihood of the denoised image, its error with the denoiser's own covariance.

    Tweedie's second formula gives \(\operatorname{cov}(x_0 \mid x) = \sigma^2 \partial_x D\); with it

    $$ E[x_0 \mid x, y] \approx D + \sigma^2 J^T A^T w, \qquad
       (\sigma_y^2 + \sigma^2 A J^T A^T)\,w = y - AD, \quad J = \partial_x D $$

    takes the denoised image's place in DDIM's step: exact for a Gaussian prior. w by conjugate gradients, a backward
    pass an iteration, one system for each draw.

    Args:
        iterations: Of conjugate gradients; a draw stops where its residual has fallen to 10⁻³.
        eta: Fresh noise in a step: 1 as DDPM, 0 none.

    References:
        Rozet, Andry, Lanusse & Louppe 2024, Learning Diffusion Priors from Observations by Expectation Maximization,
        arXiv:2405.13712.
        Boys, Girolami, Pidstrigach, Reich, Mosca & Akyildiz 2023, Tweedie Moment Projected Diffusions for Inverse
        Problems, arXiv:2310.06721.
    """

    iterations: int = 5
    eta: float = 1.0

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if self.iterations < 1:
            raise InvalidValueError(f"{self.name} needs at least one iteration, got {self.iterations}")

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        operator, dims = problem.operator, len(problem.operator.measurement_shape)
        clean, pull = denoise_with_grad(problem, x, sigma)
        variance = noise_variance(problem, dims)

        def system(w: Tensor) -> Tensor:
            return variance * w + sigma**2 * operator(pull(operator.adjoint(w)))

        w = conjugate_gradients(system, problem.y - operator(clean), self.iterations, dims)
        return renoise(clean + sigma**2 * pull(operator.adjoint(w), last=True), x, sigma, following, noise, self.eta)


def conjugate_gradients(
    system: Callable[[Tensor], Tensor], right: Tensor, iterations: int, dims: int, tolerance: float = 1e-3
) -> Tensor:
    """Solve system(w) = right for each row over the last `dims` axes, from 0."""

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return (a.conj() * b).real.flatten(-dims).sum(-1)

    w, residual = torch.zeros_like(right), right
    direction, energy = right, dot(right, right)
    goal = tolerance**2 * energy
    for _ in range(iterations):
        seen = system(direction)
        curvature = dot(direction, seen)
        # A row at its goal, or along which a network's Jacobian is not positive, stays where it is.
        size = torch.where((energy > goal) & (curvature > 0), energy / curvature, 0.0)
        w = w + expand_right(size, dims) * direction
        residual = residual - expand_right(size, dims) * seen
        before, energy = energy, dot(residual, residual)
        direction = residual + expand_right(torch.where(size > 0, energy / before, 0.0), dims) * direction
    return w
