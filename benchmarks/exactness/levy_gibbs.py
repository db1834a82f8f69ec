"""The posterior of a Lévy process by Gibbs sampling: given the variances of its increments it is Gaussian."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from benchmarks.exactness.levy_increments import laplace_variances
from benchmarks.exactness.levy_prior import LevyPrior
from posterior.noise import Noise
from posterior.problem import Posterior

_RELOCATIONS = 8  # of jumps, a sweep


def measurement_matrix(problem: Posterior) -> tuple[Tensor, Tensor]:
    """The operator as a real matrix (m, n), and the measurements as real vectors (B, m), over σ_y."""
    operator, std = problem.likelihood.operator, problem.likelihood.noise_std
    images = torch.eye(math.prod(operator.event_shape), dtype=torch.float64)
    columns = operator(images.view(-1, *operator.event_shape)).flatten(1)
    y = problem.y.flatten(1)
    if columns.is_complex():
        columns, y = torch.cat([columns.real, columns.imag], 1), torch.cat([y.real, y.imag], 1)
    seen = columns.abs().amax(0) > 1e-12
    return columns[:, seen].T / float(std), y[:, seen] / float(std)


class GibbsPosterior:
    r"""Markov chains of the increments' variances w, with the increments u integrated out where they may be zero.

    With \(y = Su + \varepsilon\), chains draw \(u \mid w \sim N\) and \(w \mid u\) in turn. Where increments may be
    zero (w = 0) they go by \(T = S^\top B^{-1} S\) and \(\beta = S^\top B^{-1} y\), \(B = I + S\,\mathrm{diag}(w)
    S^\top\), which say how p(y | w) changes with one w: each increment is zero or not, and its w, is drawn given the
    other w's; then some jumps are moved to a place that is drawn given all else.

    Args:
        problem: Linear-Gaussian, with a `LevyPrior`.
        chains: How many, for each measurement.
        seed: Of all random numbers.
    """

    def __init__(self, problem: Posterior, chains: int, seed: int = 0) -> None:
        prior = problem.prior
        assert isinstance(prior, LevyPrior)
        self.law, self.unit, self.event_shape = prior.law, float(prior.unit), prior.event_shape
        matrix, y = measurement_matrix(problem)
        self.length = matrix.shape[1]
        sums = self.unit * torch.ones(self.length, self.length, dtype=torch.float64).tril()
        effect = matrix @ sums  # S
        self.gram, self.target = effect.T @ effect, y @ effect  # (n, n), (B, n)
        self.noise = Noise.of(seed, len(y), dtype=torch.float64).use("gibbs").for_draws(chains)
        self.increments = self.law.draw((self.length,), self.noise.use("start"))
        self.variances = self.law.draw_variances(self.increments, self.noise.use("start", "w"))
        self.variances = self.variances * (self.increments != 0)
        self._refresh(self.noise.use("start", "u"))

    def sample(self, burn_in: int, kept: int, thinning: int) -> Tensor:
        """Signals (kept, chains, B, 1, n), one of `thinning` sweeps."""
        draws = []
        for sweep in range(burn_in + kept * thinning):
            noise = self.noise.at(sweep + 1)
            if self.law.share < 1:
                self._flip(noise)
                self._relocate(noise)
            else:
                self.variances = self.law.draw_variances(self.increments, noise)
            due = sweep >= burn_in and (sweep - burn_in) % thinning == thinning - 1
            if due or self.law.share == 1:
                self._refresh(noise)
            if due:
                draws.append(self.unit * self.increments.cumsum(-1))
        return torch.stack(draws).unflatten(-1, self.event_shape)

    def _refresh(self, noise: Noise) -> None:
        """Draw u given w, and compute T and β anew, which collect rounding."""
        root = self.variances.sqrt()
        scaled = root[..., None] * self.gram  # √w S^T S
        factor = torch.linalg.cholesky(torch.eye(self.length).double() + scaled * root[..., None, :])
        right = torch.linalg.solve_triangular(factor, (root * self.target)[..., None], upper=False)
        normal = noise.use("u").normal((self.length, 1))
        self.increments = root * torch.linalg.solve_triangular(factor.mT, right + normal, upper=True)[..., 0]
        if self.law.share < 1:
            half = torch.linalg.solve_triangular(factor, scaled, upper=False)
            self.precision = self.gram - half.mT @ half
            self.pull = self.target - (half.mT @ right)[..., 0]

    def _change(self, places: Tensor, change: Tensor) -> None:
        """Add `change` (S, B) to w at `places` (S, B), and update T and β where it is not 0."""
        s, b = (change != 0).nonzero(as_tuple=True)
        k, delta = places[s, b], change[s, b]
        column = self.precision[s, b, k]  # (rows, n)
        factor = delta / (1 + delta * column.gather(1, k[:, None])[:, 0])
        self.pull[s, b] -= (factor * self.pull[s, b, k])[:, None] * column
        self.precision[s, b] -= (factor[:, None] * column)[:, :, None] * column[:, None]
        self.variances[s, b, k] += delta

    def _flip(self, noise: Noise) -> None:
        """Draw each w given the other ones: whether it is 0, else u and then w given u."""
        uniform = noise.use("flip").uniform((self.length, 4)).unbind(-1)
        normal = noise.use("w").normal((self.length,))
        odds = math.log(self.law.share / (1 - self.law.share))
        for k in range(self.length):
            w = self.variances[..., k]
            without = 1 - w * self.precision[..., k, k]
            tau = (self.precision[..., k, k] / without).clamp_min(1e-9)
            beta = self.pull[..., k] / without
            # ∫ ½ exp(−|u|) exp(βu − ½τu²) du, the two signs of u apart.
            std = tau.rsqrt()
            above, below = (1 - beta) * std, (1 + beta) * std  # least normal deviates of u > 0 and of −u > 0
            logs = torch.stack([_log_mills(above), _log_mills(below)]) + (0.5 * std).log()
            u = [numbers[..., k] for numbers in uniform]
            jumps = u[0] < torch.sigmoid(odds + logs.logsumexp(0))
            positive = u[1] < torch.sigmoid(logs[0] - logs[1])
            size = std * _beyond(torch.where(positive, above, below), u[2])
            drawn = laplace_variances(size, normal[..., k], u[3])
            self._change(torch.full_like(w, k, dtype=torch.long), torch.where(jumps, drawn, 0.0) - w)

    def _relocate(self, noise: Noise) -> None:
        """Move a jump to a place that is drawn given its w and all the others, several times."""
        uniform = noise.use("relocate").uniform((_RELOCATIONS, 2))
        for turn in range(_RELOCATIONS):
            active = self.variances > 0
            some = active.any(-1)
            chosen = _choose(active.double() + 1e-12, uniform[..., turn, 0])
            w = self.variances.gather(-1, chosen[..., None])
            column = self.precision.gather(-2, chosen[..., None, None].expand(*some.shape, 1, self.length))[..., 0, :]
            own = column.gather(-1, chosen[..., None])
            factor = w / (1 - w * own)  # of the rank-one update that takes the jump away
            tau = self.precision.diagonal(dim1=-2, dim2=-1) + factor * column.square()
            beta = self.pull + factor * self.pull.gather(-1, chosen[..., None]) * column
            evidence = 0.5 * (w * beta.square() / (1 + w * tau) - (w * tau).log1p())
            free = ~active | (torch.arange(self.length) == chosen[..., None])
            place = _choose(evidence.masked_fill(~free, -math.inf).softmax(-1), uniform[..., turn, 1])
            moved = w[..., 0] * (some & (place != chosen))
            self._change(chosen, -moved)
            self._change(place, moved)


def _log_mills(a: Tensor) -> Tensor:
    """Logarithm of ∫ exp(−az − ½z²) dz over z > 0, √(π/2) erfcx(a/√2)."""
    return 0.5 * a.square() + torch.special.log_ndtr(-a) + 0.5 * math.log(2 * math.pi)


def _beyond(a: Tensor, uniform: Tensor) -> Tensor:
    """Draw z > 0 of a density ∝ exp(−az − ½z²), a normal deviate beyond a, less a."""
    tail = uniform * torch.special.ndtr(-a)
    return torch.where(a < 30, -torch.special.ndtri(tail) - a, -uniform.log() / a).clamp_min(1e-12)


def _choose(weights: Tensor, uniform: Tensor) -> Tensor:
    """An index (S, B) with probability in proportion to weights (S, B, n)."""
    total = weights.cumsum(-1)
    return (total < uniform[..., None] * total[..., -1:]).sum(-1).clamp_max(weights.shape[-1] - 1)
