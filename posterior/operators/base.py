"""Forward operators A, linear or not, and their compositions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, overload

import torch
from torch import Tensor

from posterior.batched import BatchedModule
from posterior.checks import Shape, checked
from posterior.errors import IncompatibleError, ShapeError
from posterior.linalg import SpectralFunction, chebyshev, largest_eigenvalue
from posterior.modes import check_evaluation
from posterior.noise import Noise
from posterior.probe import trial_rows, try_out
from posterior.shapes import check_values


class SVD(NamedTuple):
    """A = U diag(s) Vᴴ over flattened events and measurements: u (m, k), s (k,), v (n, k)."""

    u: Tensor
    s: Tensor
    v: Tensor


class Operator(BatchedModule):
    """A differentiable map from a real image to a noiseless measurement.

    Broadcasts on the left: x (..., *event_shape) → (..., *measurement_shape). Subclasses define `_forward`. Their
    parameters are buffers, registered by `register_batched` where each measurement of a batch may have its own.

    Attributes:
        event_shape: Shape of one image.
        measurement_shape: Shape of one measurement.
        is_complex: Whether measurements are complex.
        probe: Whether `Posterior` first tries the operator on random images, once, at five calls; those of this library
            need not be tried.
    """

    event_shape: tuple[int, ...]
    measurement_shape: tuple[int, ...]
    is_complex: bool = False
    probe: bool = True
    from_deepinv: ClassVar[Callable[..., Operator]]  # of posterior.operators.deepinv, set by the package
    _of_function: ClassVar[Callable[..., Operator]]  # set by the package, since it derives from this class

    @checked
    def __init__(self, event_shape: Shape, measurement_shape: Shape) -> None:
        super().__init__()
        if not event_shape:
            raise ShapeError(f"event_shape of {type(self).__name__} is (); give images at least one dimension")
        self.event_shape = tuple(event_shape)
        self.measurement_shape = tuple(measurement_shape)
        self._tried: set[torch.dtype] = set()
        self._made_in = torch.get_default_dtype()  # a later default must not change what is computed

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "probe" not in vars(cls):
            cls.probe = not cls.__module__.startswith("posterior.")

    def check(self, dtype: torch.dtype, device: torch.device | None = None) -> None:
        """Raise unless the operator can be used in this precision, as far as calls on random images show.

        Raises:
            ShapeError: It does not return measurement_shape.
            IncompatibleError: It fails, or torch cannot differentiate it; a network of it is in training mode; or what
                it measures of an image depends on others of the batch, differs from call to call, overwrites the
                image, or is of another precision.
        """
        check_evaluation(type(self).__name__, self)
        parts = [part for part in self.modules() if isinstance(part, Operator)]
        if any(part.probe for part in parts) and dtype not in self._tried:
            one = self.select(torch.zeros(1, dtype=torch.int64))
            one._try_out(trial_rows(self.event_shape, dtype, device or self.device or torch.get_default_device()))
            self._tried.add(dtype)

    def _try_out(self, x: Tensor) -> Tensor:
        """The measurements of two of three random images, after a check that they are made as they should be."""
        name = f"the operator {type(self).__name__}"
        y = try_out(name, self, x, differentiable=True)
        if y.shape != (2, *self.measurement_shape):
            raise ShapeError(f"{name} gives {tuple(y.shape)} for two images; expected {(2, *self.measurement_shape)}")
        if y.real.dtype != x.dtype:
            raise IncompatibleError(f"{name} gives {y.dtype} for {x.dtype} images; let it keep their precision")
        return y

    @property
    def num_measured(self) -> int | Tensor:
        """Number of entries that are measured (a complex entry counts once); (B,) where each has its own mask."""
        return math.prod(self.measurement_shape)

    @property
    def dtype(self) -> torch.dtype | None:
        """Precision of its images and measurements, in real components; None if it works in any."""
        tensors = (*self.buffers(), *self.parameters())
        return next((t.real.dtype for t in tensors if t.is_floating_point() or t.is_complex()), None)

    @property
    def device(self) -> torch.device | None:
        """Where its images and measurements are; None if it works anywhere."""
        return next((t.device for t in (*self.buffers(), *self.parameters())), None)

    def forward(self, x: Tensor) -> Tensor:
        """A(x): (..., *event_shape) → (..., *measurement_shape)."""
        check_values(f"x, given to {type(self).__name__},", x, self.event_shape)
        return self._forward(x)

    def _forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def restrict(self, y: Tensor) -> Tensor:
        """Zero the entries of y (..., *measurement_shape) where nothing is measured."""
        return y

    def __matmul__(self, other: Operator) -> Operator:
        """The composition x → A(B(x)); linear if both are."""
        if isinstance(self, LinearOperator) and isinstance(other, LinearOperator):
            return Composition(self, other)
        return OperatorComposition(self, other)

    @staticmethod
    @checked
    def from_callable(
        function: Callable[[Tensor], Tensor],
        *,
        event_shape: Shape,
        measurement_shape: Shape,
        linear: bool = False,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        probe: bool = True,
    ) -> Operator:
        """Wrap a differentiable function of x (N, *event_shape) → (N, *measurement_shape).

        A linear one becomes a `LinearOperator` whose adjoint comes from automatic differentiation. Either is tried on
        random images, of the given precision and device (see `CallableOperator`).

        Raises:
            ShapeError: The function does not return measurement_shape.
            IncompatibleError: It fails, couples images, is random, or cannot be differentiated by torch; or
                linear=True, but the function is not.
        """
        kind = LinearOperator if linear else Operator
        return kind._of_function(function, event_shape, measurement_shape, dtype, device, probe)


class LinearOperator(Operator):
    """A linear map, with its adjoint as a real-linear map (Re Aᴴ for real x and complex y).

    Subclasses define `_forward` and `_adjoint`.

    Attributes:
        knows_spectrum: Whether `gram_function` is exact, for functions that jump too.
    """

    knows_spectrum: bool = False

    def adjoint(self, y: Tensor) -> Tensor:
        """Aᵀy: (..., *measurement_shape) → (..., *event_shape)."""
        check_values(f"y, given to {type(self).__name__}.adjoint,", y, self.measurement_shape)
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
        dtype, device = self.dtype or self._made_in, self.device or torch.get_default_device()

        def compute() -> Tensor:
            noise = Noise.of(0, device=device, dtype=dtype).use("norm")
            return 1.02 * largest_eigenvalue(self.gram, noise.normal(self.event_shape)[0, 0]).sqrt()

        return self._cached(("norm", dtype, device), compute)

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


class OperatorComposition(Operator):
    """One operator after another, x → A₂(A₁(x)); `A2 @ A1` makes it.

    What is measured, and what is not, is the outer operator's.

    Args:
        outer: A₂, which takes what A₁ measures.
        inner: A₁.

    Raises:
        ShapeError: The outer operator does not take what the inner one measures.
    """

    outer: Operator
    inner: Operator

    def __init__(self, outer: Operator, inner: Operator) -> None:
        if outer.event_shape != inner.measurement_shape:
            raise ShapeError(
                f"{type(outer).__name__} takes shape {outer.event_shape}, but {type(inner).__name__} before it "
                f"measures {inner.measurement_shape}"
            )
        super().__init__(inner.event_shape, outer.measurement_shape)
        self.outer, self.inner = outer, inner
        self.is_complex = outer.is_complex or inner.is_complex
        if inner.is_complex and not isinstance(outer, LinearOperator):  # complex numbers may become real: see one image
            with torch.no_grad():
                self.is_complex = self(torch.zeros(self.event_shape, dtype=self.dtype, device=self.device)).is_complex()

    @property
    def num_measured(self) -> int | Tensor:
        """Number of entries that the outer operator measures."""
        return self.outer.num_measured

    def restrict(self, y: Tensor) -> Tensor:
        """Zero y where the outer operator measures nothing."""
        return self.outer.restrict(y)

    def _forward(self, x: Tensor) -> Tensor:
        return self.outer(self.inner(x))


class Composition(OperatorComposition, LinearOperator):
    """One linear operator after another, with adjoint A₁ᵀA₂ᵀ; `A2 @ A1` makes it.

    Args:
        outer: A₂, which takes what A₁ measures.
        inner: A₁.

    Raises:
        ShapeError: The outer operator does not take what the inner one measures.
        IncompatibleError: One of them is not linear.
    """

    outer: LinearOperator
    inner: LinearOperator

    def __init__(self, outer: LinearOperator, inner: LinearOperator) -> None:
        for operator in (outer, inner):
            if not isinstance(operator, LinearOperator):
                raise IncompatibleError(f"{type(operator).__name__} is not linear; compose it with outer @ inner")
        super().__init__(outer, inner)

    def _adjoint(self, y: Tensor) -> Tensor:
        return self.inner.adjoint(self.outer.adjoint(y))
