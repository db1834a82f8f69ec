"""Any differentiable function as an operator."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from posterior.errors import IncompatibleError, ShapeError
from posterior.noise import Noise
from posterior.operators.base import LinearOperator, Operator

Function = Callable[[Tensor], Tensor]


class CallableOperator(Operator):
    """A(x) = function(x), for any differentiable function.

    Args:
        function: Maps x (N, *event_shape) to (N, *measurement_shape), real or complex, each image on its own. A
            module moves with the operator; other tensors that it uses are the caller's to move.
        event_shape: Shape of one image.
        measurement_shape: Shape of one measurement.
        dtype: Precision of the images that try the function out; a module's own, or torch's default, unless given.
        device: Where these images are; a module's own device goes before.

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
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(event_shape, measurement_shape)
        self.function = function
        tensors = [*self.parameters(), *self.buffers()]
        own = next((t for t in tensors if t.is_floating_point()), torch.empty(0, device=device))
        # Not a buffer: a function may work in any precision, and need not fit that of y.
        self.example = torch.empty(0, dtype=dtype or own.dtype, device=own.device)
        noise = Noise.of(0, 2, device=own.device, dtype=self.example.dtype).use("trial")
        try:
            self._try_out(noise.normal(self.event_shape)[0])
        except (RuntimeError, TypeError) as error:
            raise IncompatibleError(
                f"the function given to {type(self).__name__} fails on {self.example.dtype} images of shape "
                f"{(2, *self.event_shape)} on {own.device}: {error}. It must be differentiable by torch; give dtype= "
                "and device= if it needs others"
            ) from error

    def _try_out(self, x: Tensor) -> None:
        with torch.no_grad():
            self(x)

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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        if self.example is not None:
            self.example = fn(self.example)
        return super()._apply(fn, recurse)


class LinearCallableOperator(CallableOperator, LinearOperator):
    """A(x) = function(x), for a linear function whose adjoint automatic differentiation gives.

    Arguments are those of `CallableOperator`. For real x and complex y the adjoint is Re Aᴴy.

    Raises:
        ShapeError: The function does not return measurement_shape.
        IncompatibleError: It is not linear, fails on random images, or torch cannot differentiate it.
    """

    def _try_out(self, x: Tensor) -> None:
        with torch.no_grad():
            first, second = self(x).split(1)
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

    def _adjoint(self, y: Tensor) -> Tensor:
        lead = y.shape[: y.ndim - len(self.measurement_shape)]
        flat = y.reshape(-1, *self.measurement_shape)
        differentiable = torch.is_grad_enabled() and y.requires_grad
        with torch.enable_grad():
            x = torch.zeros(len(flat), *self.event_shape, dtype=y.real.dtype, device=y.device, requires_grad=True)
            (image,) = torch.autograd.grad(self._call(x), x, flat, create_graph=differentiable, materialize_grads=True)
        return image.reshape(*lead, *self.event_shape)
