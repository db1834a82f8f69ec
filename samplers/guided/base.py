"""Guided reverse diffusion: noise levels that go down, and one move a level."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from posterior.checks import Several
from posterior.errors import IncompatibleError
from posterior.noise import Noise
from posterior.priors.adapters import linear_alphas_cumprod
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.base import Sampler, StateT
from samplers.curvature import check_linear_gaussian, is_linear_gaussian
from samplers.plan import Calls
from samplers.state import Info


@dataclass(frozen=True)
class Guided(Sampler[StateT]):
    r"""Guided reverse diffusion.

    The state is \(x = x_0 + \sigma\varepsilon\) (variance exploding; a variance-preserving paper's \(x_t\) is
    \(x/\sqrt{1 + \sigma^2}\)). Levels are DDPM's, \(\sigma_t^2 = 1/\bar\alpha_t - 1\) with β from 10⁻⁴ to 0.02, at
    evenly spaced t as far as the prior is valid; after the last one comes 0. No such sampler is exact: measure.

    Subclasses define `move`, or `advance` if their state holds more than x, and may define `levels` and `calls`.

    Attributes:
        backward: Backward passes of the network a level.

    Args:
        steps: Noise levels.
    """

    steps: Several = 100

    linear_only: ClassVar[bool] = True  # Gaussian noise on a linear operator
    backward: ClassVar[int] = 0

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if self.linear_only:
            check_linear_gaussian(self.name, problem, "DAPS, TDS and TemperedSMC take any likelihood and operator")

    def calls(self, problem: Posterior, num_samples: int) -> Calls:
        levels = self.draws_at_once(num_samples) * len(self.levels(problem.prior, math.inf))
        return Calls(levels, levels * self.backward)

    def levels(self, prior: ScorePrior, resolution: float) -> tuple[float, ...]:
        """Noise levels, from high to low, without the 0 at the end.

        Args:
            prior: Says at which levels it is valid.
            resolution: σ_y/‖A‖ as `resolutions` gives it. Samples that end as means given a last level have no spread
                that is far below it.
        """
        return ddpm_levels(self.steps, prior.sigma_min, prior.sigma_max)

    def move(self, problem: Posterior, x: Tensor, sigma: float, following: float, noise: Noise) -> Tensor:
        """From x at one noise level to the next, 0 after the last."""
        raise NotImplementedError

    def start(self, problem: Posterior, sigma: float, noise: Noise) -> Tensor:
        """X at the first noise level: (S, B, *event)."""
        prior = problem.prior
        spread = math.sqrt(sigma**2 + prior.sigma_data**2)
        x = noise.normal(problem.event_shape)
        return prior.mean().to(x) + spread * x

    def advance(self, problem: Posterior, state: StateT, sigma: float, following: float, noise: Noise) -> StateT:
        """The state at the next noise level, but for `done` and `progress`."""
        return replace(state, x=self.move(problem, state.x, sigma, following, noise))

    def memory(self, problem: Posterior, x: Tensor) -> dict[str, Tensor]:
        """Further fields of the state at the first noise level."""
        return {}

    def init(self, problem: Posterior, noise: Noise) -> StateT:
        zero = torch.zeros(len(problem), dtype=problem.dtype, device=problem.device)
        first = self.levels(problem.prior, math.inf)[0]  # of every resolution, which says where they end
        x = self.start(problem, first, noise)
        state: StateT = self.state_type(x=x, done=zero.bool(), progress=zero, **self.memory(problem, x))
        return state

    def step(self, problem: Posterior, state: StateT, noise: Noise) -> tuple[StateT, Info]:
        of_each, before = [self.levels(problem.prior, resolution) for resolution in resolutions(problem)], state
        for levels in sorted(set(of_each)):
            ends = levels[before.step], (*levels, 0.0)[before.step + 1]
            some = torch.tensor([b for b, own in enumerate(of_each) if own == levels], device=problem.device)
            if len(some) == len(problem):
                state = self.advance(problem, before, *ends, noise)
            else:
                part = self.advance(problem.select(some), before.select(some), *ends, noise.select(some))
                state = state.merged(some, part)
        return replace(state, step=before.step).after(len(of_each[0])), {}


def resolutions(problem: Posterior) -> list[float]:
    """σ_y/‖A‖ of each measurement: the noise of the image's component that is measured best, infinite if not known.

    It is rounded down to a power of two, so that measurements of nearly one noise share network calls.
    """
    if not is_linear_gaussian(problem):
        return [math.inf] * len(problem)
    ratio = (problem.likelihood.noise_std.double() / problem.operator.norm().double()).expand(len(problem))
    return ratio.log2().floor().exp2().tolist()


@lru_cache(maxsize=64)
def ddpm_levels(count: int, lowest: float, highest: float) -> tuple[float, ...]:
    """Levels of the linear schedule at evenly spaced t, from the highest allowed down to the lowest."""
    sigma = (1 / linear_alphas_cumprod() - 1).sqrt().numpy()
    times = np.arange(float(len(sigma)))
    first, last = np.interp(np.log([highest, lowest]), np.log(sigma), times)
    levels = np.exp(np.interp(np.linspace(first, last, count), times, np.log(sigma)))
    return tuple(np.clip(levels, lowest, highest).tolist())


@lru_cache(maxsize=64)
def karras_levels(count: int, last: float, first: float, rho: float = 7.0) -> tuple[float, ...]:
    """Levels evenly spaced in σ^(1/ρ), from high to low (Karras et al. 2022, arXiv:2206.00364)."""
    levels = np.linspace(first ** (1 / rho), last ** (1 / rho), count) ** rho
    return tuple(np.clip(levels, last, first).tolist())


def renoise(clean: Tensor, x: Tensor, sigma: float, following: float, noise: Noise, eta: float = 1.0) -> Tensor:
    r"""DDIM's step from x to the next level, as if x0 were `clean`.

    $$ x' = x_0 + \sqrt{\sigma'^2 - s^2}\,(x - x_0)/\sigma + s\xi, \; s = \eta\sigma'\sqrt{1 - \sigma'^2/\sigma^2} $$

    η = 1 is DDPM's ancestral step, q(x' | x, x0); η = 0 follows the probability flow.

    References:
        Song, Meng & Ermon 2021, Denoising Diffusion Implicit Models, arXiv:2010.02502.
    """
    if following == 0:
        return clean
    spread = eta * following * math.sqrt(1 - (following / sigma) ** 2)
    kept = math.sqrt(following**2 - spread**2) / sigma
    x = clean + kept * (x - clean)
    return x + spread * noise.use("renoise").normal(x.shape[2:]) if spread > 0 else x


def denoise_with_grad(problem: Posterior, x: Tensor, sigma: float) -> tuple[Tensor, Callable[..., Tensor]]:
    """D(x, σ), and the map from v to vᵀ∂D/∂x at the cost of a backward pass each; the last with `last=True`."""
    with torch.enable_grad():
        leaf = x.detach().requires_grad_()
        clean = problem.prior.denoise(leaf, sigma)
    check_differentiable(problem.prior, clean)

    def vjp(v: Tensor, last: bool = False) -> Tensor:
        try:
            return torch.autograd.grad(clean, leaf, v, retain_graph=not last)[0]
        except RuntimeError as error:
            if "donated_buffer" not in str(error):
                raise
            raise IncompatibleError(
                "the compiled network forgets a call after its first gradient, and several are needed: set "
                "torch._functorch.config.donated_buffer = False before it is first called, or take DPS or PiGDM"
            ) from error

    return clean.detach(), vjp


def check_differentiable(prior: ScorePrior, clean: Tensor) -> None:
    """Raise `IncompatibleError` if no gradient can go back through what a prior denoised."""
    if not clean.requires_grad:
        raise IncompatibleError(
            f"gradients through the denoiser are needed, and {type(prior).__name__} gives none: is it under "
            "torch.no_grad(), detached, or outside torch? DiffPIR, DAPS and TemperedSMC do without"
        )


def noise_variance(problem: Posterior, dims: int) -> Tensor:
    """σ_y² followed by `dims` singleton dimensions."""
    return expand_right(problem.likelihood.noise_std.to(problem.dtype), dims) ** 2


def white_guidance(problem: Posterior, clean: Tensor, sigma: float) -> tuple[Tensor, Tensor, Tensor]:
    """Aᵀw, ⟨w, y − AD⟩ and σ_y²‖w‖², with w = (r²AAᵀ + σ_y²)⁻¹(y − AD): the error of D taken for white.

    Products (S, B) and not w itself, which is a small difference of large numbers where σ_y is small.
    """
    operator, r2 = problem.operator, error_variance(problem.prior, sigma)
    residual = problem.y - operator(clean)
    # Aᵀ (r² AAᵀ + σ_y²)⁻¹ = (r² AᵀA + σ_y²)⁻¹ Aᵀ
    slope = operator.gram_function(
        lambda values: 1 / (r2 * values + noise_variance(problem, values.ndim)), operator.adjoint(residual)
    )
    rest = (residual - r2 * operator(slope)).abs().square()  # σ_y² w
    own = (rest / noise_variance(problem, len(operator.measurement_shape))).flatten(2).sum(2)
    return slope, own + r2 * slope.square().flatten(2).sum(2), own


def step_length(along: Tensor, own: Tensor, slope: Tensor, pulled: Tensor, sigma: float) -> Tensor:
    r"""How far to go along w towards the solution of the system of `MMPS`, by exact line search: (S, B, 1, …, 1).

    $$ \alpha = \frac{\langle w, y - AD\rangle}{\langle w, (\sigma_y^2 + \sigma^2 A J^T A^T)\,w\rangle} $$

    1 where w solves it. Of all lengths it leaves the least error in the norm of the system, and less than no step does:
    guidance by it cannot overshoot, however wrong the assumptions are by which w was made.

    Args:
        along: ⟨w, y − AD⟩, (S, B).
        own: σ_y²‖w‖², (S, B).
        slope: Aᵀw, (S, B, *event_shape).
        pulled: Jᵀ of it.
        sigma: σ.
    """
    system = own + sigma**2 * (slope * pulled).flatten(2).sum(2).clamp_min(0)  # a covariance is never negative
    return expand_right(along / system.clamp_min(torch.finfo(own.dtype).tiny), slope.ndim - 2)


def error_variance(prior: ScorePrior, sigma: float) -> float:
    """r² = σ_d²σ²/(σ_d² + σ²), the variance of a white image's entries given x at σ."""
    return prior.sigma_data**2 * sigma**2 / (prior.sigma_data**2 + sigma**2)
