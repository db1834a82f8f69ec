"""Pseudo-inverse guided diffusion (ΠGDM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from posterior.problem import Posterior
from samplers.guided.base import denoise_with_grad, error_variance, noise_variance
from samplers.guided.conditional import Conditional


@dataclass(frozen=True)
class PiGDM(Conditional):
    r"""Guidance by the likelihood of the denoised image, its error taken for white.

    With \(x_0 \mid x \approx N(D, r^2 I)\), \(r^2 = \sigma_d^2\sigma^2/(\sigma_d^2 + \sigma^2)\), exact for white
    images of standard deviation σ_d (the paper's 1 is for those of unit variance):

    $$ E[x_0 \mid x, y] \approx D + \sigma^2\,(\partial_x D)^T A^T (r^2 A A^T + \sigma_y^2)^{-1} (y - AD) $$

    References:
        Song, Vahdat, Mardani & Kautz 2023, Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR.
    """

    exact_for: ClassVar = "white Gaussian priors, as steps grow"
    backward: ClassVar[int] = 1

    def mean(self, problem: Posterior, x: Tensor, sigma: float) -> Tensor:
        clean, vjp = denoise_with_grad(problem, x, sigma)
        r2 = error_variance(problem.prior, sigma)
        back = problem.operator.adjoint(problem.y - problem.operator(clean))
        # Aᵀ (r² AAᵀ + σ_y²)⁻¹ = (r² AᵀA + σ_y²)⁻¹ Aᵀ
        whitened = problem.operator.gram_function(
            lambda values: 1 / (r2 * values + noise_variance(problem, values.ndim)), back
        )
        return clean + sigma**2 * vjp(whitened, last=True)
