"""Weighted populations: effective sizes, temperature steps, resampling, and the ancestry of particles.

A population is (N, B, …): N particles for each of B measurements, in islands of consecutive ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.shapes import expand_right


def take(values: Tensor, index: Tensor) -> Tensor:
    """Particles by index, for each measurement: (N, B, …) by (N, B)."""
    return values.gather(0, expand_right(index, values.ndim - 2).expand(*index.shape, *values.shape[2:]))


def conditional_effective_sample_size(log_weights: Tensor, log_increments: Tensor) -> Tensor:
    r"""\(N (\sum W v)^2 / \sum W v^2\) for increments v of a population with weights W, both as logarithms: (B,).

    References:
        Zhou, Johansen & Aston 2016, Toward automatic model comparison: an adaptive sequential Monte Carlo approach,
        JCGS 25.
    """
    log_weights = log_weights.log_softmax(0)
    first, second = ((log_weights + power * log_increments).logsumexp(0) for power in (1, 2))
    return len(log_weights) * (2 * first - second).exp()


def temperature_increment(log_weights: Tensor, log_likelihood: Tensor, beta: Tensor, target: float) -> Tensor:
    """Largest Δβ ≤ 1 − β at which increments L^Δβ keep a conditional effective size of `target`, (B,), by bisection."""

    def enough(increment: Tensor) -> Tensor:
        return conditional_effective_sample_size(log_weights, increment * log_likelihood) >= target

    high = 1 - beta
    reaches = enough(high)
    low_log, high_log = torch.full_like(high, -60.0), high.log()
    for _ in range(60):  # on a logarithmic scale: early temperatures can be 1e-6 and less
        middle = 0.5 * (low_log + high_log)
        reached = enough(middle.exp())
        low_log, high_log = torch.where(reached, middle, low_log), torch.where(reached, high_log, middle)
    return torch.where(reaches, high, low_log.exp())


def systematic(log_weights: Tensor, uniform: Tensor, count: int | None = None) -> Tensor:
    """Systematic resampling of log-weights (N, B) with one uniform each (B,): indices (N or count, B), in order.

    References:
        Kitagawa 1996, Monte Carlo filter and smoother for non-Gaussian nonlinear state space models, JCGS 5.
    """
    size = len(log_weights)
    cumulative = log_weights.double().softmax(0).cumsum(0).T.contiguous()
    count = count or size
    points = (torch.arange(count, dtype=torch.float64, device=uniform.device) + uniform.double()[:, None]) / count
    index = torch.searchsorted(cumulative, points * cumulative[:, -1:]).clamp_max(size - 1).T
    # Equal weights keep every particle where it is, whatever rounding says.
    same = (log_weights == log_weights[0]).all(0) & (count == size)
    return torch.where(same, torch.arange(count, device=index.device)[:, None], index)


def island_means(log_weights: Tensor, islands: int) -> Tensor:
    """Logarithm of the mean weight of each island, (islands, B)."""
    parts = log_weights.unflatten(0, (islands, -1))
    return parts.logsumexp(1) - math.log(parts.shape[1])


def systematic_by_island(log_weights: Tensor, islands: int, uniform: Tensor, count: int | None = None) -> Tensor:
    """Systematic resampling within each island, with one uniform each (islands, B): indices (N or count, B)."""
    parts = log_weights.unflatten(0, (islands, -1))  # (islands, n, B)
    size = parts.shape[1]
    each = size if count is None else count // islands
    index = systematic(parts.transpose(0, 1).flatten(1), uniform.flatten(), each).unflatten(1, (islands, -1))
    first = size * torch.arange(islands, device=index.device)
    return (index + first[:, None]).transpose(0, 1).flatten(0, 1)


def variance_inflation(x: Tensor, ancestor: Tensor) -> Tensor:
    r"""How many times the variance of the population's mean is that of as many independent draws, (B,).

    $$ \frac{r}{1 + r/N}, \quad
       r = \frac{\sum_a \| \sum_{i \in a} (x_i - \bar x) \|^2}{(1 - \sum_a n_a^2/N^2) \sum_i \|x_i - \bar x\|^2} $$

    over lineages a of n_a particles, those of one ancestor. Lineages are independent; particles of one that have not
    drifted apart still count as one draw. (The estimator of Lee & Whiteley for one function, summed over all pixels;
    both sums are too small for few lineages, which the other terms make up for.) N where there is one lineage, which
    tells nothing.

    Args:
        x: Particles (N, B, *event).
        ancestor: A number for each particle's ancestor, (N, B), in 0 … N−1.

    References:
        Lee & Whiteley 2018, Variance estimation in the particle filter, Biometrika 105.
    """
    size = len(x)
    centred = (x - x.mean(0)).flatten(2)
    sums = torch.zeros_like(centred).scatter_add_(0, ancestor[..., None].expand_as(centred), centred)
    members = x.new_zeros(ancestor.shape).scatter_add_(0, ancestor, x.new_ones(ancestor.shape))
    several = 1 - (members / size).square().sum(0)
    total = centred.square().sum((0, 2))
    ratio = sums.square().sum((0, 2)) / (several * total)
    inflation = torch.where(total > 0, ratio / (1 + ratio / size), 1.0)
    return torch.where(num_lineages(ancestor) > 1, inflation, float(size))


def log_evidence_variance(ancestor: Tensor) -> Tensor:
    r"""Variance of log Z of a population after all its levels, (B,), from its lineages.

    $$ -\log(1 - \sum_a n_a^2/N^2 + 1/N) $$

    for lineages a of n_a particles: a pair of particles has escaped a common ancestor at every level so far with the
    probability in the logarithm, and what a level adds to the variance is what it adds to the rate at which pairs meet
    (Lee & Whiteley's estimator, which is its first order, does not exceed 1). log N where there is one lineage.

    Args:
        ancestor: A number for each particle's ancestor, (N, B), in 0 … N−1.

    References:
        Lee & Whiteley 2018, Variance estimation in the particle filter, Biometrika 105.
    """
    size = len(ancestor)
    members = torch.zeros_like(ancestor, dtype=torch.float64)
    members = members.scatter_add_(0, ancestor, torch.ones_like(members))
    return -(1 - (members / size).square().sum(0) + 1 / size).log().clamp_max(0)


def r_hat(x: Tensor, island: Tensor, islands: int) -> Tensor:
    r"""Potential scale reduction between islands, over all pixels together, (B,).

    $$ \hat R = \sqrt{1 + B/W} $$

    with B the variance of the islands' means and W the variance within them, each summed over pixels; islands that have
    died out are left out.

    Args:
        x: Particles (N, B, *event).
        island: Island of each particle, (N, B).
        islands: Their number.

    References:
        Gelman & Rubin 1992, Inference from iterative simulation using multiple sequences, Statistical Science 7.
    """
    flat = (x - x.mean(0)).flatten(2)
    member = torch.nn.functional.one_hot(island, islands).to(flat)  # (N, B, islands)
    counts = member.sum(0)
    means = torch.einsum("nbk,nbp->bkp", member, flat) / counts.clamp_min(1)[..., None]
    alive = (counts > 0).to(flat)
    centre = (alive[..., None] * means).sum(1) / alive.sum(1)[:, None]
    spread = (alive[..., None] * (means - centre[:, None]).square()).sum((1, 2))
    between = spread / (alive.sum(1) - 1).clamp_min(1)
    within = flat.square().sum((0, 2)) - torch.einsum("bk,bkp->b", counts, means.square())
    within = within / (len(x) - alive.sum(1)).clamp_min(1)
    return torch.where(within > 0, (1 + between / within).sqrt(), 1.0)


def resampled(log_weights: Tensor, uniform: Tensor, together: Tensor) -> Tensor:
    """Indices (N, B) of systematic resampling within islands, of uniforms (islands, B), or `together` (B,)."""
    apart = systematic_by_island(log_weights, len(uniform), uniform)
    return torch.where(together, systematic(log_weights, uniform[0]), apart)


def ancestors(index: Tensor) -> Tensor:
    """Ancestor of each particle, named by its first descendant's slot: (N, B) from indices (N, B) in order."""
    slots = torch.arange(len(index), device=index.device)[:, None].expand_as(index)
    begins = torch.ones_like(index, dtype=torch.bool)
    begins[1:] = index[1:] != index[:-1]
    return torch.where(begins, slots, 0).cummax(0).values


def num_lineages(ancestor: Tensor) -> Tensor:
    """Number of different ancestors in (N, B): (B,)."""
    ordered = ancestor.sort(0).values
    return 1 + (ordered[1:] != ordered[:-1]).sum(0)
