"""Guidance by the denoiser's own covariance: moment-matching posterior sampling (MMPS) and its diagonal form (TMPD)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Count
from posterior.linalg import conjugate_gradients
from posterior.problem import Posterior
from samplers.guided.base import denoise_with_grad, noise_variance, step_length
from samplers.guided.conditional import Conditional
from samplers.plan import Calls


@dataclass(frozen=True)
class MMPS(Conditional):
    r"""Guidance by the likelihood of the denoised image, its error with the denoiser's own covariance.

    Tweedie's second formula gives \(\operatorname{cov}(x_0 \mid x) = \sigma^2 \partial_x D\); with it

    $$ E[x_0 \mid x, y] \approx D + \sigma^2 J^T A^T w, \qquad
       (\sigma_y^2 + \sigma^2 A J^T A^T)\,w = y - AD, \quad J = \partial_x D, $$

    exact for a Gaussian prior. w by conjugate gradients, a backward pass an iteration, one system for each draw.

    Args:
        iterations: Of conjugate gradients; a draw stops where its residual has fallen to 10⁻³.

    References:
        Rozet, Andry, Lanusse & Louppe 2024, Learning Diffusion Priors from Observations by Expectation Maximization,
        arXiv:2405.13712.
    """

    exact_for: ClassVar = "Gaussian priors, as steps grow"
    iterations: Count = 10

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        forward, _, *_ = super().calls(problem, num_samples)
        values = torch.as_tensor(problem.operator.num_measured).max()
        most = forward * min(self.iterations, int(values) * (2 if problem.operator.is_complex else 1))
        if most == forward:
            return Calls(forward, most)
        return Calls(forward, most, "at most so many backward: conjugate gradients stop where they have converged")

    def mean(self, problem: Posterior, x: Tensor, sigma: float) -> Tensor:
        operator, dims = problem.operator, len(problem.operator.measurement_shape)
        clean, vjp = denoise_with_grad(problem, x, sigma)
        variance = noise_variance(problem, dims)

        def product(v: Tensor) -> tuple[Tensor, Tensor]:
            pulled = vjp(operator.adjoint(v))
            return variance * v + sigma**2 * operator(pulled), pulled

        shift = conjugate_gradients(product, problem.y - operator(clean), dims, self.iterations, 1e-3)
        return clean + sigma**2 * shift


@dataclass(frozen=True)
class TMPD(Conditional):
    r"""Guidance as that of `MMPS`, its system taken for diagonal with the same sums of rows.

    $$ E[x_0 \mid x, y] \approx D + \alpha\sigma^2 J^T A^T \frac{y - AD}{\sigma_y^2 + \sigma^2 A J^T A^T 1} $$

    Exact for white images and operators with orthogonal rows; two backward passes a step. Sums below 0 count as 0. α is
    the `step_length` of each draw; the paper has 1, and diverges where entries of a matrix cancel in its sums.

    References:
        Boys, Girolami, Pidstrigach, Reich, Mosca & Akyildiz 2023, Tweedie Moment Projected Diffusions for Inverse
        Problems, arXiv:2310.06721.
    """

    exact_for: ClassVar = "white images and operators with orthogonal rows, as steps grow"
    backward: ClassVar[int] = 2

    def mean(self, problem: Posterior, x: Tensor, sigma: float) -> Tensor:
        operator, dims = problem.operator, len(problem.operator.measurement_shape)
        clean, vjp = denoise_with_grad(problem, x, sigma)
        residual = problem.y - operator(clean)
        sums = operator(vjp(operator.adjoint(torch.ones_like(residual)))).real.clamp_min(0)
        variance = noise_variance(problem, dims)
        w = residual / (variance + sigma**2 * sums)
        along, own = ((w.conj() * v).real.flatten(2).sum(2) for v in (residual, variance * w))
        slope = operator.adjoint(w)
        pulled = vjp(slope, last=True)
        return clean + step_length(along, own, slope, pulled, sigma) * sigma**2 * pulled
