"""Any differentiable function as an operator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from posterior.checks import Shape, checked
from posterior.errors import IncompatibleError, ShapeError
from posterior.modes import own_modes
from posterior.operators.base import LinearOperator, Operator
from posterior.probe import rounding

Function = Callable[[Tensor], Tensor]


class CallableOperator(Operator):
    """A(x) = function(x), for any differentiable function, which is tried on random images.

    The function works on copies, so that it may work in place, or return one buffer again and again.

    Args:
        function: Maps x (N, *event_shape) to (N, *measurement_shape), real or complex, each image on its own. A
            module moves with the operator; other tensors that it uses are the caller's to move.
        event_shape: Shape of one image.
        measurement_shape: Shape of one measurement.
        dtype: Precision that the function needs; a module's own unless given, and without either any will do.
        device: Where its images must be; a module's own device unless given, and without either anywhere.
        probe: Whether it is tried, at six calls; if it is not, set `is_complex` where measurements are complex.

    Raises:
        ShapeError: The function does not return measurement_shape.
        IncompatibleError: It fails on random images, or torch cannot differentiate it; what it measures of an image
            depends on others of the batch, or differs from call to call; it is a network in training mode.
    """

    @checked
    def __init__(
        self,
        function: Function,
        event_shape: Shape,
        measurement_shape: Shape,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        probe: bool = True,
    ) -> None:
        super().__init__(event_shape, measurement_shape)
        self.function, self.probe = function, probe
        if dtype is not None or device is not None:
            # An empty buffer, so that `dtype` and `device` follow .to(); a bool one leaves the precision open.
            trial = torch.empty(0, dtype=dtype or torch.bool, device=device or self.device)
            self.register_buffer("trial", trial, persistent=False)
        if probe:
            self.check(self.dtype or torch.get_default_dtype())

    def _try_out(self, x: Tensor) -> Tensor:
        try:
            y = super()._try_out(x)
        except IncompatibleError as error:
            raise IncompatibleError(f"{error}; see dtype=, device= and probe= of Operator.from_callable") from error
        self.is_complex = y.is_complex()
        return y

    def _forward(self, x: Tensor) -> Tensor:
        lead = x.shape[: x.ndim - len(self.event_shape)]
        return self._call(x.reshape(-1, *self.event_shape)).reshape(*lead, *self.measurement_shape)

    def _call(self, x: Tensor) -> Tensor:
        y = self.function(x.clone())
        if not isinstance(y, Tensor) or y.shape != (len(x), *self.measurement_shape):
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise ShapeError(
                f"the function given to {type(self).__name__} returned {got} for images of shape {tuple(x.shape)}; "
                f"expected {(len(x), *self.measurement_shape)}"
            )
        return y.clone()


class LinearCallableOperator(CallableOperator, LinearOperator):
    """A(x) = function(x), for a linear function whose adjoint automatic differentiation gives.

    Arguments are those of `CallableOperator`. For real x and complex y the adjoint is Re Aᴴy.

    Raises:
        ShapeError: The function does not return measurement_shape.
        IncompatibleError: It is not linear, or given complex images; or as for `CallableOperator`.
    """

    def _try_out(self, x: Tensor) -> Tensor:
        y = super()._try_out(x)
        with own_modes():
            a, b = x[:2].split(1)
            first, second = y.split(1)
            mixed, size = self(2 * a - 3 * b), 2 * first.norm() + 3 * second.norm()
            tolerance = rounding(y)
            if not (error := (mixed - (2 * first - 3 * second)).norm()) <= tolerance * size:
                zero = self(torch.zeros_like(a))
                affine = (mixed - (2 * first - 3 * second) - 2 * zero).norm() <= tolerance * size
                advice = "subtract f(0), from it and from the measurements" if affine else "use linear=False"
                raise IncompatibleError(
                    "the function given with linear=True is not linear: f(2a − 3b) differs from 2f(a) − 3f(b) by "
                    f"{float(error / size):.1e} of their size on random images; {advice}"
                )
            # A detached part would be missing from the adjoint.
            image = self.adjoint(second)
            error = ((first.conj() * second).sum().real - (a * image).sum()).abs()
            if not error <= tolerance * (first.norm() * second.norm() + a.norm() * image.norm()):
                raise IncompatibleError(
                    "torch's derivative of the function given with linear=True is not its adjoint; is a part of it "
                    "detached, or computed outside torch?"
                )
        return y

    def _forward(self, x: Tensor) -> Tensor:
        if x.is_complex():  # of which the adjoint below would lose the imaginary part
            raise IncompatibleError(
                "a function given with linear=True takes real images, not complex ones; where it follows a complex "
                "operator, give both as one function"
            )
        return super()._forward(x)

    def _adjoint(self, y: Tensor) -> Tensor:
        lead = y.shape[: y.ndim - len(self.measurement_shape)]
        flat = y.reshape(-1, *self.measurement_shape)
        differentiable = torch.is_grad_enabled() and y.requires_grad
        with torch.enable_grad():
            x = torch.zeros(len(flat), *self.event_shape, dtype=y.real.dtype, device=y.device, requires_grad=True)
            (image,) = torch.autograd.grad(self._call(x), x, flat, create_graph=differentiable, materialize_grads=True)
        return image.reshape(*lead, *self.event_shape)
