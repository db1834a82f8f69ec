"""The likelihood of a measurement: p(y | x) as a product over the entries of y."""

from __future__ import annotations

from typing import Generic, TypeVar

import torch
from torch import Tensor

from posterior.batched import BatchedModule
from posterior.checks import check_value
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.noise import Noise
from posterior.operators.base import LinearOperator, Operator
from posterior.shapes import check_broadcast, check_shape, check_values, expand_right

OperatorT = TypeVar("OperatorT", bound=Operator, covariant=True)


class Likelihood(BatchedModule, Generic[OperatorT]):
    r"""Measurements whose entries are independent given what a noiseless instrument would see.

    $$ \log p(y \mid x) = \sum_{i\ \text{measured}} \log p(y_i \mid u_i), \quad
       u = A(\text{input\_scale} \cdot x + \text{input\_shift}) $$

    Subclasses define `log_density`, `fisher`, `mean_and_variance` and `_draw`, better also `slope`. Their parameters
    are one number, or (B,) for a batch of measurements, and buffers that `_add_parameter` registers.

    Args:
        operator: The forward operator A.

    Attributes:
        input_scale, input_shift: How an image enters the operator, for all measurements alike.
        takes_complex: Whether measurements may be complex; their parameters are then those of real components.
    """

    operator: OperatorT
    input_scale: float = 1.0
    input_shift: float = 0.0
    takes_complex: bool = False

    def __init__(self, operator: OperatorT) -> None:
        super().__init__()
        if not isinstance(operator, Operator):
            raise InvalidValueError(
                f"{type(self).__name__} needs an Operator, not a {type(operator).__name__}; of a function "
                "Operator.from_callable makes one, of a matrix Matrix"
            )
        self.operator = operator

    def log_density(self, u: Tensor, y: Tensor) -> Tensor:
        """log p(y_i | u_i) of each entry, measured or not: u (..., B, *measurement), y (B, *measurement) → as u, real.

        That of a complex entry is the sum over its real and imaginary part.
        """
        raise NotImplementedError

    def fisher(self, u: Tensor) -> Tensor:
        r"""The information \(E[(\partial_u \log p(y_i \mid u_i))^2]\) on each real component of u: as u, real."""
        raise NotImplementedError

    def mean_and_variance(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """E[y_i | u_i], as u, and the variance of each real component of y_i, as u but real."""
        raise NotImplementedError

    def _draw(self, u: Tensor, noise: Noise) -> Tensor:
        """Measurements of u (S, B, *measurement), or what broadcasts to it, for the (S, B) of `noise`."""
        raise NotImplementedError

    def slope(self, u: Tensor, y: Tensor) -> Tensor:
        r"""\(\partial_u \log p(y_i \mid u_i)\) of each entry, measured or not: as u (..., B, *measurement)."""
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            return torch.autograd.grad(self.log_density(u, y).sum(), u)[0]

    def check(self, y: Tensor) -> None:
        """Raise unless y (B, *measurement) can be measured.

        Raises:
            ShapeError: y is of another shape, or parameters are those of another number of measurements.
            IncompatibleError: y is complex and its law or the operator is not, or the other way round.
            InvalidValueError: y holds values of probability zero.
        """
        if y.ndim != len(self.operator.measurement_shape) + 1:
            raise ShapeError(f"y has shape {tuple(y.shape)}; expected (B, *{self.operator.measurement_shape})")
        check_shape("y", y.shape, self.operator.measurement_shape)
        for name, parameter in self.named_buffers(recurse=False):
            if parameter.ndim == 1 and len(parameter) != len(y):
                raise ShapeError(f"{name} has {len(parameter)} entries for {len(y)} measurements")
        self._check_real(y)
        if y.is_complex() != self.operator.is_complex:
            given, measured = ("complex" if z else "real" for z in (y.is_complex(), self.operator.is_complex))
            kind = type(self.operator).__name__
            raise IncompatibleError(f"y is {given}, but the operator {kind} measures {measured} numbers (`is_complex`)")

    @property
    def is_linear(self) -> bool:
        """Whether the operator is linear."""
        return isinstance(self.operator, LinearOperator)

    def noiseless(self, x: Tensor) -> Tensor:
        """u, what a noiseless instrument would see: (..., *event) → (..., *measurement)."""
        if (self.input_scale, self.input_shift) != (1, 0):
            x = self.input_scale * x + self.input_shift
        return self.operator(x)

    def log_prob(self, x: Tensor, y: Tensor) -> Tensor:
        """log p(y | x): x (..., B, *event), y (B, *measurement) → (..., B)."""
        self._check_pair(x, y)
        return self.total(self.log_density(self.noiseless(x), y))

    def grad(self, x: Tensor, y: Tensor) -> Tensor:
        r"""\(\nabla_x \log p(y \mid x)\), same shape as x: the adjoint, or the operator's derivative, on the slopes."""
        self._check_pair(x, y)
        if isinstance(self.operator, LinearOperator):
            image = self.operator.adjoint(self.measured(self.slope(self.noiseless(x), y)))
            return image if self.input_scale == 1 else self.input_scale * image
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            u = self.noiseless(x)
        return torch.autograd.grad(u, x, self.measured(self.slope(u.detach(), y)))[0]

    def residual(self, u: Tensor, y: Tensor) -> Tensor:
        """(y − E[y | u])/std[y | u] of each entry, measured or not: as u (..., B, *measurement)."""
        mean, variance = self.mean_and_variance(u)
        difference = y - mean
        # Where y is certain the variance is 0.
        return torch.where(difference == 0, 0.0, difference / variance.sqrt())

    def misfit(self, x: Tensor, y: Tensor) -> Tensor:
        """Root mean squared residual over the measured real components, about 1 at the true x: (..., B)."""
        self._check_pair(x, y)
        residual = self.residual(self.noiseless(x), y)
        return (self.total((residual * residual.conj()).real) / self.num_values(y)).sqrt()

    def simulate(self, x: Tensor, noise: Noise) -> Tensor:
        """Draw measurements of images x, zero where nothing is measured.

        Args:
            x: (B, *event), or (S, B, *event) for each draw of the noise on its own.
            noise: The source; of its draws the first alone serves x (B, *event).

        Returns:
            (B, *measurement), or (S, B, *measurement).

        Raises:
            ShapeError: x has (S, B) images and the noise is of other numbers.
        """
        check_values("x", x, self.operator.event_shape, real=True)
        check_value("simulate", "noise", noise, Noise)
        lead = tuple(x.shape[: -len(self.operator.event_shape)])
        single = len(lead) <= 1
        if single:
            check_broadcast("x and the noise", lead, noise.lead[1:])
        elif lead != noise.lead:
            raise ShapeError(f"x has shape {tuple(x.shape)}, but the noise is for (S, B) = {noise.lead} images")
        source = noise.for_draws(1) if single else noise
        y = self.measured(self._draw(self.noiseless(x), source.use("measurement")))
        return y[0] if single else y

    def _check_pair(self, x: Tensor, y: Tensor) -> None:
        """Raise unless x is (..., B, *event) and y (B, *measurement), or what broadcasts to it."""
        event, measurement = self.operator.event_shape, self.operator.measurement_shape
        check_values(f"x, given to {type(self).__name__},", x, event, real=True)
        if not isinstance(y, Tensor) or y.layout is not torch.strided or y.dtype is torch.bool:
            raise InvalidValueError("y is no tensor of numbers; use torch.as_tensor(...)")
        check_shape("y", y.shape, measurement)
        images, measurements = x.shape[: x.ndim - len(event)], y.shape[: y.ndim - len(measurement)]
        if measurements != images[-1:]:  # as they nearly always are
            check_broadcast("x and y", images, measurements)

    def measured(self, values: Tensor) -> Tensor:
        """Zero the entries of `values` (..., *measurement) where nothing is measured, even if they are not finite."""
        ones = values.real.new_ones(self.operator.measurement_shape)
        return torch.where(self.operator.restrict(ones) != 0, values, 0.0)

    def total(self, values: Tensor) -> Tensor:
        """The sum of `values` (..., *measurement) over what is measured: (...)."""
        return self._sum(self.measured(values))

    def _entrywise(self, parameter: Tensor, u: Tensor) -> Tensor:
        """A parameter () or (B,) in the precision of u (..., B, *measurement), so that they broadcast."""
        self._check_real(u)
        return expand_right(parameter.to(u.device, u.real.dtype), len(self.operator.measurement_shape))

    def _check_real(self, values: Tensor) -> None:
        if values.is_complex() and not self.takes_complex:
            raise IncompatibleError(
                f"{type(self).__name__} takes real measurements, not {values.dtype}; measure a modulus, or real and "
                "imaginary parts as a last dimension"
            )

    def _sum(self, values: Tensor) -> Tensor:
        dims = len(self.operator.measurement_shape)
        return values.flatten(-dims).sum(-1) if dims else values

    def num_values(self, y: Tensor) -> int | Tensor:
        """Number of real values that are measured, a complex entry two; (B,) where each has its own mask."""
        return self.operator.num_measured * (2 if y.is_complex() else 1)
