"""Any differentiable function as an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from posterior.errors import IncompatibleError, ShapeError
from posterior.noise import Noise
from posterior.operators.base import LinearOperator, Operator

Function = Callable[[Tensor], Tensor]


class CallableOperator(Operator):
    """A(x) = function(x), for any differentiable function, which is tried on two random images.

    Args:
        function: Maps x (N, *event_shape) to (N, *measurement_shape), real or complex, each image on its own. A
            module moves with the operator; other tensors that it uses are the caller's to move.
        event_shape: Shape of one image.
        measurement_shape: Shape of one measurement.
        dtype: Precision that the function needs; a module's own unless given, and without either any will do.
        device: Where its images must be; a module's own device unless given, and without either anywhere.

    Raises:
        ShapeError: The function does not return measurement_shape.
        IncompatibleError: It fails on random images.
    """

    def __init__(
        self,
        function: Function,
        event_shape: Sequence[int],
        measurement_shape: Sequence[int],
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(event_shape, measurement_shape)
        self.function = function
        if dtype is not None or device is not None:
            # An empty buffer, so that `dtype` and `device` follow .to(); a bool one leaves the precision open.
            trial = torch.empty(0, dtype=dtype or torch.bool, device=device or self.device)
            self.register_buffer("trial", trial, persistent=False)
        dtype, device = self.dtype or torch.get_default_dtype(), self.device or torch.get_default_device()
        noise = Noise.of(0, 2, device=device, dtype=dtype).use("trial")
        try:
            self.is_complex = self._try_out(noise.normal(self.event_shape)[0]).is_complex()
        except (RuntimeError, TypeError) as error:
            raise IncompatibleError(
                f"the function given to {type(self).__name__} fails on {dtype} images of shape "
                f"{(2, *self.event_shape)} on {device}: {error}. It must be differentiable by torch; give dtype= and "
                "device= if it needs others"
            ) from error

    def _try_out(self, x: Tensor) -> Tensor:
        """Measurements of two random images."""
        with torch.no_grad():
            return self(x)

    def _forward(self, x: Tensor) -> Tensor:
        lead = x.shape[: x.ndim - len(self.event_shape)]
        return self._call(x.reshape(-1, *self.event_shape)).reshape(*lead, *self.measurement_shape)

    def _call(self, x: Tensor) -> Tensor:
        y = self.function(x)
        if not isinstance(y, Tensor) or y.shape != (len(x), *self.measurement_shape):
            got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
            raise ShapeError(
                f"the function given to {type(self).__name__} returned {got} for images of shape {tuple(x.shape)}; "
                f"expected {(len(x), *self.measurement_shape)}"
            )
        return y


class LinearCallableOperator(CallableOperator, LinearOperator):
    """A(x) = function(x), for a linear function whose adjoint automatic differentiation gives.

    Arguments are those of `CallableOperator`. For real x and complex y the adjoint is Re Aᴴy.

    Raises:
        ShapeError: The function does not return measurement_shape.
        IncompatibleError: It is not linear, fails on random images, torch cannot differentiate it, or it is given
            complex images.
    """

    def _try_out(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            y = self(x)
            first, second = y.split(1)
            mixed = self(2 * x[:1] - 3 * x[1:])
            tolerance = torch.finfo(x.dtype).eps ** 0.6  # about 1e-4 in float32, 1e-9 in float64
            error, size = (mixed - (2 * first - 3 * second)).norm(), 2 * first.norm() + 3 * second.norm()
            if not error <= tolerance * size:
                raise IncompatibleError(
                    "the function given with linear=True is not linear: f(2a − 3b) differs from 2f(a) − 3f(b) by "
                    f"{float(error / size):.1e} of their size on random images; use linear=False"
                )
            # A detached part would be missing from the adjoint.
            image = self.adjoint(second)
            error = ((first.conj() * second).sum().real - (x[:1] * image).sum()).abs()
            if not error <= tolerance * (first.norm() * second.norm() + x[:1].norm() * image.norm()):
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
