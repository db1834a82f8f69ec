"""How a measurement arises from an image: p(y | x)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from posterior.operators.base import LinearOperator, Operator


class GaussianLikelihood(nn.Module):
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

    def __init__(self, operator: Operator, noise_std: float | Tensor) -> None:
        super().__init__()
        self.operator = operator
        std = torch.as_tensor(noise_std, dtype=None if isinstance(noise_std, Tensor) else torch.float64)
        if std.ndim > 1 or not std.is_floating_point() or not bool(((std > 0) & std.isfinite()).all()):
            raise InvalidValueError(
                f"noise_std must be positive and finite, one number or one for each measurement; got {noise_std}"
            )
        self.register_buffer("noise_std", std, persistent=False)

    @property
    def is_linear(self) -> bool:
        """Whether the operator is linear, so that p(y | x) is Gaussian in x."""
        return isinstance(self.operator, LinearOperator)

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """Log p(y | x): x (..., B, *event), y (B, *measurement) → (..., B)."""
        std = self.noise_std.to(x)
        constant = 0.5 * self._degrees(y) * (2 * math.pi * std**2).log()
        return -0.5 * self.squared_residual(x, y) / std**2 - constant

    def grad(self, x: Tensor, y: Tensor) -> Tensor:
        r"""\(\nabla_x \log p(y \mid x)\), same shape as x; Aᵀ(y − Ax)/σ_y² where A is linear."""
        if isinstance(self.operator, LinearOperator):
            event = (1,) * len(self.operator.event_shape)
            variance = self.noise_std.to(x).reshape(self.noise_std.shape + event) ** 2
            return self.operator.adjoint(y - self.operator(x)) / variance
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return torch.autograd.grad(self.log_prob(x, y).sum(), x)[0]

    def squared_residual(self, x: Tensor, y: Tensor) -> Tensor:
        """‖y − A(x)‖²: (..., B)."""
        residual = y - self.operator(x)
        return (residual * residual.conj()).real.flatten(-len(self.operator.measurement_shape)).sum(-1)

    def misfit(self, x: Tensor, y: Tensor) -> Tensor:
        """Root mean squared residual in units of σ_y, about 1 at the true x: (..., B)."""
        return (self.squared_residual(x, y) / self._degrees(y)).sqrt() / self.noise_std.to(x)

    def simulate(self, x: Tensor, noise: Noise) -> Tensor:
        """Draw measurements of images x (B, *event), one for each id of `noise`: (B, *measurement)."""
        clean = self.operator(x)
        shape = self.operator.measurement_shape + ((2,) if clean.is_complex() else ())
        draw = noise.draw(1).use("measurement").normal(shape)[0].to(x.dtype)
        std = self.noise_std.to(x).reshape(self.noise_std.shape + (1,) * len(self.operator.measurement_shape))
        return clean + self.operator.restrict(std * (torch.view_as_complex(draw) if clean.is_complex() else draw))

    def select(self, measurements: Tensor) -> GaussianLikelihood:
        """The likelihood of some of the measurements of a batch, by index."""
        std = self.noise_std if self.noise_std.ndim == 0 else self.noise_std[measurements.to(self.noise_std.device)]
        return GaussianLikelihood(self.operator.select(measurements), std)

    def _degrees(self, y: Tensor) -> int | Tensor:
        return self.operator.num_measured * (2 if y.is_complex() else 1)
