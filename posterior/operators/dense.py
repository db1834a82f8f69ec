"""Multiplication by a dense matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from posterior.checks import Shape, checked
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.linalg import SpectralFunction
from posterior.operators.base import SVD, LinearOperator
from posterior.shapes import expand_right


class Matrix(LinearOperator):
    """Multiplication of the flattened image by a matrix.

    Args:
        matrix: (m, n), real; measurements are (m,).
        event_shape: Shape of one image, with n entries; (n,) unless given.

    Raises:
        ShapeError: The matrix does not have as many columns as event_shape has entries.
        InvalidValueError: The matrix is not real, floating-point and finite.
    """

    knows_spectrum = True
    matrix: Tensor

    @checked
    def __init__(self, matrix: Tensor, event_shape: Shape | None = None) -> None:
        event_shape = tuple(matrix.shape[1:] if event_shape is None else event_shape)
        if matrix.ndim != 2 or matrix.shape[1] != torch.Size(event_shape).numel() or 0 in matrix.shape:
            raise ShapeError(
                f"the matrix has shape {tuple(matrix.shape)}; expected (m, n) with n = "
                f"{torch.Size(event_shape).numel()} columns, the entries of event_shape {event_shape}"
            )
        if not matrix.is_floating_point():
            raise InvalidValueError(
                f"the matrix must be real and floating-point, got {matrix.dtype}; a complex image is two channels "
                "here, so stack real and imaginary parts"
            )
        super().__init__(event_shape, (len(matrix),))
        self.register_buffer("matrix", matrix)

    def norm(self) -> Tensor:
        """The largest singular value, exactly."""
        return self._cached("norm", lambda: torch.linalg.eigvalsh(self._smaller_gram())[-1].clamp_min(0).sqrt())

    def _smaller_gram(self) -> Tensor:
        """AAᵀ or AᵀA: their largest eigenvalue is as accurate as that of an SVD, and much cheaper."""
        m, n = self.matrix.shape
        return self.matrix @ self.matrix.mT if m < n else self.matrix.mT @ self.matrix

    def svd(self) -> SVD:
        """The thin singular value decomposition, computed once: u (m, k), s (k,), v (n, k) with k = min(m, n)."""

        def compute() -> SVD:
            u, s, vh = torch.linalg.svd(self.matrix, full_matrices=False)
            return SVD(u, s, vh.mT)

        return self._cached("svd", compute)

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(AᵀA) x by the eigenvectors of the smaller of AᵀA = VΛVᵀ and AAᵀ = UΛUᵀ, computed once.

        f(AᵀA) = V f(Λ) Vᵀ = f(0) + Aᵀ U (f(Λ) − f(0)) Λ⁻¹ Uᵀ A
        """
        self._check_dtype(x)
        values, vectors = self._cached("spectrum", lambda: torch.linalg.eigh(self._smaller_gram()))
        values = values.clamp_min(0)
        flat = x.flatten(-len(self.event_shape))
        if len(vectors) == len(self.matrix.mT):
            return (flat @ vectors * function(values).to(x.dtype) @ vectors.mT).unflatten(-1, self.event_shape)
        at_zero = function(values.new_tensor(0.0)).to(x.dtype)
        # Rounding in f(λ) − f(0) is divided by λ, but then multiplied by it, in Aᵀ and A.
        slopes = torch.where(values > 0, (function(values).to(x.dtype) - expand_right(at_zero, 1)) / values, 0.0)
        change = (flat @ self.matrix.mT @ vectors * slopes) @ vectors.mT @ self.matrix
        return expand_right(at_zero, len(self.event_shape)) * x + change.unflatten(-1, self.event_shape)

    def _forward(self, x: Tensor) -> Tensor:
        self._check_dtype(x)
        return x.flatten(-len(self.event_shape)) @ self.matrix.mT

    def _adjoint(self, y: Tensor) -> Tensor:
        self._check_dtype(y)
        return (y @ self.matrix).unflatten(-1, self.event_shape)

    def _check_dtype(self, x: Tensor) -> None:
        if x.dtype != self.matrix.dtype:
            raise IncompatibleError(
                f"a {self.matrix.dtype} matrix was given {x.dtype} values; convert one, e.g. operator.to({x.dtype})"
            )
