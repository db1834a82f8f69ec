r"""Reverse diffusion: draws of p(x) and of p(x0 | x0 + ρε = z) from a denoiser, by second-order multistep solvers.

The probability-flow ODE \(dw/dt = (w - D(w, t))/t\) of a noisy variable \(w_t = x_0 + t\varepsilon\) is integrated
from a large t to zero. With a reference Gaussian N(m, v) it reads

$$ \frac{du}{d\tau} = (D - m) + v\,\frac{D - w}{t^2}, \qquad
   u = \frac{w - m}{\sqrt{v + t^2}}, \quad \tau = \frac{1}{\sqrt{v + t^2}}, $$

whose right-hand side vanishes at τ = 0 (t = ∞) and is zero throughout if x0 is N(m, vI): that case is exact however
few the steps. With v = 0 it is DPM-Solver++.

References:
    Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models, arXiv:2211.01095.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise

if TYPE_CHECKING:
    from posterior.priors.base import ScorePrior


def geometric_levels(first: Tensor, last: Tensor, count: int) -> Tensor:
    """Noise levels from `first` down to `last` in equal ratios, (count, *shape of first)."""
    fraction = torch.linspace(0, 1, count, dtype=first.dtype, device=first.device)
    fraction = fraction.reshape(-1, *[1] * first.ndim)
    return first * (last / first) ** fraction


def power_levels(first: Tensor, last: Tensor, count: int, power: float = 7.0) -> Tensor:
    """Noise levels equally spaced in σ^{1/power} (Karras et al. 2022), (count, *shape of first)."""
    fraction = torch.linspace(0, 1, count, dtype=first.dtype, device=first.device)
    fraction = fraction.reshape(-1, *[1] * first.ndim)
    return (first ** (1 / power) * (1 - fraction) + last ** (1 / power) * fraction) ** power


def flow_ode(
    denoise: Callable[[Tensor, Tensor], Tensor], w: Tensor, levels: Tensor, centre: Tensor, variance: Tensor
) -> Tensor:
    """Integrate the probability-flow ODE from w at levels[0] through levels[-1] to zero; one call a level.

    Args:
        denoise: E[x0 | w_t = w] as a function of (w, t).
        w: Start, at noise level levels[0].
        levels: Decreasing positive noise levels (steps, *shape broadcastable to w).
        centre, variance: Reference Gaussian m and v, broadcastable to w.
    """
    times = (variance + levels**2).rsqrt()
    u = (w - centre) * times[0]
    past_slope, past_time = torch.zeros_like(u), torch.zeros_like(times[0])  # the slope at τ = 0
    for t, time, next_time in zip(levels[:-1], times[:-1], times[1:], strict=True):
        slope = flow_slope(denoise(w, t), w, t, centre, variance)
        step = next_time - time
        u = u + step * (slope + (slope - past_slope) * (step / (2 * (time - past_time))))
        past_slope, past_time = slope, time
        w = centre + u / next_time
    # The last step jumps to t = 0: to D, corrected so that the reference Gaussian keeps its variance.
    shrink = variance / (variance + levels[-1] ** 2)
    return denoise(w, levels[-1]) + (shrink.sqrt() - shrink) * (w - centre)


def flow_slope(denoised: Tensor, w: Tensor, t: Tensor, centre: Tensor, variance: Tensor) -> Tensor:
    """du/dτ = (D − m) + v (D − w)/t²."""
    return (denoised - centre) + (variance / t**2) * (denoised - w)


def stochastic(
    denoise: Callable[[Tensor, Tensor], Tensor], w: Tensor, levels: Tensor, noise: Noise, event: tuple[int, ...]
) -> Tensor:
    r"""Integrate the reverse SDE from w at levels[0] through levels[-1] to zero; one call a level.

    $$ w' = (t'/t)^2 w + (1 - (t'/t)^2)\,(D + (D - D_{past})\, h / 2h_{past}) + t' \sqrt{1 - (t'/t)^2}\,\varepsilon $$

    with h the steps in log t (DPM-Solver++ SDE, second order, multistep).
    """
    past: Tensor | None = None
    for i, (t, after) in enumerate(pairwise(levels)):
        denoised = denoise(w, t)
        ahead = denoised
        if past is not None:
            ahead = denoised + (denoised - past) * ((t / after).log() / (2 * (levels[i - 1] / t).log()))
        ratio = (after / t) ** 2
        w = ratio * w + (1 - ratio) * ahead + after * (1 - ratio).sqrt() * noise.use(i).normal(event)
        past = denoised
    return denoise(w, levels[-1])


def sample(prior: ScorePrior, noise: Noise, steps: int) -> Tensor:
    """Draw from p(x): (S, B, *event_shape)."""
    if steps < 2:
        raise InvalidValueError(f"a draw from the prior takes at least 2 steps, got {steps}")
    event = tuple(prior.event_shape)
    first = torch.tensor(prior.sigma_max, dtype=noise.dtype, device=noise.keys.device)
    levels = power_levels(first, first.new_tensor(max(prior.sigma_min, 0.02 * prior.sigma_data)), steps)
    w = prior.mean().to(first) + (first**2 + prior.sigma_data**2).sqrt() * noise.use("start").normal(event)
    return stochastic(prior.denoise, w, levels, noise.use("sde"), event)


def sample_denoised(prior: ScorePrior, z: Tensor, sigma: Tensor | float, noise: Noise, steps: int) -> Tensor:
    r"""Draw from p(x0 | x0 + ρε = z) by its own probability-flow ODE, \(\rho\) = sigma.

    For \(w_t = x_0 + t\varepsilon'\) two independent Gaussian views of x0 combine,
    \(E[x_0 \mid z, w_t] = D(\bar x, \bar\sigma)\) with \(\bar\sigma^{-2} = \rho^{-2} + t^{-2}\),
    \(\bar x = \bar\sigma^2 (z/\rho^2 + w_t/t^2)\).
    """
    if steps < 3:
        raise InvalidValueError(f"a draw of x0 given a noisy image takes at least 3 steps, got {steps}")
    event = tuple(prior.event_shape)
    rho = torch.as_tensor(sigma, dtype=z.dtype, device=z.device)
    rho = rho.reshape(rho.shape + (1,) * len(event))

    def denoise(w: Tensor, t: Tensor) -> Tensor:
        mixed = (rho**-2 + t**-2).rsqrt().clamp_min(prior.sigma_min)
        mean = z + (mixed / t) ** 2 * (w - z)
        return prior.denoise(mean, mixed.reshape(mixed.shape[: mixed.ndim - len(event)]))

    spread = (steps / 6) ** 0.7
    last = torch.maximum(0.1 / spread * rho, (prior.sigma_min**-2 - rho**-2).clamp_min(0.01 * rho**-2).rsqrt())
    levels = geometric_levels(torch.maximum(3 * spread * rho, 2 * last), last, steps - 1)
    variance = 0.3 * rho**2
    centre = prior.denoise(z, rho.reshape(rho.shape[: rho.ndim - len(event)]))
    w = centre + (levels[0] ** 2 + variance).sqrt() * noise.use("start").normal(event)
    return flow_ode(denoise, w, levels, centre, variance)
