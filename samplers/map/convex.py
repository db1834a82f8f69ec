"""Convex reconstructions: least squares with a penalty that knows no network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.priors.base import Prior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from posterior.shapes import expand_right
from samplers.base import Solver

_PROBES = 64  # for the operator's Frobenius norm
_STRIDE = 0.1  # what a step may move a typical pixel by, relative to its size: balances image and dual steps


@dataclass(frozen=True)
class Convex(Solver):
    r"""The image of least squares and least penalty, for Gaussian noise on a linear operator.

    $$ \min_u \frac{1}{2m}\|y - A(\ell + u)\|^2 + \lambda \sum_i |(Ku)_i|, \qquad x = \ell + u $$

    m is the number of measured entries. Of the prior it uses the event shape and ℓ alone, the smallest value of its
    images (0 if they have none), so that a black image costs nothing. Chambolle and Pock's steps treat A and K alike,
    by duals p of the data and q of the penalty, so that no operator need be inverted:

    $$ u \leftarrow u - \tau (A^T p + K^T q), \quad q \leftarrow \Pi_\lambda(q + \sigma_K K\bar u), \quad
       p \leftarrow \frac{p + \sigma_A (A(\ell + \bar u) - y)}{1 + \sigma_A m}, \quad
       \tau(\sigma_K\|K\|^2 + \sigma_A\|A\|^2) \le 1. $$

    The duals tell how far the loss is from its minimum: with D = −m‖p‖²/2 − ⟨p, y − Aℓ⟩,

    $$ \text{loss} - \text{minimum} \le \text{loss} - D + \|A^T p + K^T q\| \, \|u_*\|, $$

    and a measurement is finished when this is less than `tolerance` × loss, with the larger of ‖u‖ and
    ‖y − Aℓ‖ √n/‖A‖_F, what u should have by the energy of the measurement, for the minimiser's norm.

    Subclasses define K, its adjoint, its norm and the sizes |·|, which are those of complex numbers, pairs or reals.

    Args:
        weight: λ, or None for a multiple of the noise that each class names.
        steps: Steps at most.
        tolerance: How much more than the minimum the loss may be, relative to it.

    References:
        Chambolle & Pock 2011, A first-order primal–dual algorithm for convex problems, J. Math. Imaging Vis. 40.
    """

    priors: ClassVar = (Prior,)
    weight: float | None = None
    steps: int = 10_000
    tolerance: float = 1e-2

    squared_norm: ClassVar[float]  # a bound of ‖K‖²

    def __post_init__(self) -> None:
        if self.steps < 1 or not self.tolerance > 0 or not (self.weight is None or self.weight > 0):
            raise InvalidValueError(
                f"{self.name} needs steps ≥ 1, a positive tolerance and a positive weight or None; got {self}"
            )

    def check(self, problem: Posterior) -> None:
        likelihood, operator = problem.likelihood, problem.operator
        if not (isinstance(likelihood, GaussianLikelihood) and isinstance(operator, LinearOperator)):
            raise IncompatibleError(
                f"{self.name} takes Gaussian noise on a linear operator, not {type(likelihood).__name__} on "
                f"{type(operator).__name__}; CSGM takes any likelihood"
            )
        if len(problem.event_shape) < 2:
            raise IncompatibleError(f"{self.name} takes images (..., H, W), not events of shape {problem.event_shape}")

    def analyse(self, u: Tensor) -> Tensor:
        """K u of images (B, *event): (B, *event) or (B, *event, k)."""
        raise NotImplementedError

    def synthesise(self, q: Tensor) -> Tensor:
        """The adjoint of `analyse`."""
        raise NotImplementedError

    def sizes(self, q: Tensor) -> Tensor:
        """|q_i|, which broadcast against q."""
        raise NotImplementedError

    def default_weight(self, problem: Posterior) -> Tensor:
        """λ where none is given, (B,)."""
        raise NotImplementedError

    @torch.no_grad()
    def solve(
        self, problem: Posterior, *, seed: int = 0, batch_size: int | None = None, progress: bool = True
    ) -> PointEstimate:
        """Estimate the image of every measurement.

        Args:
            problem: A prior of the right event shape, a `GaussianLikelihood` on a linear operator, and measurements.
            seed: Not used: nothing is random.
            batch_size: Not used: no network is called.
            progress: Whether to show a progress bar.

        Returns:
            The estimate. Its `info` has `loss` (steps + 1, B), which stays where it is once a measurement is finished,
            the `weight` (B,), and `gap` (B,), the bound of loss − minimum where it ended.

        Raises:
            IncompatibleError: The likelihood is another, or the events are no images.
            NotFiniteError: An image became NaN or infinite.
        """
        self.check(problem)
        operator, low, m, dims = problem.operator, lowest(problem), entries(problem), len(problem.event_shape)
        weight = self.default_weight(problem) if self.weight is None else torch.full_like(m, self.weight)
        y = problem.y - operator(low)
        u, p = torch.zeros_like(low), torch.zeros_like(y)
        coefficients = q = self.analyse(u)
        seen, pull = p, u  # A u and Aᵀp + Kᵀq
        pixel = (dot(y, y) / frobenius(problem)).sqrt()  # the root mean square of u, if A has no preferences
        tau = _STRIDE * torch.where(pixel > 0, pixel, 1.0) / (weight * math.sqrt(self.squared_norm))
        sigma_k = expand_right(0.5 / (tau * self.squared_norm), q.ndim - 1)
        sigma_a = expand_right(0.5 / (tau * squared_norm(problem)), y.ndim - 1)
        shrink = 1 + sigma_a * expand_right(m, y.ndim - 1)
        image = pixel * math.sqrt(math.prod(problem.event_shape))
        limit, tau = expand_right(weight, q.ndim - 1), expand_right(tau, dims)

        best, loss = u, 0.5 * dot(y, y) / m
        gap, trace, open_ = loss, [loss], loss > 0
        for _ in tqdm(range(self.steps), disable=not progress, desc=self.name):
            u = u - tau * pull
            coefficients, coefficients_before = self.analyse(u), coefficients
            seen, seen_before = operator(u), seen
            q = q + sigma_k * (2 * coefficients - coefficients_before)
            q = q / (self.sizes(q) / limit).clamp_min(1)
            p = (p + sigma_a * (2 * seen - seen_before - y)) / shrink
            pull = operator.adjoint(p) + self.synthesise(q)

            primal = 0.5 * dot(y - seen, y - seen) / m + weight * _total(self.sizes(coefficients))
            dual = -0.5 * m * dot(p, p) - dot(p, y)
            slack = _norm(pull) * torch.maximum(_norm(u), image)
            best = torch.where(expand_right(open_, dims), u, best)
            loss = torch.where(open_, primal, loss)
            gap = torch.where(open_, (primal - dual).abs() + slack, gap)
            trace.append(loss)
            open_ = open_ & ~(gap <= self.tolerance * loss)
            if not bool((open_ & torch.isfinite(loss)).any()):
                break
        if not bool(torch.isfinite(loss).all()):
            names = [problem.ids[b] for b in (~torch.isfinite(loss)).nonzero().flatten().tolist()]
            raise NotFiniteError(
                f"{self.name} reached NaN or infinity for measurement(s) {names}: is the operator finite, and not zero?"
            )
        zero = torch.zeros(len(problem), dtype=torch.float64, device=problem.device)
        return PointEstimate(
            x=low + best, loss=loss, converged=~open_, nfe=zero, nfe_grad=zero.clone(),
            info={"loss": torch.stack(trace), "weight": weight, "gap": gap},
        )  # fmt: skip

    def loss(self, problem: Posterior, x: Tensor, weight: Tensor) -> Tensor:
        """What is minimised, at images (B, *event): (B,)."""
        residual = problem.likelihood.squared_residual(x, problem.y)
        return 0.5 * residual / entries(problem) + weight * _total(self.sizes(self.analyse(x - lowest(problem))))


def lowest(problem: Posterior) -> Tensor:
    """ℓ, the images of the prior's smallest value, or of 0 if that is infinite: (B, *event)."""
    low = problem.prior.value_range[0]
    shape = (len(problem), *problem.event_shape)
    return torch.full(shape, low if math.isfinite(low) else 0.0, dtype=problem.dtype, device=problem.device)


def entries(problem: Posterior) -> Tensor:
    """m, the number of measured entries, (B,)."""
    count = torch.as_tensor(problem.operator.num_measured, device=problem.device).to(problem.dtype)
    return count.clamp_min(1).expand(len(problem))


def squared_norm(problem: Posterior) -> Tensor:
    """‖A‖², (B,)."""
    return torch.as_tensor(problem.operator.norm(), dtype=problem.dtype, device=problem.device) ** 2


def frobenius(problem: Posterior) -> Tensor:
    """The squared Frobenius norm of A, up to a few per cent: (B,)."""
    probes = Noise.of(0, 1, _PROBES, device=problem.device, dtype=problem.dtype).normal(problem.event_shape)
    seen = problem.operator(probes.expand(-1, len(problem), *problem.event_shape))  # the same for all
    return (seen * seen.conj()).real.flatten(2).sum(2).mean(0)  # E‖Av‖² = ‖A‖_F²


def noise_in_a_pixel(problem: Posterior) -> Tensor:
    r"""Standard deviation of an entry of \(A^T n/m\), \(\sigma_y \|A\|_F / (m\sqrt n)\), up to a few per cent: (B,)."""
    energy = frobenius(problem) / math.prod(problem.event_shape)
    return problem.likelihood.noise_std.to(energy) * energy.sqrt() / entries(problem)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Re⟨a, b⟩ of each row: (B,)."""
    return _total((a.conj() * b).real)


def _total(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def _norm(values: Tensor) -> Tensor:
    return values.flatten(1).norm(dim=1)
