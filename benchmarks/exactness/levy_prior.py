"""Lévy processes, sums of independent increments, with a denoiser that is exact by forward–backward on a lattice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmarks.exactness.levy_increments import Increments
from posterior.noise import Noise
from posterior.priors import ScorePrior

_REACH = 4.5  # noise levels on each side of an observation that its window holds
_WIDE = 2.0  # noise level, in units of the increments, from which rows share one window
_TINY = 1e-30  # least mass of a lag, so that no message is zero in single precision
_ENTRIES = 1 << 16  # entries at a time of the rows' transition matrices, so that they stay in the cache
_STEP = 0.02  # largest entry of a difference's step, in noise levels
_NODES = 1 << 18  # nodes at a time, of rows that share a matrix


class LevyPrior(ScorePrior):
    r"""The process \(x_k = x_{k-1} + u_k\), \(x_0 = 0\), scaled to a root mean square of 0.5 as images have it.

    The posterior of the Markov chain x given \(z = x + \sigma\varepsilon\) is computed by forward–backward on the
    lattice δℤ. Its messages are smooth on the scale of σ, for which sums converge exponentially in σ/δ; a lag other
    than 0 has the mass δ f(lag), and lag 0 that which makes the masses sum to one, atom included (Euler–Maclaurin):

    $$ m_0 = P(u = 0) + \delta f(0) + \tfrac{\delta^2}{6} f'(0^+) $$

    At low noise a point's window is ±5.5 σ about z; at high noise all points share one.

    Args:
        law: Law of the increments.
        length: Points of a signal.
        fineness: Divides the spacing δ, to see that it does not matter.
    """

    unit: Tensor

    def __init__(self, law: Increments, length: int = 64, fineness: int = 1) -> None:
        super().__init__()
        self.law, self.event_shape, self.fineness = law, (1, length), fineness
        self.sigma_data = 0.5
        self.sigma_min, self.sigma_max = 1e-4, 10 * math.sqrt(length) * self.sigma_data
        mean_variance = law.variance * (length + 1) / 2
        self.limit = 6 * math.sqrt(law.variance * length)  # beyond which the process practically does not go
        self.register_buffer("unit", torch.tensor(self.sigma_data / math.sqrt(mean_variance), dtype=torch.float64))

    def exact_sample(self, num_samples: int, noise: Noise) -> Tensor:
        """Signals (num_samples, B, 1, length)."""
        return float(self.unit) * self.law.draw(self.event_shape, noise.for_draws(num_samples)).cumsum(-1)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        denoised: Tensor = _Denoise.apply(x, sigma, self)
        return denoised

    def denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The denoised rows, without a derivative."""
        z, levels = x.flatten(1).double() / self.unit, sigma.double() / self.unit
        means = torch.empty_like(z)
        for level in levels.unique():
            rows = (levels == level).nonzero()[:, 0]
            means[rows] = self._level_mean(z[rows], float(level))
        return (self.unit * means).view(x.shape).to(x.dtype)

    def _level_mean(self, z: Tensor, sigma: float) -> Tensor:
        """E[x | z] of rows z (N, n) at one noise level, in units of the increments."""
        least = 3 if self.law.share < 1 else 1.25  # where increments may be zero the posterior is narrower than σ
        spacing = min(sigma / least, 1.0) / self.fineness
        if sigma > _WIDE:
            low = min(max(float(z.min()) - _REACH * sigma, -self.limit), 0.0)
            high = max(min(float(z.max()) + _REACH * sigma, self.limit), 0.0)
            first, count = z.new_full((1, 1), math.floor(low / spacing)), math.ceil((high - low) / spacing) + 2
            parts = z.split(max(1, _NODES // (z.shape[1] * count)))
            return torch.cat([self._on_windows(rows, sigma, spacing, first, count) for rows in parts])
        half = math.ceil(_REACH * sigma / spacing)
        first, count = (z / spacing).round() - half, 2 * half + 1
        size = max(1, _ENTRIES // count**2)
        parts = zip(z.split(size), first.split(size), strict=True)
        return torch.cat([self._on_windows(rows, sigma, spacing, start, count) for rows, start in parts])

    def _on_windows(self, z: Tensor, sigma: float, spacing: float, first: Tensor, count: int) -> Tensor:
        """The means, from windows of so many nodes whose first have the indices `first` (N, n), or (1, 1) for one."""
        nodes = torch.arange(count, device=z.device).float()
        away = (first * spacing - z).float()[..., None] + spacing * nodes  # x − z at the nodes, (N, n, M)
        log_likelihood = -0.5 * (away / sigma).square()
        likelihood = (log_likelihood - log_likelihood.amax(-1, keepdim=True)).exp()
        start = self._mass(first[:, :1, None].float() + nodes, spacing)
        lags = nodes - nodes[:, None]  # to the node of a column from that of a row
        jumps = first.diff(dim=1).float()[..., None, None].unbind(1)
        steps = [self._mass(jump + lags, spacing) for jump in jumps] or [self._mass(lags, spacing)] * (z.shape[1] - 1)
        return z + (_posterior(likelihood, start, steps) * away).sum(-1)

    def _mass(self, lags: Tensor, spacing: float) -> Tensor:
        """Probabilities of increments of so many nodes."""
        mass = self.law.density(spacing * lags).mul_(self.law.share * spacing).clamp_min_(_TINY)
        origin = float(self.law.density(torch.zeros(()))) + spacing * self.law.corner / 6
        return mass.masked_fill_(lags == 0, 1 - self.law.share + self.law.share * spacing * origin)


class _Denoise(torch.autograd.Function):
    """The denoiser with its derivative: the Jacobian Cov(x | z)/σ² is symmetric, so vᵀJ is a directional derivative.

    It is a symmetric difference: through the messages, whose least masses are 10⁻³⁰, derivatives overflow.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, sigma: Tensor, prior: LevyPrior) -> Tensor:
        ctx.save_for_backward(x, sigma)
        ctx.prior = prior
        return prior.denoised(x, sigma)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        x, sigma = ctx.saved_tensors
        size = v.abs().amax((1, 2), keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
        step = _STEP * sigma.to(v.dtype)[:, None, None]
        ahead, behind = (ctx.prior.denoised(x + sign * step * v / size, sigma) for sign in (1, -1))
        return (ahead - behind) * size / (2 * step), None, None


def _posterior(likelihood: Tensor, start: Tensor, steps: Sequence[Tensor]) -> Tensor:
    """Probabilities (N, n, M) of the nodes of a Markov chain given its observations.

    Args:
        likelihood: p(z_k | x_k) at the nodes, up to a factor (N, n, M).
        start: p(x_1), (N or 1, 1, M).
        steps: n − 1 times p(x_{k+1} | x_k), (M, M) or (N, M, M).
    """
    parts = likelihood.split(1, dim=1)  # (N, 1, M) each
    forward = [_normalised(start * parts[0])]
    for step, part in zip(steps, parts[1:], strict=True):
        forward.append(_normalised((forward[-1] @ step) * part))
    message = torch.ones_like(parts[0])
    weights = [forward.pop()]
    for step, part in zip(steps[::-1], parts[:0:-1], strict=True):
        message = _normalised(message * part) @ step.mT
        weights.append(_normalised(forward.pop() * message))
    return torch.cat(weights[::-1], dim=1)


def _normalised(message: Tensor) -> Tensor:
    return message / message.sum(-1, keepdim=True)
