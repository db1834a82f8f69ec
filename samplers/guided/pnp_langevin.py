"""Plug-and-play Langevin dynamics (PnP-ULA)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from torch import Tensor

from posterior.checks import Count, Positive, Range, Several
from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.guided.base import Guided, ddpm_levels, noise_variance
from samplers.guided.diffpir import DiffPIR
from samplers.state import State

_DESCENT = DiffPIR(weight=1.0, zeta=1.0)


@dataclass(frozen=True)
class PnPLangevin(Guided[State]):
    r"""Langevin steps on the posterior of an image with a little noise, at one noise level.

    $$ x \leftarrow x + h\Bigl(\nabla\log p(y \mid x) + \frac{D(x, \sigma) - x}{\sigma^2}\Bigr) + \sqrt{2h}\,\xi $$

    with h = step_size over the sum of the curvatures, 1/σ² and ‖A‖²/σ_y². As steps grow and h falls, draws have the
    density \(\propto p_\sigma(x)\,p(y \mid x)\), whose prior is that of images with noise σ: no narrower than σ.
    Each draw is a chain of its own, which begins with `steps` levels of `DiffPIR` (λ = ζ = 1) on the way down to σ: the
    paper's chains begin at the measurement, and a Langevin step at a small σ does not fill what is not measured. No
    gradients of the network.

    Args:
        steps: Noise levels on the way down.
        langevin_steps: Steps at σ.
        step_size: Below 2 to be stable; variances come out too large by up to 1/(1 − step_size/2).
        sigma: σ, or the prior's smallest noise level if that is larger.

    References:
        Laumont, De Bortoli, Almansa, Delon, Durmus & Pereyra 2022, Bayesian Imaging Using Plug & Play Priors: When
        Langevin Meets Tweedie, arXiv:2103.04715.
    """

    steps: Several = 50
    langevin_steps: Count = 100
    step_size: Annotated[float, Range(0, 2, "()")] = 0.5
    sigma: Positive = 0.04

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if self.sigma >= problem.prior.sigma_max:
            raise InvalidValueError(
                f"{self.name} needs sigma < {problem.prior.sigma_max:g}, the prior's largest; got {self.sigma:g}"
            )

    def levels(self, prior: ScorePrior, resolution: float) -> tuple[float, ...]:
        last = max(self.sigma, prior.sigma_min)
        return (*ddpm_levels(self.steps, last, prior.sigma_max), *[last] * self.langevin_steps)

    def advance(self, problem: Posterior, state: State, sigma: float, following: float, noise: Noise) -> State:
        part = _DESCENT if state.step < self.steps else self
        return replace(state, x=part.move(problem, state.x, sigma, following, noise))

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        dims = len(problem.event_shape)
        norm = expand_right(problem.operator.norm().to(x), dims)
        h = self.step_size / (sigma**-2 + norm**2 / noise_variance(problem, dims))
        slope = problem.log_likelihood_grad(x) + (problem.prior.denoise(x, sigma) - x) / sigma**2
        return x + h * slope + (2 * h).sqrt() * noise.use("langevin").normal(problem.event_shape)
