"""A frozen Gauss–Newton matrix of the likelihood: what preconditions an auxiliary-variable proposal."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood, Likelihood
from posterior.linalg import SpectralFunction
from posterior.operators import Magnitude
from posterior.operators.base import LinearOperator, Operator
from posterior.problem import Posterior
from posterior.shapes import expand_right


class Curvature:
    r"""The matrix \(\bar H = J^T W J \succeq 0\) for each measurement: J the derivative of u, W its Fisher information.

    Of Gaussian noise on a linear operator it is the curvature \(A^T A/\sigma_y^2\) itself, and on its magnitudes that
    of the operator within; elsewhere it is taken at a pilot image, and does not depend on where a chain is.

    Args:
        problem: The measurements.
        pilot: Images (B, *event) at which J and W are taken.
        norm: The bound on the largest eigenvalue, (B,), if it is known of the same pilot; else it takes some forty
            products with the matrix.
    """

    def __init__(self, problem: Posterior, pilot: Tensor, norm: Tensor | None = None) -> None:
        likelihood = problem.likelihood
        if is_linear_gaussian(problem) or has_signs(problem):
            self._operator: LinearOperator = problem.operator.operator if has_signs(problem) else problem.operator
            self._scale = likelihood.noise_std.to(pilot).expand(len(problem)) ** -2
        else:
            weight = likelihood.measured(likelihood.fisher(likelihood.noiseless(pilot)))
            self._operator = _Linearisation(likelihood, pilot, weight.clamp_min(0).sqrt(), norm)
            self._scale = torch.ones(len(problem), dtype=pilot.dtype, device=pilot.device)
        self.norm = self._scale * self._operator.norm().to(pilot) ** 2  # an upper bound of the largest eigenvalue, (B,)

    def root(self, x: Tensor) -> Tensor:
        """R x for x (..., B, *event), with RᵀR = H̄: (..., B, *measurement_shape)."""
        u = self._operator(x)
        return expand_right(self._scale.sqrt(), len(self._operator.measurement_shape)) * u

    def root_adjoint(self, y: Tensor) -> Tensor:
        """Rᵀ y of measurements (..., B, *measurement_shape)."""
        return expand_right(self._scale.sqrt(), len(self._operator.event_shape)) * self._operator.adjoint(y)

    def function(self, function: SpectralFunction, x: Tensor) -> Tensor:
        """f(H̄) x for a smooth scalar f of eigenvalues (B, …), x (..., B, *event)."""

        def scaled(eigenvalue: Tensor) -> Tensor:
            return function(expand_right(self._scale, eigenvalue.ndim).to(eigenvalue) * eigenvalue)

        return self._operator.gram_function(scaled, x)


def is_linear_gaussian(problem: Posterior) -> bool:
    """Whether the likelihood is Gaussian noise on a linear operator."""
    return isinstance(problem.likelihood, GaussianLikelihood) and isinstance(problem.operator, LinearOperator)


def check_linear_gaussian(name: str, problem: Posterior, others: str) -> None:
    """Check that a sampler for Gaussian noise on a linear operator has such a problem.

    Args:
        name: Of the sampler.
        problem: The posterior.
        others: What takes this problem.

    Raises:
        IncompatibleError: It is another.
    """
    if not is_linear_gaussian(problem):
        raise IncompatibleError(
            f"{name} takes Gaussian noise on a linear operator, not {type(problem.likelihood).__name__} on "
            f"{type(problem.operator).__name__}; {others}"
        )


def has_signs(problem: Posterior) -> bool:
    """Whether the likelihood is Gaussian noise on magnitudes of real numbers: linear-Gaussian but for their signs."""
    operator = problem.operator
    signed = isinstance(operator, Magnitude) and not operator.operator.is_complex
    return signed and isinstance(problem.likelihood, GaussianLikelihood)


class _Linearisation(LinearOperator):
    """v → W^½ J v at a pilot image of each measurement."""

    pilot: Tensor

    def __init__(self, likelihood: Likelihood, pilot: Tensor, root: Tensor, squared_norm: Tensor | None = None) -> None:
        inner: Operator = likelihood.operator
        super().__init__(inner.event_shape, inner.measurement_shape)
        self.is_complex = inner.is_complex
        self.likelihood, self.root, self.squared_norm = likelihood, root, squared_norm
        self.register_buffer("pilot", pilot)  # first of the buffers: it declares the precision

    def norm(self) -> Tensor:
        return super().norm() if self.squared_norm is None else self.squared_norm.sqrt()

    def _forward(self, x: Tensor) -> Tensor:
        inner = self.likelihood.operator
        if isinstance(inner, LinearOperator):
            return self.root * (self.likelihood.input_scale * inner(x))
        primal = self.pilot.expand(torch.broadcast_shapes(x.shape, self.pilot.shape))
        # J x as the derivative in w of ⟨x, Jᵀ w⟩: torch has no Jx for every operator, and no such derivative of fused
        # attention, which decoders of latents have.
        with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            primal = primal.detach().requires_grad_()
            u = self.likelihood.noiseless(primal)
            w = torch.zeros_like(u, requires_grad=True)
            (image,) = torch.autograd.grad(u, primal, w, create_graph=True)
            (tangent,) = torch.autograd.grad(image, w, x.expand(primal.shape), materialize_grads=True)
        return self.root * tangent

    def _adjoint(self, y: Tensor) -> Tensor:
        inner = self.likelihood.operator
        if isinstance(inner, LinearOperator):
            return self.likelihood.input_scale * inner.adjoint(self.root * y)
        lead = torch.broadcast_shapes(y.shape[: y.ndim - len(self.measurement_shape)], self.pilot.shape[:1])
        with torch.enable_grad():
            primal = self.pilot.expand(*lead, *self.event_shape).detach().requires_grad_()
            u = self.likelihood.noiseless(primal)
        return torch.autograd.grad(u, primal, self.root * y)[0]
