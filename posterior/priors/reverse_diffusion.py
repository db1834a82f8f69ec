r"""Reverse diffusion: draws of p(x) and of p(x0 | x0 + ρε = z) from a denoiser, by a multistep solver.

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

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from posterior.errors import InvalidValueError
from posterior.noise import Noise

# First and last noise level of a conditional draw at ρ = 1 in six calls, and the variance of its reference Gaussian:
# with them the variance of a Gaussian of any width comes out within 0.002 ρ², a third of that in eight calls.
_FIRST, _LAST, _VARIANCE = 3.3, 0.16, 0.255
# The same of a draw from the prior in 16 calls, in units of sigma_data; a distance is taken to be at least so large.
_PRIOR_DISTANCE, _PRIOR_LAST, _PRIOR_VARIANCE = 5.0, 0.05, 0.3


class Denoiser(Protocol):
    """What reverse diffusion needs of a prior; `ScorePrior` says what each is."""

    event_shape: tuple[int, ...]
    sigma_data: float
    sigma_min: float
    sigma_max: float

    def denoise(self, x: Tensor, sigma: Tensor | float) -> Tensor:
        """D(x, σ) of images (..., *event_shape)."""

    def mean(self) -> Tensor:
        """The mean image (*event_shape)."""


def geometric_levels(first: Tensor, last: Tensor, count: int) -> Tensor:
    """Noise levels from `first` down to `last` in equal ratios, (count, *shape of first)."""
    fraction = torch.linspace(0, 1, count, dtype=first.dtype, device=first.device)
    fraction = fraction.reshape(-1, *[1] * first.ndim)
    return first * (last / first) ** fraction


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
    wide = variance.double()  # times lie close together where t is small
    times, slopes = [torch.zeros_like(levels[0], dtype=torch.float64)], [torch.zeros_like(u)]  # the slope at τ = 0
    for t in levels:
        time = (wide + t.double() ** 2).rsqrt()
        w = centre + _integral(u, times[-3:], slopes[-3:], times[-1], time).div_(time.to(u.dtype))
        times.append(time)
        slopes = [*slopes[-3:], flow_slope(denoise(w, t), w, t, centre, variance)]  # no more are looked at
        del w  # of large images every copy counts
        u = _integral(u, times[-4:], slopes[-4:], times[-2], time)
    u = _integral(u, times[-3:], slopes[-3:], times[-1], wide.rsqrt())
    return centre + u.mul_(variance.sqrt())


def _integral(u: Tensor, times: list[Tensor], slopes: list[Tensor], start: Tensor, end: Tensor) -> Tensor:
    """u and the integral from start to end of the polynomial through the slopes at some times."""
    step = end - start
    nodes = torch.stack([(time - start) / step for time in times], -1)  # in units of the step, for conditioning
    powers = torch.arange(len(times), device=end.device)
    weights = torch.linalg.solve((nodes[..., None] ** powers).mT, 1.0 / (powers.to(nodes) + 1).expand_as(nodes))
    total = u.clone()
    for weight, slope in zip(weights.unbind(-1), slopes, strict=True):
        total.addcmul_((step * weight).to(slope.dtype), slope)
    return total


def flow_slope(denoised: Tensor, w: Tensor, t: Tensor, centre: Tensor, variance: Tensor) -> Tensor:
    """du/dτ = (D − m) + v (D − w)/t²."""
    return (denoised - w).mul_(variance / t**2).add_(denoised).sub_(centre)


def sample(prior: Denoiser, noise: Noise, steps: int) -> Tensor:
    """Draw from p(x) by the probability-flow ODE: (S, B, *event_shape)."""
    if steps < 2:
        raise InvalidValueError(f"a draw from the prior takes at least 2 steps, got {steps}")
    variance = torch.tensor(prior.sigma_data**2, dtype=noise.dtype, device=noise.keys.device)
    # √(2n)·sigma_data is about the largest distance between two images (Song & Ermon 2020, arXiv:2006.09011). A prior
    # whose variance is mostly in one component is not yet hidden there: the first step, which ends where nothing has
    # corrected it, is from twice that. It goes down by three at once, for in τ that is a step as long as the next.
    distance = max(math.sqrt(2 * math.prod(prior.event_shape)), _PRIOR_DISTANCE) * prior.sigma_data
    first = min(2 * distance, prior.sigma_max)
    last = max(_PRIOR_LAST * 16 / steps * prior.sigma_data, prior.sigma_min)
    ends = variance.new_tensor([first, min(first, distance) / 1.5, last])
    levels = torch.cat([ends[:1], geometric_levels(ends[1], ends[2], steps - 1)])
    start = noise.use("start").normal(tuple(prior.event_shape))
    return flow_ode(prior.denoise, start, levels, prior.mean().to(variance), _PRIOR_VARIANCE * variance)


def sample_denoised(
    prior: Denoiser, z: Tensor, sigma: Tensor | float, noise: Noise, steps: int, denoised: Tensor | None = None
) -> Tensor:
    r"""Draw from p(x0 | x0 + ρε = z) by its own probability-flow ODE, \(\rho\) = sigma; D(z, ρ) may be known.

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
        mean = (w - z).mul_((mixed / t) ** 2).add_(z)
        return prior.denoise(mean, mixed.reshape(mixed.shape[: mixed.ndim - len(event)]))

    count = steps - 1
    last = torch.maximum(_LAST * (5 / count) * rho, (prior.sigma_min**-2 - rho**-2).clamp_min(0.01 * rho**-2).rsqrt())
    levels = geometric_levels(torch.maximum(_FIRST * (count / 5) ** 0.9 * rho, 2 * last), last, count)
    variance = _VARIANCE * rho**2
    centre = prior.denoise(z, rho.reshape(rho.shape[: rho.ndim - len(event)])) if denoised is None else denoised
    return flow_ode(denoise, noise.use("start").normal(event), levels, centre, variance)
