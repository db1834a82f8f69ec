"""What a forward operator A is: its shapes and, if it is linear, its adjoint, norm and spectral functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar, overload

import torch
from torch import Tensor, nn

from posterior.errors import IncompatibleError
from posterior.linalg import SpectralFunction, chebyshev, largest_eigenvalue
from posterior.noise import Noise
from posterior.shapes import check_shape, expand_right

T = TypeVar("T")


class SVD(NamedTuple):
    """A = U diag(s) Vᴴ over flattened events and measurements: u (m, k), s (k,), v (n, k)."""

    u: Tensor
    s: Tensor
    v: Tensor


class Operator(nn.Module):
    """A differentiable map from an image to a noiseless measurement.

    Broadcasts on the left: x (..., *event_shape) → (..., *measurement_shape). Subclasses define `_forward`.

    Attributes:
        event_shape: Shape of one image.
        measurement_shape: Shape of one measurement.
    """

    event_shape: tuple[int, ...]
    measurement_shape: tuple[int, ...]
    example: Tensor | None = None  # an operator that has no buffers to tell its precision and device may set it

    def __init__(self, event_shape: Sequence[int], measurement_shape: Sequence[int]) -> None:
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.measurement_shape = tuple(measurement_shape)
        self._cache: dict[Any, tuple[list[tuple[Tensor, int]], Any]] = {}

    @property
    def num_measured(self) -> int | Tensor:
        """Number of entries that are measured (a complex entry counts once); (B,) where each has its own mask."""
        return math.prod(self.measurement_shape)

    def forward(self, x: Tensor) -> Tensor:
        """A(x): (..., *event_shape) → (..., *measurement_shape)."""
        check_shape(f"x, given to {type(self).__name__},", x.shape, self.event_shape)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def restrict(self, y: Tensor) -> Tensor:
        """Zero the entries of y (..., *measurement_shape) where nothing is measured."""
        return y

    def select(self, measurements: Tensor) -> Operator:
        """The operator of some of the measurements of a batch, by index; itself unless parameters carry a B."""
        return self

    def __matmul__(self, other: Operator) -> Operator:
        """The composition x → A(B(x)); linear if both are."""
        from posterior.operators.combine import Composition, OperatorComposition

        if isinstance(self, LinearOperator) and isinstance(other, LinearOperator):
            return Composition(self, other)
        return OperatorComposition(self, other)

    @staticmethod
    def from_callable(
        function: Callable[[Tensor], Tensor],
        *,
        event_shape: Sequence[int],
        measurement_shape: Sequence[int],
        linear: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str = "cpu",
    ) -> Operator:
        """Wrap a differentiable function of x (N, *event_shape) → (N, *measurement_shape).

        A linear one becomes a `LinearOperator` whose adjoint comes from automatic differentiation; that it is linear
        is checked on random images, of the given precision and device (see `CallableOperator`).

        Raises:
            ShapeError: The function does not return measurement_shape.
            IncompatibleError: linear=True, but the function is not, or torch cannot differentiate it.
        """
        from posterior.operators.callables import CallableOperator, LinearCallableOperator

        kind = LinearCallableOperator if linear else CallableOperator
        return kind(function, event_shape, measurement_shape, dtype=dtype, device=device)

    def _cached(self, key: Any, compute: Callable[[], T]) -> T:
        """compute(), once for as long as the buffers and parameters that it may use stay what and where they are."""
        state = [(t, -1 if t.is_inference() else t._version) for t in (*self.parameters(), *self.buffers())]
        if key in self._cache:
            then, value = self._cache[key]
            if [(id(t), version) for t, version in then] == [(id(t), version) for t, version in state]:
                return value  # the cache holds the tensors themselves, so an id is not used twice
        with torch.inference_mode(False), torch.no_grad():
            value = compute()
        self._cache[key] = (state, value)
        return value

    def _example(self) -> Tensor:
        """An empty tensor of the precision and on the device that the operator works in."""
        for module in self.modules():
            if isinstance(module, Operator) and module.example is not None:
                return module.example
        tensors = [*self.parameters(), *self.buffers()]
        floating = [t for t in tensors if t.is_floating_point() or t.is_complex()]
        dtype = floating[0].real.dtype if floating else torch.get_default_dtype()
        return torch.empty(0, dtype=dtype, device=next((t.device for t in tensors), None))


class LinearOperator(Operator):
    """A linear map, with its adjoint as a real-linear map (Re Aᴴ for real x and complex y).

    Subclasses define `_forward` and `_adjoint`.

    Attributes:
        knows_spectrum: Whether `gram_function` is exact, for functions that jump too.
    """

    knows_spectrum: bool = False

    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀy: (..., *measurement_shape) → (..., *event_shape)."""
        check_shape(f"y, given to {type(self).__name__}.adjoint,", y.shape, self.measurement_shape)
        return self._adjoint(y)

    def _adjoint(self, y: Tensor) -> Tensor:
        raise NotImplementedError

    def gram(self, x: Tensor) -> Tensor:
        """AᵀA x."""
        return self.adjoint(self(x))

    def norm(self) -> Tensor:
        """An upper bound of the largest singular value, () or (B,) where parameters carry a B.

        Lanczos iteration on AᵀA plus 2 %, computed once, unless a subclass knows it.
        """
        example = self._example()

        def compute() -> Tensor:
            noise = Noise.of(0, device=example.device, dtype=example.dtype).use("norm")
            return 1.02 * largest_eigenvalue(self.gram, noise.normal(self.event_shape)[0, 0]).sqrt()

        return self._cached(("norm", example.dtype, example.device), compute)

    def svd(self) -> SVD:
        """The singular value decomposition, where it is cheap."""
        raise IncompatibleError(f"{type(self).__name__} has no cheap singular value decomposition")

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(AᵀA) x for a smooth scalar f, such as (1 − κλ)^½.

        Args:
            function: Maps eigenvalues λ of any shape (*k,) to f(λ) of shape (*k,) or (B, *k), where f depends on the
                measurement; smooth on [0, ‖A‖²].
            x: Images (..., *event_shape).

        A Chebyshev expansion, unless a subclass knows the spectrum.
        """
        return chebyshev(self.gram, self.norm() ** 2, function, x, len(self.event_shape))

    @overload
    def __matmul__(self, other: LinearOperator) -> LinearOperator: ...
    @overload
    def __matmul__(self, other: Operator) -> Operator: ...
    def __matmul__(self, other: Operator) -> Operator:
        """The composition x → A(B(x)); linear if both are."""
        return super().__matmul__(other)


class TightOperator(LinearOperator):
    """A linear operator with AᵀA = c P, P an orthogonal projection: orthogonal rows of one length √c.

    Attributes:
        scale: c = ‖A‖².
    """

    knows_spectrum = True

    def __init__(self, event_shape: Sequence[int], measurement_shape: Sequence[int], scale: float) -> None:
        super().__init__(event_shape, measurement_shape)
        self.scale = scale

    def norm(self) -> Tensor:
        """√c, exactly."""
        return torch.tensor(math.sqrt(self.scale), dtype=torch.float64)

    def gram_function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(AᵀA) x = f(0) x + (f(c) − f(0)) AᵀA x / c."""
        values = function(x.new_tensor([0.0, self.scale])).to(x.dtype)
        at_zero, at_scale = (expand_right(value, len(self.event_shape)) for value in values.unbind(-1))
        return at_zero * x + ((at_scale - at_zero) / self.scale) * self.gram(x)
