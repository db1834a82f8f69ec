"""Annealed Langevin dynamics, as in robust compressed-sensing MRI."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posterior.checks import Count, NonNegative, Positive, Several, check_falling
from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.priors.reverse_diffusion import geometric_levels
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.base import Sampler
from samplers.curvature import check_linear_gaussian, is_linear_gaussian
from samplers.plan import Calls
from samplers.state import Info, State


@dataclass(frozen=True)
class AnnealedLangevin(Sampler[State]):
    r"""Langevin steps on noisy posteriors, with the noise level lowered geometrically.

    At each level σ_i, `steps_per_level` times, with α_i = step_size·σ_i²:

    $$ x \leftarrow x + \alpha_i \bigl(s(x, \sigma_i) + g_i\bigr) + \sqrt{2\alpha_i}\,\xi $$

    - form="paper": \(g_i = \nabla\log L(x) \cdot \sigma_y^2 / (\gamma_i^2 + \sigma_y^2)\), γ_i = gamma‖A‖σ_i, which
      for a linear operator is Aᵀ(y − Ax)/(γ_i² + σ_y²);
    - form="code": the likelihood's gradient rescaled to `guidance` times the length of the score, for each draw.

    A last call of the denoiser removes the noise of the last level. Neither form is exact at finite steps.

    Args:
        levels: Number of noise levels.
        steps_per_level: Langevin steps at each.
        step_size: α_i/σ_i². A step is stable if step_size·(1 + 1/gamma²) < 2 (form="paper"); form="code" wants about
            step_size·(1 + guidance) < 2, and its authors go beyond.
        gamma: How much the likelihood is widened at each level, for form="paper"; the paper leaves it open.
        sigma_first: First noise level; unless given √(2n)·sigma_data, about the largest distance between two images
            (Song & Ermon 2020, arXiv:2006.09011), or the prior's largest if that is smaller.
        sigma_last: Last noise level; unless given 0.01, or a tenth of σ_y/‖A‖ where the operator is linear and that is
            less, or the prior's smallest where that is larger.
        form: Which likelihood gradient.
        guidance: Length of the likelihood's gradient in units of the score's, for form="code".

    References:
        Jalal, Arvinte, Daras, Price, Dimakis & Tamir 2021, Robust Compressed Sensing MRI with Deep Generative Priors,
        arXiv:2108.01368.
    """

    levels: Several = 99
    steps_per_level: Count = 3
    step_size: Positive = 0.6
    gamma: Positive = 0.7
    sigma_first: Positive | None = None
    sigma_last: Positive | None = None
    form: Literal["paper", "code"] = "paper"
    guidance: NonNegative = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sigma_first is not None and self.sigma_last is not None:
            check_falling(self, "sigma_first", "sigma_last")
        if self.form == "paper" and self.step_size * (1 + self.gamma**-2) >= 2:
            raise InvalidValueError(f"{self.name} needs step_size·(1 + 1/gamma²) < 2; got {self}")

    @classmethod
    def jalal2021(cls, form: Literal["paper", "code"] = "paper") -> AnnealedLangevin:
        """The schedule of the MRI paper: σ from 232 to 0.0066 in 2,311 levels, begun at level 1,155; 3,468 steps."""
        ratio = (0.0066 / 232) ** (1155 / 2310)
        step_size = 5e-5 / 0.0066**2
        return cls(
            levels=1156, steps_per_level=3, step_size=step_size, gamma=math.sqrt(2), sigma_first=232 * ratio,
            sigma_last=0.0066, form=form,
        )  # fmt: skip

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if self.form == "paper":
            check_linear_gaussian(f"{self.name}(form='paper')", problem, "form='code' takes any likelihood")
        levels = self._levels(problem)
        if bool((levels[0] <= levels[-1]).any()):
            raise InvalidValueError(
                f"{self.name} goes down from sigma_first to sigma_last, not {levels[[0, -1]].tolist()}"
            )
        problem.prior.check_sigma(levels)

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        return Calls(num_samples * (self.levels * self.steps_per_level + 1))

    def _levels(self, problem: Posterior) -> Tensor:
        """Noise levels, (levels, B)."""
        prior = problem.prior
        distance = math.sqrt(2 * math.prod(prior.event_shape)) * prior.sigma_data
        first = min(distance, prior.sigma_max) if self.sigma_first is None else self.sigma_first
        last = problem.y.real.new_full((len(problem),), self.sigma_last or 0.01)
        if self.sigma_last is None and is_linear_gaussian(problem):
            finest = 0.1 * problem.likelihood.noise_std.to(last) / problem.operator.norm().to(last)
            last = last.minimum(finest)
        if self.sigma_last is None:
            last = last.clamp_min(prior.sigma_min)
        return geometric_levels(torch.full_like(last, first), last, self.levels)

    def init(self, problem: Posterior, noise: Noise) -> State:
        prior, first = problem.prior, self._levels(problem)[0]
        spread = expand_right((first**2 + prior.sigma_data**2).sqrt(), len(problem.event_shape))
        zero = torch.zeros(len(problem), dtype=problem.dtype, device=problem.device)
        x = prior.mean().to(zero) + spread * noise.normal(problem.event_shape)
        return State(x=x, done=zero.bool(), progress=zero)

    def step(self, problem: Posterior, state: State, noise: Noise) -> tuple[State, Info]:
        total = self.levels * self.steps_per_level
        sigma = self._levels(problem)[min(state.step // self.steps_per_level, self.levels - 1)]
        level = expand_right(sigma, len(problem.event_shape))
        x = problem.prior.denoise(state.x, sigma)
        last = state.step == total
        if not last:
            move = x - state.x + level**2 * self._guide(problem, state.x, (x - state.x) / level**2, sigma)
            xi = noise.normal(problem.event_shape)
            x = state.x + self.step_size * move + (2 * self.step_size) ** 0.5 * level * xi
        progress = torch.full_like(state.progress, (state.step + 1) / (total + 1))
        return State(x=x, done=torch.full_like(state.done, last), progress=progress), {"sigma": sigma}

    def _guide(self, problem: Posterior, x: Tensor, score: Tensor, sigma: Tensor) -> Tensor:
        grad = problem.log_likelihood_grad(x)
        dims = len(problem.event_shape)
        if self.form == "paper":
            variance = problem.likelihood.noise_std.to(x) ** 2
            blur = (self.gamma * problem.operator.norm().to(x) * sigma) ** 2
            return expand_right(variance / (blur + variance), dims) * grad
        lengths = [v.flatten(2).norm(dim=2) for v in (score, grad)]
        return expand_right(self.guidance * lengths[0] / lengths[1].clamp_min(torch.finfo(x.dtype).tiny), dims) * grad
