"""Tomography: sums of an image along parallel rays, from several directions."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from posterior.checks import Count, Shape, checked
from posterior.errors import InvalidValueError, ShapeError
from posterior.operators.base import LinearOperator
from posterior.shapes import image_shape


class Radon(LinearOperator):
    r"""The parallel-beam Radon transform: at each angle θ, sums along rays at every offset s from the image's centre.

    $$ A(x)_{\theta, s} = \sum_t x(r, c), \quad
       r = -s\sin\theta + t\cos\theta, \; c = s\cos\theta + t\sin\theta $$

    Rows r and columns c are counted from the pixel (⌊H/2⌋, ⌊W/2⌋) and interpolated bilinearly, zero outside the image;
    s and t are whole numbers from −⌊D/2⌋ on, D of them, as many as span the image's diagonal. No matrix is formed. At
    θ = 0 these are sums of columns. Every channel is projected on its own.

    Args:
        event_shape: (..., H, W).
        angles: θ in degrees, (K,); few of them are sparse views. Measurements are (..., K, D), in units of a pixel's
            value times its side.

    Raises:
        ShapeError: event_shape has no H and W, or angles are not (K,) with K ≥ 1.
        InvalidValueError: Angles are complex, or not finite.
    """

    angles: Tensor

    @checked
    def __init__(self, event_shape: Shape, angles: Tensor) -> None:
        event_shape = tuple(event_shape)
        if angles.ndim != 1 or len(angles) == 0:
            raise ShapeError(f"Radon takes angles (K,), K ≥ 1, in degrees; got shape {tuple(angles.shape)}")
        if angles.is_complex() or angles.dtype == torch.bool:
            raise InvalidValueError(f"the angles of Radon are numbers of degrees, got {angles.dtype}")
        detector = math.ceil(math.sqrt(2) * max(image_shape(event_shape)))
        super().__init__(event_shape, (*event_shape[:-2], len(angles), detector))
        self.register_buffer("angles", angles if angles.is_floating_point() else angles.float())

    @classmethod
    @checked
    def equispaced(cls, event_shape: Shape, num_views: Count) -> Radon:
        """Views at so many angles, equally far apart, from 0 to less than 180 degrees."""
        return cls(event_shape, 180 * torch.arange(num_views) / num_views)

    def _forward(self, x: Tensor) -> Tensor:
        return self._by_channel(x, transposed=False)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self._by_channel(y, transposed=True)

    def _by_channel(self, values: Tensor, transposed: bool) -> Tensor:
        rows = values.reshape(-1, *values.shape[-2:])
        out: Tensor = _Projection.apply(rows, self._rays(values.dtype), image_shape(self.event_shape), transposed)
        return out.reshape(*values.shape[:-2], *out.shape[-2:])

    def _rays(self, dtype: torch.dtype) -> Tensor:
        """Where rays are sampled, (K, t, s, 2): column and row in units of half the image, as `grid_sample` has it."""

        def compute() -> Tensor:
            (height, width), detector = image_shape(self.event_shape), self.measurement_shape[-1]
            offset = torch.arange(detector, dtype=torch.float64, device=self.angles.device) - detector // 2
            theta = torch.deg2rad(self.angles.double())[:, None, None]
            s, t = offset[None, None, :], offset[None, :, None]
            row = t * theta.cos() - s * theta.sin() + height // 2
            column = s * theta.cos() + t * theta.sin() + width // 2
            return torch.stack([(2 * column + 1) / width - 1, (2 * row + 1) / height - 1], -1).to(dtype)

        return self._cached(("rays", dtype), compute)


class _Projection(torch.autograd.Function):
    """Projections (N, K, D) of images (N, H, W), or their transpose: each is the derivative of the other, to any order.

    Images are channels to `grid_sample`, which so computes its weights once for all of them.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, rays: Tensor, shape: tuple[int, int], transposed: bool) -> Tensor:
        ctx.rays, ctx.shape, ctx.transposed = rays, shape, transposed
        if not transposed:
            views = [
                grid_sample(values[None], ray[None], padding_mode="zeros", align_corners=False)[0].sum(-2)
                for ray in rays
            ]
            return torch.stack(views, -2)
        image = values.new_zeros(1, len(values), *shape)
        total = torch.zeros_like(image)
        for ray, view in zip(rays, values.unbind(-2), strict=True):
            along = view[None, :, None, :].expand(-1, -1, len(ray), -1).contiguous()
            total += torch.ops.aten.grid_sampler_2d_backward(along, image, ray[None], 0, 0, False, [True, False])[0]
        return total[0]

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        return _Projection.apply(slopes[0].contiguous(), ctx.rays, ctx.shape, not ctx.transposed), None, None, None
