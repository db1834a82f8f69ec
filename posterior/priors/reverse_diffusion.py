r"""Reverse diffusion: draws of p(x) and of p(x0 | x0 + ρε = z) from a denoiser, by second-order multistep solvers.

The probability-flow ODE \(dw/dt = (w - D(w, t))/t\) of a noisy variable \(w_t = x_0 + t\varepsilon\) is integrated
from a large t to zero. With a reference Gaussian N(m, v) it reads

$$ \frac{du}{d\tau} = (D - m) + v\,\frac{D - w}{t^2}, \qquad
   u = \frac{w - m}{\sqrt{v + t^2}}, \quad \tau = \frac{1}{\sqrt{v + t^2}}, $$

whose right-hand side vanishes at τ = 0 (t = ∞) and is zero throughout if x0 is N(m, vI): that case is exact however
few the steps.

References:
    Lu et al. 2022, DPM-Solver++: Fast Solver for Guided Sampling of Diffusion Probabilistic Models, arXiv:2211.01095.
    Zhao, Bai, Rao, Zhou & Lu 2023, UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of Diffusion
    Models, arXiv:2302.04867.
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

# First and last noise level of a conditional draw at ρ = 1 in six calls, and the variance of its reference Gaussian: with
# them the variance of a Gaussian of any width comes out within 0.002 ρ², a third of that in eight calls.
_FIRST, _LAST, _VARIANCE = 3.3, 0.16, 0.255


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
    denoise: Callable[[Tensor, Tensor], Tensor], u: Tensor, levels: Tensor, centre: Tensor, variance: Tensor
) -> Tensor:
    """Integrate the probability-flow ODE from t = ∞ through the levels to zero; one call a level.

    Adams' multistep method: a predictor of third order goes ahead to the next level, and the slope that is found there
    corrects it to fourth order at no further call (Zhao et al. 2023).

    Args:
        denoise: E[x0 | w_t = w] as a function of (w, t).
        u: Standard Gaussian start.
        levels: Decreasing positive noise levels (steps, *shape broadcastable to u).
        centre, variance: Reference Gaussian m and v > 0, broadcastable to u.
    """
    times, slopes = [torch.zeros_like(levels[0])], [torch.zeros_like(u)]  # the slope at τ = 0
    for t in levels:
        time = (variance + t**2).rsqrt()
        w = centre + (u + _integral(times[-3:], slopes[-3:], times[-1], time)) / time
        times.append(time)
        slopes.append(flow_slope(denoise(w, t), w, t, centre, variance))
        u = u + _integral(times[-4:], slopes[-4:], times[-2], time)
    u = u + _integral(times[-3:], slopes[-3:], times[-1], variance.rsqrt())
    return centre + u * variance.sqrt()


def _integral(times: list[Tensor], slopes: list[Tensor], start: Tensor, end: Tensor) -> Tensor:
    """The integral from start to end of the polynomial through the slopes at some times."""
    nodes = torch.stack([(time / end).double() for time in times], -1)  # relative to the end, for conditioning
    powers = torch.arange(len(times), device=end.device)
    moments = (1 - (start / end).double()[..., None] ** (powers + 1)) / (powers + 1)
    weights = torch.linalg.solve((nodes[..., None] ** powers).mT, moments)
    return sum(
        ((end * w).to(slope.dtype) * slope for w, slope in zip(weights.unbind(-1), slopes, strict=True)), 0 * end
    )


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

    count = steps - 1
    last = torch.maximum(_LAST * (5 / count) * rho, (prior.sigma_min**-2 - rho**-2).clamp_min(0.01 * rho**-2).rsqrt())
    levels = geometric_levels(torch.maximum(_FIRST * (count / 5) ** 0.9 * rho, 2 * last), last, count)
    variance = _VARIANCE * rho**2
    centre = prior.denoise(z, rho.reshape(rho.shape[: rho.ndim - len(event)]))
    return flow_ode(denoise, noise.use("start").normal(event), levels, centre, variance)
