"""Pseudo-inverse guided diffusion (ΠGDM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from posterior.problem import Posterior
from samplers.guided.base import denoise_with_grad, step_length, white_guidance
from samplers.guided.conditional import Conditional


@dataclass(frozen=True)
class PiGDM(Conditional):
    r"""Guidance by the likelihood of the denoised image, its error taken for white.

    With \(x_0 \mid x \approx N(D, r^2 I)\), \(r^2 = \sigma_d^2\sigma^2/(\sigma_d^2 + \sigma^2)\), exact for white
    images of standard deviation σ_d (the paper's 1 is for those of unit variance):

    $$ E[x_0 \mid x, y] \approx D + \alpha\sigma^2\,(\partial_x D)^T A^T (r^2 A A^T + \sigma_y^2)^{-1} (y - AD) $$

    α is the `step_length` of each draw, 1 for white images. The paper has 1 for all, and diverges where images are wide
    in some directions, so that r² is far too small there.

    References:
        Song, Vahdat, Mardani & Kautz 2023, Pseudoinverse-Guided Diffusion Models for Inverse Problems, ICLR.
    """

    exact_for: ClassVar = "white Gaussian priors, as steps grow"
    backward: ClassVar[int] = 1

    def mean(self, problem: Posterior, x: Tensor, sigma: float) -> Tensor:
        clean, vjp = denoise_with_grad(problem, x, sigma)
        slope, along, own = white_guidance(problem, clean, sigma)
        pulled = vjp(slope, last=True)
        return clean + step_length(along, own, slope, pulled, sigma) * sigma**2 * pulled
