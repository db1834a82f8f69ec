"""One-dimensional likelihoods against Gaussians, by adaptive Gauss–Lobatto quadrature: integrals, moments, draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from posterior.errors import InvalidValueError

Function = Callable[[Tensor, Tensor], Tensor]  # of points (P, n) of rows (P,)

_ORDER = 8  # nodes a panel
_CELLS = 64  # pieces of a panel on which draws take the density for linear
_TOLERANCE = 1e-6  # of the logarithm of a panel's integral
_NEGLIGIBLE = 40.0  # e⁻⁴⁰ of an integrand's maximum is nothing
_LEVELS = 40  # halvings, of which kinks need many
_FURTHEST = 4096  # standard deviations between a prior and what y asks for
_CHUNK = 1 << 22  # numbers in one piece of work


class GaussianQuadrature:
    r"""Integrals \(\int N(v; \nu, \tau^2)\, L_i(v)\, dv\) for many ν, on one grid for each row i.

    Panels are at most τ wide, cover what counts for any ν between the least and the greatest of a row, and are halved
    until the integral of L over each, tilted too, is known to 10⁻⁶ of itself: next to a narrow peak or a kink as
    often as it takes.

    Args:
        log_likelihood: log L of points (P, n) of rows (P,).
        slope: Its derivative, up to the sign; it tells where a peak may hide between nodes (if L is log-concave).
        least, greatest: Range of ν, (R,) each.
        tau: τ.

    Raises:
        InvalidValueError: L draws v further than 4096 τ away from every ν.
    """

    def __init__(self, log_likelihood: Function, slope: Function, least: Tensor, greatest: Tensor, tau: float) -> None:
        self._tau = tau
        reach = _reach(log_likelihood, least, greatest, tau)
        row, left, width = _panels(log_likelihood, slope, least, greatest, tau, reach)
        order = left.argsort()
        order = order[row[order].argsort(stable=True)]
        row, left, width = row[order], left[order], width[order]
        counts = row.bincount(minlength=len(least))
        place = (row, torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row])

        def by_row(values: Tensor, empty: float) -> Tensor:
            """(P, ...) → (R, most panels of a row, ...)."""
            padded = values.new_full((len(least), int(counts.max()), *values.shape[1:]), empty)
            return padded.index_put(place, values)

        nodes, log_weights = (rule.to(left) for rule in _lobatto())
        points = left[:, None] + width[:, None] * nodes
        self._nodes = by_row(points, 0.0)
        self._log_masses = by_row(log_likelihood(points, row) + log_weights + width[:, None].log(), -math.inf)
        edges = torch.linspace(0, 1, _CELLS + 1, dtype=left.dtype, device=left.device)
        points = left[:, None] + width[:, None] * edges
        self._edges, self._log_edges = by_row(points, 0.0), by_row(log_likelihood(points, row), -math.inf)

    def moments(self, nu: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The logarithm of ∫ N L dv, and mean and variance of v under N L: ν (K, R) → (K, R) each."""
        parts = []
        for chunk in self._chunks(len(nu)):
            masses = self._log_joint(nu[chunk]).flatten(2)
            log_integral = masses.logsumexp(2)
            shares = (masses - log_integral[..., None]).exp_()
            points = self._nodes.flatten(1)
            mean = (shares * points).sum(2)
            variance = (shares * (points - mean[..., None]).square()).sum(2)
            parts.append(torch.stack([log_integral - math.log(self._tau * math.sqrt(2 * math.pi)), mean, variance]))
        log_integral, mean, variance = torch.cat(parts, 1)
        return log_integral, mean, variance

    def draw(self, nu: Tensor, which: Tensor, first: Tensor, second: Tensor) -> Tensor:
        """Draws of v under N L, by inverting its distribution function.

        That of the panels is exact; within the panel the density is linear on 64 pieces.

        Args:
            nu: (K, R).
            which: For each draw the index of its ν, (S,).
            first, second: Uniform numbers (S, R).
        """
        draws = torch.empty_like(first)
        rows = torch.arange(nu.shape[1], device=nu.device)
        order = which.argsort()  # so that draws of one ν come together
        for chunk in self._chunks(len(which)):
            index = order[chunk]
            distinct, inverse = which[index].unique(return_inverse=True)
            panels = self._log_joint(nu[distinct]).logsumexp(3).softmax(2).cumsum(2)[inverse]
            panel = _invert(panels, first[index])
            edges = self._edges[rows, panel]  # (s, R, cells + 1)
            log_density = self._log_edges[rows, panel] - 0.5 * ((edges - nu[which[index], :, None]) / self._tau) ** 2
            density = (log_density - log_density.amax(2, keepdim=True)).exp()
            cumulative = (density[..., 1:] + density[..., :-1]).cumsum(2)
            cell = _invert(cumulative, second[index])[..., None]
            before = torch.cat([torch.zeros_like(cumulative[..., :1]), cumulative], 2)
            start, end = density.gather(2, cell), density.gather(2, cell + 1)
            rest = (second[index][..., None] * cumulative[..., -1:] - before.gather(2, cell)) / (start + end)
            rest = rest.clamp(0, 1)
            # the root of start ξ + (end − start) ξ²/2 = rest (start + end)/2
            part = rest * (start + end) / (start + (start**2 + rest * (end**2 - start**2)).sqrt())
            low = edges.gather(2, cell)
            draws[index] = (low + part * (edges.gather(2, cell + 1) - low))[..., 0]
        return draws

    def _log_joint(self, nu: Tensor) -> Tensor:
        """The logarithm of weight · L · exp(−(v − ν)²/2τ²) at the nodes: (K, R) → (K, R, panels, order)."""
        return self._log_masses - 0.5 * ((self._nodes - nu[..., None, None]) / self._tau) ** 2

    def _chunks(self, count: int) -> Iterator[slice]:
        size = max(1, _CHUNK // self._nodes.numel())
        return (slice(start, start + size) for start in range(0, count, size))


def _reach(log_likelihood: Function, least: Tensor, greatest: Tensor, tau: float) -> int:
    """How many τ beyond the ν of every row the integrand is negligible."""
    rows, reach = torch.arange(len(least), device=least.device), 9  # 9²/2 > 40: enough where L is flat
    while reach <= _FURTHEST:
        steps = torch.arange(reach + 1, dtype=least.dtype, device=least.device)
        ends = []
        for nu, sign in ((least, -1), (greatest, 1)):
            joint = log_likelihood(nu[:, None] + sign * tau * steps, rows) - 0.5 * steps.square()
            ends.append(joint[:, -1] - joint.amax(1))
        if bool((torch.stack(ends) < -_NEGLIGIBLE).all()):
            return reach
        reach *= 2
    raise InvalidValueError(f"y asks for values more than {_FURTHEST} standard deviations away from the prior's")


def _panels(
    log_likelihood: Function, slope: Function, least: Tensor, greatest: Tensor, tau: float, reach: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The rows, left ends and widths of the panels, (P,) each."""
    nodes, log_weights = (rule.to(least) for rule in _lobatto())
    both, both_weights = torch.cat([nodes / 2, (nodes + 1) / 2]), log_weights.repeat(2) - math.log(2)
    low, length = least - reach * tau, greatest - least + 2 * reach * tau
    count = math.ceil(float(length.max()) / tau)
    left = (low[:, None] + length[:, None] * torch.arange(count).to(low) / count).flatten()
    width = (length / count).repeat_interleave(count)
    row = torch.arange(len(low), device=low.device).repeat_interleave(count)
    best, peak, done = torch.full_like(low, -math.inf), torch.zeros_like(low), []
    for level in range(_LEVELS):
        points = left[:, None] + width[:, None] * nodes
        values = log_likelihood(points, row)
        most, where = values.max(1)
        best = best.scatter_reduce(0, row, most, "amax")
        highest = most == best[row]
        peak[row[highest]] = points.gather(1, where[:, None])[highest, 0]
        # For a ν, max (log L − (v − ν)²/2τ²) is at least its value at `peak`: what stays far below this bound counts
        # for no ν. It is linear in ν, so that the ends of the range tell.
        gain = torch.zeros_like(left)
        for nu in (least[row], greatest[row]):
            for end in (left, left + width):
                gain = torch.maximum(gain, ((peak[row] - nu) ** 2 - (end - nu) ** 2) / (2 * tau**2))
        bound = (values + slope(points, row).abs() * width[:, None]).amax(1)
        counts = bound >= best[row] - gain - _NEGLIGIBLE
        halves = log_likelihood(left[:, None] + width[:, None] * both, row) + both_weights
        error = (_tilted(values + log_weights, nodes) - _tilted(halves, both)).abs().amax(0)
        split = counts & (error > _TOLERANCE) if level < _LEVELS - 1 else torch.zeros_like(counts)
        done.append(torch.stack([row.to(left), left, width])[:, counts & ~split])
        if not bool(split.any()):
            break
        row, left, width = row[split].repeat(2), left[split], width[split] / 2
        left, width = torch.cat([left, left + width]), width.repeat(2)
    row, left, width = torch.cat(done, 1)
    return row.long(), left, width


def _tilted(values: Tensor, places: Tensor) -> Tensor:
    """The logarithm of Σ exp(values + a · places), values (P, n), for three tilts a, as of the Gaussian: (3, P)."""
    return torch.stack([(values + tilt * places).logsumexp(1) for tilt in (-4, 0, 4)])


def _lobatto() -> tuple[Tensor, Tensor]:
    """Nodes and log weights of the Gauss–Lobatto rule on [0, 1], (order,); ends among them see what hides there."""
    legendre = np.polynomial.Legendre.basis(_ORDER - 1)
    nodes = np.concatenate([[-1.0], legendre.deriv().roots(), [1.0]])
    weights = 2 / (_ORDER * (_ORDER - 1) * legendre(nodes) ** 2)
    return torch.from_numpy((nodes + 1) / 2), torch.from_numpy(np.log(weights / 2))


def _invert(cumulative: Tensor, uniform: Tensor) -> Tensor:
    """Index drawn from cumulative probabilities (..., n), which need not end at 1, by uniforms (...)."""
    target = uniform[..., None] * cumulative[..., -1:]
    return torch.searchsorted(cumulative, target).squeeze(-1).clamp_max(cumulative.shape[-1] - 1)
