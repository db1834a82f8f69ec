"""Operators of the deepinv library."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from posterior.checks import Shape, checked
from posterior.errors import IncompatibleError
from posterior.operators.base import LinearOperator, Operator
from posterior.probe import rounding


class DeepinvOperator(Operator):
    """A(x) = physics.A(x), of an operator of deepinv, which is tried on random images.

    Args:
        physics: Takes x (N, *event_shape). Its tensors move with the operator.
        event_shape: Shape of one image.
        measurement_shape: Shape of one measurement.

    Raises:
        IncompatibleError: It fails on random images, couples or changes them, is random, or cannot be differentiated.
    """

    probe = True

    def __init__(self, physics: Any, event_shape: Shape, measurement_shape: Shape) -> None:
        super().__init__(event_shape, measurement_shape)
        self.physics = physics
        self.check(self.dtype or torch.get_default_dtype())

    def _try_out(self, x: Tensor) -> Tensor:
        y = super()._try_out(x)
        self.is_complex = y.is_complex()
        return y

    def _forward(self, x: Tensor) -> Tensor:
        lead = x.shape[: x.ndim - len(self.event_shape)]
        y: Tensor = self.physics.A(x.reshape(-1, *self.event_shape))
        return y.reshape(*lead, *self.measurement_shape)


class LinearDeepinvOperator(DeepinvOperator, LinearOperator):
    """A linear operator of deepinv, by its `A` and its `A_adjoint`.

    Raises:
        IncompatibleError: `A_adjoint` is not the adjoint of `A` on random images; or as for `DeepinvOperator`.
    """

    probe = True

    def _try_out(self, x: Tensor) -> Tensor:
        y = super()._try_out(x)
        image = self.adjoint(y)
        ahead, back = (y.conj() * y).real.sum(), (x[:2] * image).sum()
        if not (ahead - back).abs() <= rounding(y) * (ahead + x[:2].norm() * image.norm()):
            raise IncompatibleError(
                f"A_adjoint of {type(self.physics).__name__} is not the adjoint of A: ⟨Ax, y⟩ is {float(ahead):.6g}, "
                f"⟨x, A_adjoint(y)⟩ is {float(back):.6g}; give its A to Operator.from_callable(…, linear=True)"
            )
        return y

    def _adjoint(self, y: Tensor) -> Tensor:
        lead = y.shape[: y.ndim - len(self.measurement_shape)]
        image: Tensor = self.physics.A_adjoint(y.reshape(-1, *self.measurement_shape))
        return image.real.reshape(*lead, *self.event_shape)


@checked
def from_deepinv(physics: Any, event_shape: Shape) -> Operator:
    """The operator of a `deepinv.physics.Physics` without its noise, linear where it has an `A_adjoint`.

    `A` and `A_adjoint` are called, and never the physics itself, which adds noise: say that by a likelihood.

    Args:
        physics: What deepinv calls an operator, on the device where it is to work.
        event_shape: Shape of one image, (C, H, W); complex images have two channels in deepinv as they have here.

    Raises:
        IncompatibleError: It does not take such images, measures no tensor, or `A_adjoint` is not its adjoint.
    """
    try:
        with torch.no_grad():
            y = physics.A(_blank(physics, event_shape))
    except Exception as error:
        raise IncompatibleError(
            f"{type(physics).__name__} does not measure images of shape {tuple(event_shape)}: {error}"
        ) from error
    if not isinstance(y, Tensor):
        raise IncompatibleError(f"{type(physics).__name__} measures a {type(y).__name__}; wrap its parts one by one")
    kind = LinearDeepinvOperator if hasattr(physics, "A_adjoint") else DeepinvOperator
    return kind(physics, event_shape, y.shape[1:])


def _blank(physics: Any, event_shape: Shape) -> Tensor:
    """An empty image of the precision and on the device of a physics."""
    tensors = (*physics.parameters(), *physics.buffers()) if isinstance(physics, torch.nn.Module) else ()
    like = next((t for t in tensors if t.is_floating_point() or t.is_complex()), torch.empty(0))
    return torch.zeros(1, *event_shape, dtype=like.real.dtype, device=like.device)
