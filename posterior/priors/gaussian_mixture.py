"""Gaussian mixtures: priors whose denoiser, draws and many posteriors are exact."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from posterior.checks import NonNegative, Real, Size, checked
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.likelihoods import GaussianLikelihood, Likelihood
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.priors.exact import ExactPosterior, MixturePosterior, PointPosterior
from posterior.priors.score_prior import ScorePrior
from posterior.priors.separable import SeparablePosterior


class GaussianMixturePrior(ScorePrior):
    r"""A mixture \(\sum_k w_k N(\mu_k, \Sigma)\) with one covariance for all components.

    $$ D(x, \sigma) = \sum_k r_k(x)\,\bigl(\mu_k + \Sigma(\Sigma + \sigma^2 I)^{-1}(x - \mu_k)\bigr), \quad
       r_k \propto w_k N(x; \mu_k, \Sigma + \sigma^2 I) $$

    Args:
        means: Component means (K, *event_shape).
        weights: Component weights (K,), non-negative; normalised here. Equal unless given.
        std: Σ = std² I.
        covariance: Σ (n, n) over flattened events, instead of std.

    Raises:
        ShapeError: Arguments do not fit together.
        InvalidValueError: Values that are not finite, negative weights, or a covariance that is not symmetric and
            positive.
    """

    derived: tuple[str, ...] = ()
    means: Tensor
    log_weights: Tensor
    variances: Tensor
    basis: Tensor | None

    @checked
    def __init__(
        self,
        means: Tensor,
        weights: Real | Sequence[float] | None = None,
        std: NonNegative = 1.0,
        covariance: Real | None = None,
    ) -> None:
        super().__init__()
        check_rows("means", means)
        weights = means.new_ones(len(means)) if weights is None else torch.as_tensor(weights).to(means)
        if weights.shape != means.shape[:1]:
            raise ShapeError(f"{len(means)} components need as many weights, got shape {tuple(weights.shape)}")
        if not bool((weights >= 0).all()) or not float(weights.sum()) > 0:
            raise InvalidValueError("weights must be non-negative with a positive sum")
        self.event_shape = tuple(means.shape[1:])
        flat = means.flatten(1)
        variances, basis = means.new_tensor(std**2), None
        if covariance is not None:
            if tuple(covariance.shape) != (flat.shape[1],) * 2:
                raise ShapeError(
                    f"covariance has shape {tuple(covariance.shape)}; images of {flat.shape[1]} entries need a square "
                    "matrix of that side"
                )
            covariance = covariance.to(means)
            rounding = torch.finfo(means.dtype).eps ** 0.5 * covariance.abs().max()
            if not bool(((covariance - covariance.mT).abs() <= rounding).all()):
                raise InvalidValueError("the covariance must be symmetric; (C + C.T) / 2 is")
            variances, basis = torch.linalg.eigh(covariance)
            if not bool((variances > 0).all()):
                raise InvalidValueError("the covariance must be positive definite")
            self.derived = ("means", "variances", "basis")  # eigenvectors round as threads say, to their signs
        # Components live in the covariance's eigenbasis, where it is diagonal.
        self.register_buffer("means", flat if basis is None else flat @ basis)
        self.register_buffer("log_weights", (weights / weights.sum()).log())
        self.register_buffer("variances", variances)
        self.register_buffer("basis", basis)
        centred = flat - (weights / weights.sum()) @ flat
        spread = (weights / weights.sum()) @ centred.square() + variances.mean()
        self.sigma_data = spread.mean().sqrt().item()
        # Ten times the radius of the prior: so noisy an image no longer tells the components apart.
        radius = (centred.square().sum(1).max() + variances.max()).sqrt()
        self.sigma_max = 10 * max(radius.item(), 1e-3)
        self.sigma_min = 1e-6 * self.sigma_data  # exact at any level: rounding is the only limit

    @checked
    def with_weights(self, weights: Real | Sequence[float]) -> GaussianMixturePrior:
        """The same components with other weights (K,)."""
        means = self._rotate_back(self.means).reshape(-1, *self.event_shape)
        if self.basis is None:
            return GaussianMixturePrior(means, weights, float(self.variances) ** 0.5)
        covariance = self.basis @ torch.diag(self.variances) @ self.basis.T
        return GaussianMixturePrior(means, weights, covariance=covariance)

    @property
    def num_components(self) -> int:
        """The number K of components."""
        return len(self.means)

    def components(self) -> tuple[Tensor, Tensor, Tensor]:
        """Flattened means (K, n), log weights (K,) and Σ (n, n), in float64."""
        means, variances = self._rotate_back(self.means).double(), self.variances.double()
        if self.basis is None:
            identity = torch.eye(means.shape[1], dtype=torch.float64, device=means.device)
            return means, self.log_weights.double(), variances * identity
        basis = self.basis.double()
        return means, self.log_weights.double(), basis @ torch.diag(variances) @ basis.T

    def responsibilities(self, x: Tensor, sigma: Tensor | float = 0.0) -> Tensor:
        """Probability of each component given a noisy image x (..., *event_shape): (..., K)."""
        rows = x.reshape(-1, self.means.shape[1]).to(self.means.dtype)
        level = torch.as_tensor(sigma, dtype=rows.dtype, device=rows.device)
        level = level.expand(x.shape[: x.ndim - len(self.event_shape)]).reshape(-1)
        lead = x.shape[: x.ndim - len(self.event_shape)]
        return self._responsibilities(self._rotate(rows), level).reshape(*lead, -1)

    def _denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        rows = self._rotate(x.flatten(1).to(self.means.dtype))
        sigma = sigma.to(rows.dtype)
        expected = self._responsibilities(rows, sigma) @ self.means
        shrink = self.variances / (self.variances + sigma[:, None] ** 2)
        return self._rotate_back(expected + shrink * (rows - expected)).reshape(x.shape).to(x.dtype)

    def _responsibilities(self, rows: Tensor, sigma: Tensor) -> Tensor:
        """r_k of rows (N, n) in the eigenbasis, (N, K)."""
        precision = 1 / (self.variances + sigma[:, None] ** 2)  # (N, 1) or (N, n)
        # log r_k, but for a term without k, is log w_k − ½ μᵀPμ + xᵀPμ: products of matrices, in few passes
        if precision.shape[1] == 1:
            own = torch.addcmul(self.log_weights, precision, self.means.square().sum(1), value=-0.5)
        else:
            own = torch.addmm(self.log_weights, precision, self.means.square().T, alpha=-0.5)
        return torch.addmm(own, rows * precision, self.means.T).softmax(1)

    @checked
    def exact_sample(self, num_samples: Size, noise: Noise) -> Tensor:
        noise = noise.for_draws(num_samples)
        chosen = self.means[_categorical(self.log_weights.exp(), noise.use("component").uniform())]
        rows = chosen + self.variances.sqrt() * noise.use("within").normal(self.means.shape[1:]).to(chosen)
        return self._rotate_back(rows).reshape(*noise.lead, *self.event_shape).to(noise.dtype)

    def exact_denoise(self, z: Tensor, sigma: Tensor | float, noise: Noise) -> Tensor:
        lead = z.shape[: z.ndim - len(self.event_shape)]
        level = torch.as_tensor(sigma, dtype=self.means.dtype, device=z.device).expand(lead).reshape(-1)
        rows = self._rotate(z.reshape(-1, self.means.shape[1]).to(self.means.dtype))
        uniform = noise.use("component").uniform().reshape(-1)
        chosen = self.means[_categorical(self._responsibilities(rows, level), uniform)]
        shrink = self.variances / (self.variances + level[:, None] ** 2)
        within = (shrink.sqrt() * level[:, None]) * noise.use("within").normal(self.means.shape[1:]).reshape(rows.shape)
        return self._rotate_back(chosen + shrink * (rows - chosen) + within).reshape(z.shape).to(z.dtype)

    @checked
    def posterior(self, likelihood: Likelihood, y: Tensor) -> ExactPosterior:
        """The exact posterior of measurements y (B, *measurement_shape).

        It exists for Gaussian noise on a linear operator; for any likelihood if Σ = 0; and for any likelihood of real
        measurements if Σ = std² I and the operator is linear with orthogonal rows of one length, or its `Magnitude`.

        Raises:
            IncompatibleError: The posterior is none of these.
            ShapeError, InvalidValueError: y does not fit the likelihood.
        """
        likelihood.check(y)
        if len(y) == 0:
            raise InvalidValueError("y holds no measurements")
        means, log_weights, covariance = self.components()
        if self.basis is None and not bool(self.variances):
            points = self.means.reshape(-1, *self.event_shape)
            return PointPosterior(points, self.log_weights, likelihood.log_prob(points[:, None], y))
        if isinstance(likelihood, GaussianLikelihood) and isinstance(likelihood.operator, LinearOperator):
            return MixturePosterior(means, log_weights, covariance, likelihood, y, self.event_shape)
        if self.basis is None:
            std = float(self.variances) ** 0.5
            return SeparablePosterior(means, log_weights, std, likelihood, y, self.event_shape)
        raise IncompatibleError(
            f"{type(self).__name__} with a covariance matrix has an exact posterior for Gaussian noise on a linear "
            f"operator, not for {type(likelihood).__name__} on {type(likelihood.operator).__name__}; with std= there "
            "are others"
        )

    def _rotate(self, rows: Tensor) -> Tensor:
        return rows if self.basis is None else rows @ self.basis

    def _rotate_back(self, rows: Tensor) -> Tensor:
        return rows if self.basis is None else rows @ self.basis.T


def check_rows(name: str, rows: Tensor) -> None:
    """Raise unless `rows` are real images (K, *event_shape), K ≥ 1."""
    if rows.ndim < 2 or 0 in rows.shape:
        raise ShapeError(f"{name} have shape {tuple(rows.shape)}; expected (K, *event_shape) with K ≥ 1")
    if not rows.is_floating_point():
        raise InvalidValueError(f"{name} must be real and floating-point, got {rows.dtype}; use e.g. {name}.float()")


def _categorical(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Index drawn by inverting the cumulative distribution: (..., K) or (K,), and uniforms (...)."""
    cumulative = probabilities.cumsum(-1)
    cumulative = cumulative / cumulative[..., -1:]
    uniform = uniform.to(cumulative.dtype)
    if probabilities.ndim == 1:
        return torch.searchsorted(cumulative, uniform.contiguous()).clamp_max(len(cumulative) - 1)
    return torch.searchsorted(cumulative, uniform[..., None]).squeeze(-1).clamp_max(cumulative.shape[-1] - 1)
