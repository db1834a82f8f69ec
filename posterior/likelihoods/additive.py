"""Additive noise, y = A(x) + s·n with independent entries n: Gaussian, Laplace, Student t."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from posterior.likelihoods.base import Likelihood, OperatorT
from posterior.noise import Noise


class AdditiveLikelihood(Likelihood[OperatorT]):
    r"""Additive white noise, \(y_i = u_i + s\,n_i\), with n of a fixed symmetric law f; complex n has two components.

    $$ \log p(y_i \mid u_i) = \log f((y_i - u_i)/s) - \log s $$

    Subclasses define `_log_f`, its derivative `_slope_f`, `_fisher_f` \(= E[(\log f)'^2]\), the variance `_variance_f`
    and `_draw_f`, all of real numbers, and `_scale`, the parameter s.
    """

    takes_complex = True

    @property
    def _scale(self) -> Tensor:
        raise NotImplementedError

    def _log_f(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def _slope_f(self, t: Tensor) -> Tensor:
        raise NotImplementedError

    def _fisher_f(self, u: Tensor) -> Tensor | float:
        raise NotImplementedError

    def _variance_f(self, u: Tensor) -> Tensor | float:
        raise NotImplementedError

    def _draw_f(self, shape: Sequence[int], noise: Noise) -> Tensor:
        raise NotImplementedError

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        scale = self._entrywise(self._scale, u)
        density = _by_component(lambda t: self._log_f(t) - scale.log(), (y - u) / scale)
        return density.real + density.imag if density.is_complex() else density

    def slope(self, u: Tensor, y: Tensor) -> Tensor:
        scale = self._entrywise(self._scale, u)
        return _by_component(self._slope_f, (y - u) / scale) / -scale

    def fisher(self, u: Tensor) -> Tensor:
        return (self._fisher_f(u) / self._entrywise(self._scale, u) ** 2).expand(u.shape)

    def mean_and_variance(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return u, (self._variance_f(u) * self._entrywise(self._scale, u) ** 2).expand(u.shape)

    def _draw(self, u: Tensor, noise: Noise) -> Tensor:
        shape = self.operator.measurement_shape + ((2,) if u.is_complex() else ())
        draw = self._draw_f(shape, noise).to(u.real.dtype)
        return u + self._entrywise(self._scale, u) * (torch.view_as_complex(draw) if u.is_complex() else draw)


class GaussianLikelihood(AdditiveLikelihood[OperatorT]):
    r"""Additive white Gaussian noise, \(y = A(x) + \sigma_y n\).

    $$ \log p(y \mid x) = -\frac{\|y - A(x)\|^2}{2\sigma_y^2} - \frac{m}{2}\log 2\pi\sigma_y^2 $$

    with m the number of real values measured (a complex entry counts as two).

    Args:
        operator: The forward operator A.
        noise_std: σ_y per real component: one number, or (B,) for a batch of measurements.

    Raises:
        InvalidValueError: noise_std is not positive and finite.
    """

    noise_std: Tensor

    def __init__(self, operator: OperatorT, noise_std: float | Tensor) -> None:
        super().__init__(operator)
        self._add_parameter("noise_std", noise_std)

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(y | x): x (..., B, *event), y (B, *measurement) → (..., B)."""
        self._check_pair(x, y)
        std = self.noise_std.to(x)
        constant = 0.5 * self.num_values(y) * (2 * math.pi * std**2).log()
        return -0.5 * self.squared_residual(x, y) / std**2 - constant

    def squared_residual(self, x: Tensor, y: Tensor) -> Tensor:
        """‖y − A(x)‖²: (..., B)."""
        residual = y - self.operator(x)
        return self._sum((residual * residual.conj()).real)

    @property
    def _scale(self) -> Tensor:
        return self.noise_std

    def _log_f(self, t: Tensor) -> Tensor:
        return -0.5 * t.square() - 0.5 * math.log(2 * math.pi)

    def _slope_f(self, t: Tensor) -> Tensor:
        return -t

    def _fisher_f(self, u: Tensor) -> float:
        return 1.0

    def _variance_f(self, u: Tensor) -> float:
        return 1.0

    def _draw_f(self, shape: Sequence[int], noise: Noise) -> Tensor:
        return noise.normal(shape)


class LaplaceLikelihood(AdditiveLikelihood[OperatorT]):
    r"""Additive Laplace noise, \(p(y_i \mid u_i) = \exp(-|y_i - u_i|/b)/2b\), whose log-likelihood is the ℓ1 norm.

    Args:
        operator: The forward operator A.
        scale: b, of standard deviation √2 b per real component: one number, or (B,) for a batch of measurements.

    Raises:
        InvalidValueError: scale is not positive and finite.
    """

    scale: Tensor

    def __init__(self, operator: OperatorT, scale: float | Tensor) -> None:
        super().__init__(operator)
        self._add_parameter("scale", scale)

    @property
    def _scale(self) -> Tensor:
        return self.scale

    def _log_f(self, t: Tensor) -> Tensor:
        return -t.abs() - math.log(2)

    def _slope_f(self, t: Tensor) -> Tensor:
        return -t.sign()

    def _fisher_f(self, u: Tensor) -> float:
        return 1.0

    def _variance_f(self, u: Tensor) -> float:
        return 2.0

    def _draw_f(self, shape: Sequence[int], noise: Noise) -> Tensor:
        centred = replace(noise, dtype=torch.float64).uniform(shape) - 0.5
        return -centred.sign() * torch.log1p(-2 * centred.abs())


class StudentTLikelihood(AdditiveLikelihood[OperatorT]):
    r"""Additive Student t noise, \(p(y_i \mid u_i) \propto (1 + (y_i - u_i)^2/(\nu s^2))^{-(\nu + 1)/2}\): outliers.

    Args:
        operator: The forward operator A.
        scale: s per real component: one number, or (B,) for a batch of measurements. The standard deviation is
            s √(ν/(ν − 2)), infinite for ν ≤ 2; `residual` and `misfit` are then in units of s.
        degrees: Degrees of freedom ν: one number, or (B,).

    Raises:
        InvalidValueError: scale or degrees is not positive and finite.

    References:
        Bailey 1994, Polar generation of random variates with the t-distribution, Mathematics of Computation 62.
    """

    scale: Tensor
    degrees: Tensor

    def __init__(self, operator: OperatorT, scale: float | Tensor, degrees: float | Tensor) -> None:
        super().__init__(operator)
        self._add_parameter("scale", scale)
        self._add_parameter("degrees", degrees)

    def residual(self, u: Tensor, y: Tensor) -> Tensor:
        """(y − u)/std of each entry, or (y − u)/s where ν ≤ 2: as u (..., B, *measurement)."""
        variance = torch.as_tensor(self._variance_f(u))
        units = torch.where(variance.isfinite(), variance, 1.0).sqrt() * self._entrywise(self.scale, u)
        return (y - u) / units

    @property
    def _scale(self) -> Tensor:
        return self.scale

    def _log_f(self, t: Tensor) -> Tensor:
        nu = self._entrywise(self.degrees, t)
        constant = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - 0.5 * (nu * math.pi).log()
        return constant - (nu + 1) / 2 * torch.log1p(t.square() / nu)

    def _slope_f(self, t: Tensor) -> Tensor:
        nu = self._entrywise(self.degrees, t)
        return -(nu + 1) * t / (nu + t.square())

    def _fisher_f(self, u: Tensor) -> Tensor:
        nu = self._entrywise(self.degrees, u)
        return (nu + 1) / (nu + 3)

    def _variance_f(self, u: Tensor) -> Tensor:
        nu = self._entrywise(self.degrees, u)
        return torch.where(nu > 2, nu / (nu - 2), math.inf)

    def _draw_f(self, shape: Sequence[int], noise: Noise) -> Tensor:
        noise = replace(noise, dtype=torch.float64)
        nu = self.degrees.to(noise.keys.device, torch.float64)
        nu = nu.reshape(nu.shape + (1,) * len(shape))
        radius = (nu * torch.expm1(-2 / nu * noise.use("radius").uniform(shape).log())).sqrt()
        return radius * (2 * math.pi * noise.use("angle").uniform(shape)).cos()


def _by_component(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """The function of real numbers, of real and imaginary parts apart where t is complex."""
    return torch.complex(function(t.real), function(t.imag)) if t.is_complex() else function(t)
