"""Two images at once, each with a prior of its own: what source separation infers."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.checks import Size, checked
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.likelihoods import GaussianLikelihood, Likelihood
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.priors.exact import ExactPosterior, as_real, condition
from posterior.priors.gaussian_mixture import GaussianMixturePrior
from posterior.priors.score_prior import ScorePrior


class ProductPrior(ScorePrior):
    r"""Two independent images, \(p(x_1, x_2) = p_1(x_1)\,p_2(x_2)\), as one event (2, *event_shape).

    Each is denoised by its own prior, so that a network call of this prior is one of either. With the operator `Sum`
    the posterior is that of source separation, y = x_1 + x_2 + noise.

    Args:
        first, second: Score priors of images of one shape.

    Raises:
        InvalidValueError: One is no ScorePrior.
        ShapeError: Their images differ in shape.
        IncompatibleError: One has a class for each measurement, or their ranges of values or of noise levels differ.
    """

    @checked
    def __init__(self, first: ScorePrior, second: ScorePrior) -> None:
        super().__init__()
        for part in (first, second):
            if part.labels is not None and part.labels.ndim:
                raise IncompatibleError("ProductPrior takes priors with one class for all measurements, not one each")
        if tuple(first.event_shape) != tuple(second.event_shape):
            raise ShapeError(
                f"ProductPrior takes images of one shape, got first with {tuple(first.event_shape)} and second with "
                f"{tuple(second.event_shape)}"
            )
        self.event_shape = (2, *first.event_shape)
        self.sigma_data = math.sqrt((first.sigma_data**2 + second.sigma_data**2) / 2)
        self.sigma_min = max(first.sigma_min, second.sigma_min)
        self.sigma_max = min(first.sigma_max, second.sigma_max)
        if first.value_range != second.value_range or not self.sigma_min < self.sigma_max:
            raise IncompatibleError(
                f"ProductPrior takes priors of one range of values, {first.value_range} and {second.value_range}, and "
                f"of common noise levels, up to {self.sigma_max:g} and from {self.sigma_min:g}"
            )
        self.value_range = first.value_range
        self.first, self.second = first, second

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        return torch.stack([self.first.denoise(x[:, 0], sigma), self.second.denoise(x[:, 1], sigma)], 1)

    def exact_sample(self, num_samples: int, noise: Noise) -> Tensor:
        parts = (("first", self.first), ("second", self.second))
        return torch.stack([part.exact_sample(num_samples, noise.use(name)) for name, part in parts], 2)

    def exact_denoise(self, z: Tensor, sigma: Tensor | float, noise: Noise) -> Tensor:
        dim = z.ndim - len(self.event_shape)
        parts = (("first", self.first, z.select(dim, 0)), ("second", self.second, z.select(dim, 1)))
        return torch.stack([part.exact_denoise(own, sigma, noise.use(name)) for name, part, own in parts], dim)

    @checked
    def posterior(self, likelihood: Likelihood, y: Tensor) -> ProductPosterior:
        """The exact posterior of two mixtures, `GaussianMixturePrior` or `EmpiricalPrior`, under Gaussian noise.

        Raises:
            IncompatibleError: A prior is another, noise is not Gaussian, or the operator not linear.
            ShapeError, InvalidValueError: y does not fit the likelihood.
        """
        likelihood.check(y)
        if len(y) == 0:
            raise InvalidValueError("y holds no measurements")
        first, second = self.first, self.second
        if not (isinstance(first, GaussianMixturePrior) and isinstance(second, GaussianMixturePrior)):
            raise IncompatibleError(
                "a ProductPrior has an exact posterior where both its priors are Gaussian mixtures, not for "
                f"{type(first).__name__} and {type(second).__name__}"
            )
        if not (isinstance(likelihood, GaussianLikelihood) and isinstance(likelihood.operator, LinearOperator)):
            raise IncompatibleError(
                "a ProductPrior has an exact posterior for Gaussian noise on a linear operator, not for "
                f"{type(likelihood).__name__} on {type(likelihood.operator).__name__}"
            )
        return ProductPosterior(first, second, likelihood, y)


class ProductPosterior(ExactPosterior):
    r"""Two Gaussian mixtures observed linearly together: a mixture over pairs of components, a finite sum.

    $$ p(i, j \mid y) \propto w_i v_j\, N(y; A(\mu_i, \nu_j), S), \quad S = \sigma_y^2 I + A\Sigma A^T $$

    with Σ the block-diagonal covariance of both. `weights` (B, K₁K₂) are those of the pairs, j fastest.

    Args:
        first, second: The mixtures, of K₁ and K₂ components.
        likelihood: Gaussian, with a linear operator.
        y: Measurements (B, *measurement_shape).
    """

    def __init__(
        self, first: GaussianMixturePrior, second: GaussianMixturePrior, likelihood: GaussianLikelihood, y: Tensor
    ) -> None:
        self.event_shape = (2, *first.event_shape)
        (self._first, log_w, one_covariance), (self._second, log_v, other) = first.components(), second.components()
        covariance, n = torch.block_diag(one_covariance, other), self._first.shape[1]
        log_prior = log_w[:, None] + log_v
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
            left = target[measured] - self._first @ matrix[:, :n].T
            parts = (left, self._second @ matrix[:, n:].T)
            left, right = (torch.linalg.solve_triangular(factor, part.T, upper=False).T for part in parts)
            squares = left.square().sum(1)[:, None] + right.square().sum(1) - 2 * left @ right.T
            constant = factor.diagonal().log().sum() + 0.5 * len(factor) * math.log(2 * math.pi)
            log_joint = (log_prior - 0.5 * squares - constant).flatten()
            evidences.append(log_joint.logsumexp(0))
            weights.append(log_joint.softmax(0))
            self._gains.append(gain @ matrix)
            self._shifts.append(gain @ target[measured])
            self._roots.append(root)
        self.weights, self.log_evidence = torch.stack(weights), torch.stack(evidences)

    @property
    def pair_weights(self) -> Tensor:
        """p(i, j | y), (B, K₁, K₂)."""
        return self.weights.unflatten(1, (len(self._first), len(self._second)))

    @checked
    def sample(self, num_samples: Size, *, seed: int = 0) -> Tensor:
        noise = self._noise(num_samples, seed)
        uniform = noise.use("component").uniform()
        normal = noise.use("within").normal((2 * self._first.shape[1],))
        draws = []
        for b, weights in enumerate(self.weights):
            cumulative = weights.cumsum(0)
            index = torch.searchsorted(cumulative / cumulative[-1], uniform[:, b].contiguous())
            index = index.clamp_max(len(weights) - 1)
            pairs = self._first[index // len(self._second)], self._second[index % len(self._second)]
            draws.append(self._given(b, torch.cat(pairs, 1)) + normal[:, b] @ self._roots[b].T)
        return torch.stack(draws, 1).reshape(num_samples, len(self.weights), *self.event_shape)

    def mean(self) -> Tensor:
        pairs = zip(self.pair_weights.sum(2), self.pair_weights.sum(1), strict=True)
        means = [self._given(b, torch.cat([w @ self._first, v @ self._second])) for b, (w, v) in enumerate(pairs)]
        return torch.stack(means).reshape(-1, *self.event_shape)

    def std(self) -> Tensor:
        n, variances = self._first.shape[1], []
        for b, weights in enumerate(self.pair_weights):
            kept = torch.eye(2 * n, dtype=weights.dtype, device=weights.device) - self._gains[b]
            left, right = self._first @ kept[:, :n].T, self._second @ kept[:, n:].T
            w, v = weights.sum(1), weights.sum(0)
            left, right = left - w @ left, right - v @ right
            between = w @ left.square() + v @ right.square() + 2 * (left * (weights @ right)).sum(0)
            variances.append(between + self._roots[b].square().sum(1))
        return torch.stack(variances).sqrt().reshape(-1, *self.event_shape)

    def _given(self, b: int, means: Tensor) -> Tensor:
        """Means (..., 2n) of components after measurement b."""
        return means - means @ self._gains[b].T + self._shifts[b]

    def _components(self, b: int) -> tuple[Tensor, Tensor | None]:
        rows, others = len(self._first), len(self._second)
        pairs = self._first.repeat_interleave(others, 0), self._second.repeat(rows, 1)
        return self._given(b, torch.cat(pairs, 1)), self._roots[b]
