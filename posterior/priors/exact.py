"""Posteriors that are known exactly: the ground truth that samplers are measured against."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from posterior.checks import Size, checked
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators.base import Operator


class ExactPosterior:
    r"""The posteriors of B measurements, each a mixture \(\sum_k p(k \mid y)\, p(x \mid k, y)\).

    Attributes:
        weights: p(k | y), (B, K).
        log_evidence: log p(y), (B,).
        event_shape: Shape of one image.
    """

    weights: Tensor
    log_evidence: Tensor
    event_shape: tuple[int, ...]

    def _components(self, b: int) -> tuple[Tensor, Tensor | None]:
        """Means (K, n) of measurement b, and a root (n, n) of the components' covariance, None if it is 0.

        Where covariances differ, of their mean under the weights; such a posterior has a `sample` of its own.
        """
        raise NotImplementedError

    @checked
    def sample(self, num_samples: Size, *, seed: int = 0) -> Tensor:
        """Independent draws (num_samples, B, *event_shape)."""
        noise = self._noise(num_samples, seed)
        uniform = noise.use("component").uniform()
        draws = []
        for b, weights in enumerate(self.weights):
            means, root = self._components(b)
            cumulative = weights.cumsum(0)
            index = torch.searchsorted(cumulative / cumulative[-1], uniform[:, b].contiguous())
            x = means[index.clamp_max(len(weights) - 1)]
            if root is not None:
                own = noise.select(torch.tensor([b], device=weights.device))
                x = x + own.use("within").normal(means.shape[1:])[:, 0] @ root.T
            draws.append(x)
        return torch.stack(draws, 1).reshape(num_samples, len(self.weights), *self.event_shape)

    def _noise(self, num_samples: int, seed: int) -> Noise:
        # Truths that a user drew of the prior with the same seed are of other streams.
        source = Noise.of(seed, len(self.weights), num_samples, dtype=self.weights.dtype, device=self.weights.device)
        return source.use("exact posterior")

    def mean(self) -> Tensor:
        """E[x | y]: (B, *event_shape)."""
        means = [weights @ self._components(b)[0] for b, weights in enumerate(self.weights)]
        return torch.stack(means).reshape(-1, *self.event_shape)

    def std(self) -> Tensor:
        """Standard deviation of each entry, (B, *event_shape)."""
        variances = []
        for b, weights in enumerate(self.weights):
            means, root = self._components(b)
            variance = weights @ (means - weights @ means).square()
            variances.append(variance if root is None else variance + root.square().sum(1))
        return torch.stack(variances).sqrt().reshape(-1, *self.event_shape)

    def covariance(self) -> Tensor:
        """Covariance over flattened images, (B, n, n)."""
        covariances = []
        for b, weights in enumerate(self.weights):
            means, root = self._components(b)
            centred = means - weights @ means
            between = centred.T @ (weights[:, None] * centred)
            covariances.append(between if root is None else between + root @ root.T)
        return torch.stack(covariances)

    def expectation(self, function: Callable[[Tensor], Tensor], *, num_samples: int = 10_000, seed: int = 0) -> Tensor:
        """E[f(x) | y] for f of images (N, *event_shape) → (N, *out): (B, *out).

        A mean over exact draws, with a Monte-Carlo error of std(f)/√num_samples; an exact sum where components are
        points.
        """
        draws = self.sample(num_samples, seed=seed)
        return torch.stack([function(draws[:, b]).mean(0) for b in range(draws.shape[1])])


class MixturePosterior(ExactPosterior):
    r"""A Gaussian-mixture prior observed linearly in Gaussian noise.

    With \(S = \sigma_y^2 I + A\Sigma A^T\), \(K = \Sigma A^T S^{-1}\):
    \(p(k \mid y) \propto w_k N(y; A\mu_k, S)\), \(E[x \mid k, y] = \mu_k + K(y - A\mu_k)\),
    \(\mathrm{Cov}[x \mid k, y] = \Sigma - K A \Sigma\).

    Args:
        means, log_weights, covariance: The prior's components (K, n), (K,) and Σ (n, n), in float64.
        likelihood: Gaussian, with a linear operator.
        y: Measurements (B, *measurement_shape).
        event_shape: Shape of one image.
    """

    def __init__(
        self,
        means: Tensor,
        log_weights: Tensor,
        covariance: Tensor,
        likelihood: GaussianLikelihood,
        y: Tensor,
        event_shape: tuple[int, ...],
    ) -> None:
        self.event_shape = event_shape
        self._prior_means = means
        self._gains: list[Tensor] = []
        self._shifts: list[Tensor] = []
        self._roots: list[Tensor] = []
        weights, evidences = [], []
        shared: tuple[Tensor, ...] | None = None
        for b in range(len(y)):
            one = likelihood.select(torch.tensor([b], device=y.device))
            if shared is None or one.operator is not likelihood.operator or likelihood.noise_std.ndim == 1:
                shared = condition(one, covariance, y.is_complex())
            matrix, measured, factor, gain, root = shared
            target = as_real(y[b].to(torch.complex128 if y.is_complex() else torch.float64).flatten()[None])[0]
            residual = target[measured] - means @ matrix.T
            white = torch.linalg.solve_triangular(factor, residual.T, upper=False)
            log_det = factor.diagonal().log().sum()
            log_joint = log_weights - 0.5 * white.square().sum(0) - log_det - 0.5 * len(factor) * math.log(2 * math.pi)
            evidences.append(log_joint.logsumexp(0))
            weights.append(log_joint.softmax(0))
            self._gains.append(gain @ matrix)
            self._shifts.append(gain @ target[measured])
            self._roots.append(root)
        self.weights, self.log_evidence = torch.stack(weights), torch.stack(evidences)

    def _components(self, b: int) -> tuple[Tensor, Tensor | None]:
        means = self._prior_means - self._prior_means @ self._gains[b].T + self._shifts[b]
        return means, self._roots[b]


class PointPosterior(ExactPosterior):
    """A prior of point masses under any likelihood: p(i | y) ∝ w_i L(x_i).

    Args:
        points: Support (K, *event_shape).
        log_weights: Their prior probabilities, (K,).
        log_likelihood: log p(y_b | x_i), (K, B).
    """

    def __init__(self, points: Tensor, log_weights: Tensor, log_likelihood: Tensor) -> None:
        self.event_shape = tuple(points.shape[1:])
        self._points = points.flatten(1).double()
        log_joint = (log_weights[:, None] + log_likelihood).double().T
        self.weights, self.log_evidence = log_joint.softmax(1), log_joint.logsumexp(1)

    def expectation(self, function: Callable[[Tensor], Tensor], *, num_samples: int = 10_000, seed: int = 0) -> Tensor:
        values = function(self._points.reshape(-1, *self.event_shape))
        return torch.tensordot(self.weights.to(values.dtype), values, dims=1)

    def _components(self, b: int) -> tuple[Tensor, Tensor | None]:
        return self._points, None


def dense_matrix(operator: Operator, device: torch.device, dtype: torch.dtype = torch.float64) -> Tensor:
    """The operator of one measurement as a matrix (m, n) in its own precision, rows of real components."""
    n = math.prod(operator.event_shape)
    images = torch.eye(n, dtype=operator.dtype or dtype, device=device).reshape(n, 1, *operator.event_shape)
    return as_real(operator(images)[:, 0].flatten(1)).T.to(dtype)


def measured_entries(operator: Operator, device: torch.device) -> Tensor:
    """Which entries of the flattened measurement are measured, bool (m,); the operator is that of one measurement."""
    ones = torch.ones(1, *operator.measurement_shape, dtype=torch.float64, device=device)
    return (operator.restrict(ones) != 0).flatten()


def condition(one: GaussianLikelihood, covariance: Tensor, is_complex: bool) -> tuple[Tensor, ...]:
    """Matrix of what is measured, its index, Cholesky factor of S, gain K and root of the posterior covariance."""
    matrix = dense_matrix(one.operator, covariance.device)
    seen = measured_entries(one.operator, covariance.device)
    measured = torch.cat([seen, seen]) if is_complex else seen
    matrix = matrix[measured]
    variance = one.noise_std.to(matrix).reshape(()) ** 2
    system = variance * torch.eye(len(matrix), dtype=matrix.dtype, device=matrix.device)
    factor = torch.linalg.cholesky(system + matrix @ covariance @ matrix.T)
    gain = torch.cholesky_solve(matrix @ covariance, factor).T
    left = covariance - gain @ matrix @ covariance
    values, vectors = torch.linalg.eigh((left + left.T) / 2)
    return matrix, measured, factor, gain, vectors * values.clamp_min(0).sqrt()


def as_real(rows: Tensor) -> Tensor:
    """Complex rows as real ones, real parts first: (N, m) → (N, 2m)."""
    return torch.cat([rows.real, rows.imag], 1) if rows.is_complex() else rows
