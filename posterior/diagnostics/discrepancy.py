"""Distances between two distributions, estimated from draws of both.

A point set is a tensor (N, *event): N draws of the posterior of one measurement. Finite sets are apart even where they
are of the same distribution, so an error is compared with the Monte Carlo error of an exact sample of equal size.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import torch
from torch import Tensor

from posterior.checks import Count, Range, Real, checked
from posterior.errors import InvalidValueError, ShapeError, check_finite
from posterior.noise import Noise
from posterior.shapes import check_shape

_CHUNK = 1 << 24  # values held at a time


@checked
def sliced_wasserstein(
    a: Real, b: Real, num_projections: Count = 400, order: Annotated[float, Range(1)] = 1, seed: int = 0
) -> Tensor:
    r"""Sliced Wasserstein distance of two point sets.

    $$ \mathrm{SW}_p(a, b) = \Big( \frac1L \sum_{l=1}^{L} W_p^p(\langle\theta_l, a\rangle, \langle\theta_l, b\rangle)
       \Big)^{1/p}, \qquad W_p^p(u, v) = \int_0^1 |F_u^{-1}(t) - F_v^{-1}(t)|^p\,dt $$

    with directions \(\theta_l\) uniform on the sphere. The integral is exact for sets of any two sizes.

    Args:
        a: Points (N, *event).
        b: Points (M, *event).
        num_projections: Number of directions L.
        order: p ≥ 1.
        seed: Fixes the directions.

    Returns:
        The distance, a scalar in the units of the points.

    Raises:
        ShapeError: The sets are empty or their events differ.
        NotFiniteError: A set holds NaN or infinity.
        InvalidValueError: num_projections < 1 or order < 1.

    References:
        Bonneel, Rabin, Peyré & Pfister 2015, Sliced and Radon Wasserstein Barycenters of Measures, JMIV 51.
    """
    a, b = _point_sets(a, b)
    size_a, size_b, dim = len(a), len(b), a.shape[1]
    # Both quantile functions are constant between the merged levels i/N and j/M, held as integers over N·M.
    levels = torch.cat([size_b * torch.arange(1, size_a + 1), size_a * torch.arange(1, size_b + 1)]).unique()
    widths = torch.diff(levels, prepend=levels.new_zeros(1)).to(a) / (size_a * size_b)
    index_a = ((levels - 1) // size_b).to(a.device)
    index_b = ((levels - 1) // size_a).to(a.device)
    noise = Noise.of(seed, 1, num_projections, device=a.device, dtype=a.dtype).use("sliced_wasserstein")
    total = a.new_zeros(())
    for draws in noise.draws.split(max(1, _CHUNK // (dim + 2 * (size_a + size_b)))):
        directions = torch.nn.functional.normalize(replace(noise, draws=draws).normal((dim,))[:, 0], dim=1)
        sorted_a = (directions @ a.T).sort(1).values
        sorted_b = (directions @ b.T).sort(1).values
        total = total + ((sorted_a[:, index_a] - sorted_b[:, index_b]).abs() ** order @ widths).sum()
    check_finite("the distance", total, "points are far apart for this order; take a smaller one")
    return (total / num_projections) ** (1 / order)


@checked
def sliced_wasserstein_monte_carlo_error(
    sets: Sequence[Real], num_projections: Count = 400, order: Annotated[float, Range(1)] = 1, seed: int = 0
) -> Tensor:
    r"""Monte Carlo error of an exact sample of equal size: the mean sliced Wasserstein distance of pairs of exact sets.

    $$ \frac{2}{K(K-1)} \sum_{j<k} \mathrm{SW}_p(a_j, a_k) $$

    Args:
        sets: K ≥ 2 independent sets of exact draws, each (N, *event), of the size that is to be judged.
        num_projections: Number of directions.
        order: p ≥ 1.
        seed: Fixes the directions, the same for all pairs.

    Raises:
        InvalidValueError: Fewer than two sets.
        ShapeError: Their events differ.
        NotFiniteError: A set holds NaN or infinity.
    """
    if len(sets) < 2:
        raise InvalidValueError(f"a Monte Carlo error needs at least two sets of exact draws, got {len(sets)}")
    pairs = itertools.combinations(sets, 2)
    return torch.stack([sliced_wasserstein(a, b, num_projections, order, seed) for a, b in pairs]).mean()


@checked
def mean_error(samples: Real, exact_mean: Real, exact_std: Real) -> Tensor:
    r"""Error of the mean in units of the posterior's spread.

    $$ \|\bar x - \mu\| \big/ \sqrt{\operatorname{tr} \Sigma}, \qquad \operatorname{tr}\Sigma = \sum_i \sigma_i^2 $$

    Its root mean square is \(1/\sqrt N\) for N independent exact draws, whatever the posterior.

    Args:
        samples: Draws (N, *event).
        exact_mean: Exact posterior mean μ (*event).
        exact_std: Exact posterior standard deviation σ of each entry (*event).

    Raises:
        ShapeError: The shapes differ.
        NotFiniteError: A draw, or what is exact, holds NaN or infinity.
        InvalidValueError: The exact posterior has no spread.
    """
    (samples,) = _point_sets(samples)
    for name, exact in (("exact_mean", exact_mean), ("exact_std", exact_std)):
        if exact.numel() != samples.shape[1]:
            raise ShapeError(
                f"{name} has shape {tuple(exact.shape)}, {exact.numel()} values; a draw {samples.shape[1]}"
            )
        check_finite(name, exact, "find out where they arose")
    spread = exact_std.to(samples).norm()
    if not bool(spread > 0):
        raise InvalidValueError("exact_std must have a positive entry: without spread no error can be relative to it")
    return (samples.mean(0) - exact_mean.to(samples).flatten()).norm() / spread


@checked
def covariance_error(samples: Real, exact_cov: Real) -> Tensor:
    r"""Relative error of the covariance in the Frobenius norm.

    $$ \|\hat\Sigma - \Sigma\|_F \big/ \|\Sigma\|_F $$

    Its mean square is \((1 + (\operatorname{tr}\Sigma)^2 / \|\Sigma\|_F^2)/(N - 1)\) for N independent exact draws of
    a Gaussian.

    Args:
        samples: Draws (N, *event), N ≥ 2.
        exact_cov: Exact posterior covariance Σ (d, d) of flattened events.

    Raises:
        ShapeError: The shapes do not fit, or there are fewer than two draws.
        NotFiniteError: A draw holds NaN or infinity.
        InvalidValueError: exact_cov is zero.
    """
    (samples,) = _point_sets(samples)
    size, dim = samples.shape
    if tuple(exact_cov.shape) != (dim, dim) or size < 2:
        raise ShapeError(
            f"exact_cov has shape {tuple(exact_cov.shape)} for {size} draws of {dim} values; expected ({dim}, {dim}) "
            "and at least two draws"
        )
    exact_cov = exact_cov.to(samples)
    scale = exact_cov.norm()
    if not bool(scale > 0):
        raise InvalidValueError("exact_cov is zero: without spread no error can be relative to it")
    centred = samples - samples.mean(0)
    return (centred.T @ centred / (size - 1) - exact_cov).norm() / scale


@checked
def energy_distance(a: Real, b: Real) -> Tensor:
    r"""Energy distance of two point sets: zero if and only if they are the same distribution.

    $$ \frac{2}{NM} \sum_{ij} \|a_i - b_j\| - \frac{1}{N^2} \sum_{ij} \|a_i - a_j\|
       - \frac{1}{M^2} \sum_{ij} \|b_i - b_j\| $$

    Between independent sets of exact draws its mean is \((1/N + 1/M)\,\mathrm{E}\|x - x'\|\).

    Args:
        a: Points (N, *event).
        b: Points (M, *event).

    Returns:
        The distance, a scalar in the units of the points (not its square root, as scipy.stats has it).

    Raises:
        ShapeError: The sets are empty or their events differ.
        NotFiniteError: A set holds NaN or infinity.

    References:
        Székely & Rizzo 2013, Energy statistics: A class of statistics based on distances, JSPI 143(8).
    """
    a, b = _point_sets(a, b)
    return 2 * _mean_distance(a, b) - _mean_distance(a, a) - _mean_distance(b, b)


@checked
def mode_weight_error(weights: Real, exact_weights: Real) -> Tensor:
    r"""Total variation between the weights a method gives to the modes and their exact weights.

    $$ \tfrac12 \sum_k |w_k - w^*_k| $$

    The share of the draws that would have to move to another mode. For N independent exact draws its mean is below
    \(\tfrac12 \sum_k \sqrt{w^*_k (1 - w^*_k) / N}\) (Jensen's inequality).

    Args:
        weights: Weights (..., K), non-negative with sum one.
        exact_weights: Exact weights (..., K) or (K,).

    Returns:
        One number in [0, 1] for each weight vector, (...).

    Raises:
        ShapeError: The numbers of modes differ.
        InvalidValueError: A vector is not a probability vector.

    References:
        Levin, Peres & Wilmer 2009, Markov Chains and Mixing Times, proposition 4.2.
    """
    if not weights.ndim or not exact_weights.ndim:
        raise ShapeError(f"weights are (..., K), got {tuple(weights.shape)} and {tuple(exact_weights.shape)}")
    check_shape("weights", weights.shape, exact_weights.shape)
    for name, vector in (("weights", weights), ("exact_weights", exact_weights)):
        if not bool((vector >= 0).all()) or not bool(((vector.sum(-1) - 1).abs() < 1e-4).all()):
            raise InvalidValueError(f"{name} must be non-negative with sum one, got {vector}; divide by their sum")
    return 0.5 * (weights - exact_weights.to(weights)).abs().sum(-1)


def _mean_distance(a: Tensor, b: Tensor) -> Tensor:
    # without matrix products, which lose the digits of small distances
    parts = a.split(max(1, _CHUNK // len(b)))
    total = sum(torch.cdist(part, b, compute_mode="donot_use_mm_for_euclid_dist").sum() for part in parts)
    return torch.as_tensor(total) / (len(a) * len(b))


def _point_sets(*sets: Tensor) -> tuple[Tensor, ...]:
    """The sets flattened to (N, d), in one precision."""
    event = tuple(sets[0].shape[1:])
    for points in sets:
        if points.ndim == 0 or 0 in points.shape or tuple(points.shape[1:]) != event:
            shapes = " and ".join(str(tuple(s.shape)) for s in sets)
            raise ShapeError(f"point sets have shapes {shapes}; expected (N, *event) with the same event, not empty")
        if not points.is_floating_point():
            raise InvalidValueError(f"points must be floating-point numbers, got {points.dtype}; use .float()")
        check_finite("points", points, "find out where they arose")
    dtype = torch.float32
    for points in sets:
        dtype = torch.promote_types(dtype, points.dtype)
    return tuple(points.reshape(len(points), -1).to(dtype) for points in sets)
