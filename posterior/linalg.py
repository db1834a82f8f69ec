"""Linear algebra by products with a symmetric matrix alone: Chebyshev, Lanczos and conjugate gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from posterior.shapes import expand_right

SpectralFunction = Callable[[Tensor], Tensor]
_NODES = 128
_AT_ONCE = 1 << 20  # values of a function computed at once, of which each measurement takes its own


def chebyshev(
    gram: Callable[[Tensor], Tensor], bound: Tensor, function: SpectralFunction, x: Tensor, event_dims: int
) -> Tensor:
    r"""f(G) x by a Chebyshev expansion of f on [0, bound], to near the precision of x.

    Terms are \(c_j T_j(2G/bound - 1) x\), with T_j from its three-term recurrence.

    Args:
        gram: Multiplies by a symmetric G with eigenvalues in [0, bound].
        bound: () or (B,).
        function: Scalar f, as for `LinearOperator.gram_function`.
        x: (..., *event).
        event_dims: How many trailing dimensions of x one event has.
    """
    angles = (torch.arange(_NODES, dtype=torch.float64, device=x.device) + 0.5) * (math.pi / _NODES)
    bound = bound.to(device=x.device, dtype=torch.float64).clamp_min(1e-30)  # A = 0 has the bound 0
    points = 0.5 * bound[..., None] * (angles.cos() + 1)
    values = function(points) if points.ndim == 1 else own_values(function, points)
    cosines = torch.cos(torch.arange(_NODES, device=x.device)[:, None] * angles)
    coefficients = 2 / _NODES * values.to(torch.float64) @ cosines.T  # (nodes,) or (B, nodes)
    coefficients[..., 0] /= 2
    # Each measurement is cut off against its own largest term, so that others cannot change its result.
    tail = coefficients.abs().flip(-1).cummax(-1).values.flip(-1)
    kept = tail > 8 * torch.finfo(x.dtype).eps * tail[..., :1]  # less is rounding of the coefficients in float64
    coefficients = torch.where(kept, coefficients, 0.0)
    terms = max(1, int(kept.reshape(-1, _NODES).any(0).sum()))
    term_coefficients = [expand_right(c, event_dims).to(x.dtype) for c in coefficients[..., :terms].unbind(-1)]
    scale = expand_right(2 / bound, event_dims).to(x.dtype)

    def shifted(v: Tensor) -> Tensor:
        return scale * gram(v) - v

    total = term_coefficients[0] * x
    if terms == 1:
        return total
    previous, current = x, shifted(x)
    for j, coefficient in enumerate(term_coefficients[1:], start=1):
        total = total + coefficient * current
        if j < terms - 1:
            previous, current = current, 2 * shifted(current) - previous
    return total


def own_values(function: SpectralFunction, points: Tensor) -> Tensor:
    """f at points (B, *k) of B measurements, each of which takes its own f where f depends on it: (B, *k)."""
    parts = []
    for place in torch.arange(len(points), device=points.device).split(max(1, _AT_ONCE // max(1, points.numel()))):
        part = function(points[place].flatten()).unflatten(-1, (len(place), -1))
        parts.append(part[place, place - place[0]] if part.ndim == 3 else part)
    return torch.cat(parts).view(points.shape)


def largest_eigenvalue(gram: Callable[[Tensor], Tensor], start: Tensor, iterations: int = 40) -> Tensor:
    """The largest eigenvalue of a symmetric G ≥ 0 by Lanczos iteration with full reorthogonalisation, from below.

    Args:
        gram: Multiplies by G: (*event) or (B, *event) → the same, or → (B, *event) where G depends on the measurement.
        start: First vector (*event), best a random one.
        iterations: Largest number of products with G.

    Returns:
        () or, where G depends on the measurement, (B,).
    """
    dtype, event = start.dtype, start.shape
    iterations = min(iterations, math.prod(event))

    def product(v: Tensor) -> Tensor:
        return gram(v.unflatten(-1, event)).to(dtype).flatten(-len(event))

    v = product(start.flatten())  # has the B of G, and lies in its range
    v = v / _length(v).clamp_min(torch.finfo(dtype).tiny)
    basis = v.new_zeros(iterations, *v.shape)
    diagonal, off = [], []
    for k in range(iterations):
        basis[k] = v
        w = product(v)
        before = _length(w)
        diagonal.append((w * v).sum(-1))
        for _ in range(2):  # twice is enough for orthogonality in finite precision
            overlaps = torch.einsum("k...n,...n->k...", basis[: k + 1], w)
            w = w - torch.einsum("k...n,k...->...n", basis[: k + 1], overlaps)
        length = _length(w)
        # What is left when the space is exhausted is rounding: normalised, it would not be orthogonal to the basis.
        length = torch.where(length > 1e3 * torch.finfo(dtype).eps * before, length, 0.0)
        off.append(length[..., 0])
        if not bool(length.any()):
            break
        v = torch.where(length > 0, w / length, 0.0)
    matrix = torch.diag_embed(torch.stack(diagonal, -1))
    if len(off) > 1:
        beta = torch.stack(off[:-1], -1)
        matrix = matrix + torch.diag_embed(beta, 1) + torch.diag_embed(beta, -1)
    return torch.linalg.eigvalsh(matrix.double())[..., -1].clamp_min(0).to(dtype)


def conjugate_gradients(
    product: Callable[[Tensor], tuple[Tensor, Tensor]], b: Tensor, dims: int, iterations: int, tolerance: float
) -> Tensor:
    r"""\(L G^{-1} b\) by conjugate gradients, an independent system for each row.

    Residuals are made orthogonal to all earlier ones, as they are without rounding. The plain recurrence loses this
    after some steps; what it then returns depends on the last bit of each product, and so on the number of rows.

    Where G is not quite symmetric, such as the derivative of a network, iterates may go astray. So they are smoothed:
    what is returned is, at each of them, the point on the line to it whose residual is least, which never grows.

    Args:
        product: Maps v, as b, to (G v, L v), with G symmetric and positive, and any linear L (L v = v solves G x = b).
            The image under L comes at no further product where a part of G v is L v already.
        b: Right-hand sides (..., *shape), real or complex.
        dims: How many trailing dimensions one right-hand side has.
        iterations: Largest number of products.
        tolerance: A row stops where its residual has fallen to this fraction of ‖b‖, or where G is not positive.

    References:
        Hestenes & Stiefel 1952, Methods of conjugate gradients for solving linear systems, J. Res. NBS 49.
        Schönauer 1987, Scientific Computing on Vector Computers (smoothing).
    """

    def dot(u: Tensor, v: Tensor) -> Tensor:
        return (u.conj() * v).real.flatten(u.ndim - dims).sum(-1)

    residual = direction = actual = least = b  # `actual` is b − G x, and `least` that of `smooth`
    energy = dot(b, b)
    goal = tolerance**2 * energy
    going = energy > goal
    solution: Tensor | None = None
    smooth: Tensor | None = None
    basis: list[Tensor] = []
    for _ in range(iterations):
        if smooth is not None and not bool(going.any()):  # to ask costs less than another product
            break
        image, mapped = product(direction)
        curvature = dot(direction, image)
        going = going & (curvature > 0)
        size = torch.where(going, energy / curvature, 0.0)
        step = expand_right(size, mapped.ndim - size.ndim) * mapped
        solution = step if solution is None else solution + step
        basis.append(expand_right(torch.where(going, energy.rsqrt(), 0.0), dims) * residual)  # of rows that go on
        residual = residual - expand_right(size, dims) * image
        actual = actual - expand_right(size, dims) * image
        change = actual - least
        length = dot(change, change)
        share = torch.where(length > 0, -dot(least, change) / length, 0.0)
        part = expand_right(share, mapped.ndim - share.ndim)
        smooth = part * solution if smooth is None else smooth + part * (solution - smooth)
        least = least + expand_right(share, dims) * change
        for unit in basis:
            residual = residual - expand_right(dot(unit, residual), dims) * unit
        before, energy = energy, dot(residual, residual)
        direction = residual + expand_right(torch.where(going, energy / before, 0.0), dims) * direction
        going = going & (energy > goal)
    assert smooth is not None
    return smooth


def shifted_inverse(
    gram: Callable[[Tensor], Tensor], shift: Tensor, b: Tensor, dims: int, iterations: int, tolerance: float
) -> Tensor:
    r"""\(x = (G + \mu I)^{-1} b\) by conjugate gradients, differentiable in b and μ without a record of the iterations.

    The gradient of a loss in b is the solution of a second system, with its gradient in x on the right-hand side:

    $$ \bar b = (G + \mu I)^{-1} \bar x, \qquad \bar\mu = -\langle \bar b, x \rangle. $$

    Args:
        gram: Multiplies by a symmetric G ≥ 0, which no gradient is taken of.
        shift: μ > 0, ().
        b, dims, iterations, tolerance: As for `conjugate_gradients`, b real.

    References:
        Aggarwal, Mani & Jacob 2019, MoDL: Model-Based Deep Learning Architecture for Inverse Problems,
        arXiv:1712.02862, section III-D.
    """

    def solve(right: Tensor) -> Tensor:
        return conjugate_gradients(lambda v: (gram(v) + shift.detach() * v, v), right, dims, iterations, tolerance)

    solution: Tensor = _Implicit.apply(b, shift, solve)
    return solution


class _Implicit(torch.autograd.Function):
    """The solution of a symmetric system whose matrix depends on a shift, given what solves it."""

    @staticmethod
    def forward(ctx: Any, b: Tensor, shift: Tensor, solve: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.solve, solution = solve, solve(b)
        ctx.save_for_backward(solution)
        return solution

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, Tensor, None]:
        (solution,) = ctx.saved_tensors
        right = ctx.solve(slope)
        return right, -(right * solution).sum(), None


def _length(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)
