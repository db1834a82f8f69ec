"""Sparse spikes: signals that are zero at most places, as the reflectivity of layered ground is."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from posterior.checks import Level, Positive, Shape, Size, checked
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood, Likelihood
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.priors.exact import ExactPosterior, as_real, dense_matrix, measured_entries
from posterior.priors.score_prior import ScorePrior
from posterior.shapes import expand_right

_MOST = 16  # entries of a signal whose 2ⁿ supports are summed over
_AT_ONCE = 1 << 21  # entries of the matrices of some supports


class SpikePrior(ScorePrior):
    r"""Independent entries, each zero or a Gaussian spike: \(x_i \sim (1 - q)\,\delta_0 + q\,N(0, \text{std}^2)\).

    $$ D(z, \sigma)_i = r_i\,\frac{\text{std}^2}{\text{std}^2 + \sigma^2}\, z_i, \quad
       r_i = P(x_i \ne 0 \mid z_i) = \frac{q\,N(z_i; 0, \text{std}^2 + \sigma^2)}
       {q\,N(z_i; 0, \text{std}^2 + \sigma^2) + (1 - q)\,N(z_i; 0, \sigma^2)} $$

    Args:
        event_shape: Shape of one signal.
        rate: q, the share of entries that are spikes.
        std: Their standard deviation.

    Raises:
        InvalidValueError: rate is not in (0, 1), or std not positive.

    References:
        Mendel 1983, Optimal Seismic Deconvolution: An Estimation-Based Approach.
    """

    @checked
    def __init__(self, event_shape: Shape, rate: Level, std: Positive) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.rate, self.std = rate, std
        self.value_range = (-3 * std, 3 * std)
        self.sigma_data = std * math.sqrt(rate)
        spikes = rate * math.prod(self.event_shape)
        self.sigma_max = 10 * std * math.sqrt(max(9.0, spikes))  # ten times the radius, three of the std at the least
        self.sigma_min = 1e-6 * self.sigma_data  # exact at any level: rounding is the only limit

    def responsibilities(self, z: Tensor, sigma: Tensor | float) -> Tensor:
        """P(x_i ≠ 0 | z_i) of noisy signals z (..., *event_shape), sigma broadcastable to their leading shape."""
        variance = expand_right(torch.as_tensor(sigma, dtype=z.dtype, device=z.device), len(self.event_shape)) ** 2
        wide = variance + self.std**2
        odds = math.log(self.rate / (1 - self.rate)) + 0.5 * (variance / wide).log()
        return torch.sigmoid(odds + 0.5 * z.square() * self.std**2 / (variance * wide))

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        variance = expand_right(sigma.to(x.dtype), len(self.event_shape)) ** 2
        return self.responsibilities(x, sigma) * x * (self.std**2 / (self.std**2 + variance))

    def exact_sample(self, num_samples: int, noise: Noise) -> Tensor:
        noise = noise.for_draws(num_samples)
        size = self.std * noise.use("within").normal(self.event_shape)
        return torch.where(noise.use("component").uniform(self.event_shape) < self.rate, size, 0.0)

    def exact_denoise(self, z: Tensor, sigma: Tensor | float, noise: Noise) -> Tensor:
        variance = expand_right(torch.as_tensor(sigma, dtype=z.dtype, device=z.device), len(self.event_shape)) ** 2
        shrink = self.std**2 / (self.std**2 + variance)
        spike = shrink * z + (shrink * variance).sqrt() * noise.use("within").normal(self.event_shape).to(z.dtype)
        uniform = noise.use("component").uniform(self.event_shape)
        return torch.where(uniform < self.responsibilities(z, sigma), spike, 0.0)

    @checked
    def posterior(self, likelihood: Likelihood, y: Tensor) -> SpikePosterior:
        """The exact posterior under Gaussian noise on a linear operator, of signals of at most 16 entries.

        Raises:
            IncompatibleError: Noise is not Gaussian, the operator not linear, or the signal is longer.
            ShapeError, InvalidValueError: y does not fit the likelihood.
        """
        likelihood.check(y)
        if len(y) == 0:
            raise InvalidValueError("y holds no measurements")
        if not (isinstance(likelihood, GaussianLikelihood) and isinstance(likelihood.operator, LinearOperator)):
            raise IncompatibleError(
                "SpikePrior has an exact posterior for Gaussian noise on a linear operator, not for "
                f"{type(likelihood).__name__} on {type(likelihood.operator).__name__}"
            )
        if math.prod(self.event_shape) > _MOST:
            raise IncompatibleError(
                "the exact posterior of a SpikePrior is a sum over all sets of places, and there for at most "
                f"{_MOST} entries; event_shape {self.event_shape} has {math.prod(self.event_shape)}"
            )
        return SpikePosterior(self, likelihood, y)


class SpikePosterior(ExactPosterior):
    r"""Sparse spikes observed linearly: a mixture over all sets S of places that may hold a spike.

    $$ p(S \mid y) \propto q^{|S|}(1 - q)^{n - |S|}\, N(y; 0, \sigma_y^2 I + \text{std}^2 A_S A_S^T), \quad
       x_S \mid S, y \sim N(M^{-1}h, M^{-1}) $$

    with \(M = A_S^T A_S/\sigma_y^2 + I/\text{std}^2\), \(h = A_S^T y/\sigma_y^2\). `weights` (B, 2ⁿ) are those of the
    sets, of which number k holds place i where bit i of k is 1.

    Args:
        prior: The prior of n ≤ 16 entries.
        likelihood: Gaussian, with a linear operator.
        y: Measurements (B, *measurement_shape).

    Attributes:
        inclusion: P(x_i ≠ 0 | y), (B, *event_shape).
    """

    def __init__(self, prior: SpikePrior, likelihood: GaussianLikelihood, y: Tensor) -> None:
        self.event_shape, n = prior.event_shape, math.prod(prior.event_shape)
        self._std = prior.std
        self._sets = ((torch.arange(2**n, device=y.device)[:, None] >> torch.arange(n, device=y.device)) & 1).double()
        sizes = self._sets.sum(1)
        log_prior = sizes * math.log(prior.rate / prior.std) + (n - sizes) * math.log(1 - prior.rate)
        self._problems: list[tuple[Tensor, Tensor]] = []
        self._parts: list[tuple[Tensor, Tensor]] = []
        weights, evidences = [], []
        for b in range(len(y)):
            one = likelihood.select(torch.tensor([b], device=y.device))
            seen = measured_entries(one.operator, y.device)
            seen = torch.cat([seen, seen]) if y.is_complex() else seen
            std = one.noise_std.double().reshape(())
            matrix = dense_matrix(one.operator, y.device)[seen] / std
            target = as_real(y[b].to(torch.complex128 if y.is_complex() else torch.float64).flatten()[None])[0, seen]
            gram, pull = matrix.T @ matrix, matrix.T @ (target / std)
            self._problems.append((gram, pull))
            log_joint, means, covariances = [], [], []
            for sets in self._sets.split(max(1, _AT_ONCE // n**2)):
                factor, mean = self._conditional(b, sets)
                log_joint.append(0.5 * (mean @ pull) - factor.diagonal(dim1=1, dim2=2).log().sum(1))
                means.append(mean)
                covariances.append(torch.cholesky_inverse(factor) * (sets[:, :, None] * sets[:, None, :]))
            constant = -0.5 * (target / std).square().sum() - len(target) * (std * math.sqrt(2 * math.pi)).log()
            joint = log_prior + torch.cat(log_joint) + constant
            weights.append(joint.softmax(0))
            evidences.append(joint.logsumexp(0))
            covariance = torch.einsum("k,kij->ij", weights[-1], torch.cat(covariances))
            values, vectors = torch.linalg.eigh(covariance)
            self._parts.append((torch.cat(means), vectors * values.clamp_min(0).sqrt()))
        self.weights, self.log_evidence = torch.stack(weights), torch.stack(evidences)
        self.inclusion = (self.weights @ self._sets).reshape(-1, *self.event_shape)

    @checked
    def sample(self, num_samples: Size, *, seed: int = 0) -> Tensor:
        noise = self._noise(num_samples, seed)
        uniform, normal = noise.use("component").uniform(), noise.use("within").normal(self._sets.shape[1:])
        draws = []
        for b, weights in enumerate(self.weights):
            cumulative = weights.cumsum(0)
            index = torch.searchsorted(cumulative / cumulative[-1], uniform[:, b].contiguous())
            sets = self._sets[index.clamp_max(len(weights) - 1)]
            factor, mean = self._conditional(b, sets)
            spread = torch.linalg.solve_triangular(factor.mT, (sets * normal[:, b])[..., None], upper=True)
            draws.append(mean + sets * spread[..., 0])
        return torch.stack(draws, 1).reshape(num_samples, -1, *self.event_shape)

    def _conditional(self, b: int, sets: Tensor) -> tuple[Tensor, Tensor]:
        """Cholesky factors (K, n, n) of M, the identity at places outside the sets (K, n), and means (K, n)."""
        gram, pull = self._problems[b]
        within = sets[:, :, None] * sets[:, None, :] * gram
        factor = torch.linalg.cholesky(within + torch.diag_embed(sets / self._std**2 + 1 - sets))
        return factor, torch.cholesky_solve((sets * pull)[..., None], factor)[..., 0]

    def _components(self, b: int) -> tuple[Tensor, Tensor | None]:
        return self._parts[b]
