"""Convex reconstructions: least squares with a penalty that knows no network."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from posterior.checks import Count, Positive
from posterior.errors import IncompatibleError
from posterior.noise import Noise
from posterior.operators.coils import CoilOperator
from posterior.priors.base import Prior
from posterior.problem import Posterior
from posterior.shapes import expand_right
from samplers.curvature import check_linear_gaussian
from samplers.plan import Calls
from samplers.solver import Found, IterativeSolver
from samplers.state import Info, State

_PROBES = 64  # for the operator's Frobenius norm
_STRIDE = 0.1  # what a step may move a typical pixel by, relative to its size: balances image and dual steps


@dataclass(kw_only=True)
class ConvexState(State):
    """The image less ℓ, u, as x (1, B, *event), and what the next step takes of the last one.

    Attributes:
        p, q: Duals of the data and of the penalty.
        seen, coefficients, slope: A u, K u, and Aᵀp + Kᵀq.
        weight: λ, (B,).
        tau, sigma: Step sizes of u and of p, (B,).
        length: What ‖u‖ should be by the energy of the measurement, (B,).
        loss, gap: The loss at u, and a bound of how far it is from its minimum, (B,).
    """

    p: Tensor
    q: Tensor
    seen: Tensor
    coefficients: Tensor
    slope: Tensor
    weight: Tensor
    tau: Tensor
    sigma: Tensor
    length: Tensor
    loss: Tensor
    gap: Tensor


@dataclass(frozen=True)
class Convex(IterativeSolver[ConvexState]):
    r"""The image of least squares and least penalty, for Gaussian noise on a linear operator.

    $$ \min_u \frac{1}{2m}\|y - A(\ell + u)\|^2 + \lambda \sum_i |(Ku)_i|, \qquad x = \ell + u $$

    m is the number of measured entries. Of the prior it uses the event shape and ℓ alone, the smallest value of its
    images (0 if they have none, and for the complex images of MRI), so that a black image costs nothing. Chambolle and
    Pock's steps treat A and K alike, by duals p of the data and q of the penalty, so that no operator need be inverted:

    $$ u \leftarrow u - \tau (A^T p + K^T q), \quad q \leftarrow \Pi_\lambda(q + \sigma_K K\bar u), \quad
       p \leftarrow \frac{p + \sigma_A (A(\ell + \bar u) - y)}{1 + \sigma_A m}, \quad
       \tau(\sigma_K\|K\|^2 + \sigma_A\|A\|^2) \le 1. $$

    The duals tell how far the loss is from its minimum: with D = −m‖p‖²/2 − ⟨p, y − Aℓ⟩,

    $$ \text{loss} - \text{minimum} \le \text{loss} - D + \|A^T p + K^T q\| \, \|u_*\|, $$

    and a measurement is finished when this is less than `tolerance` × loss, with the larger of ‖u‖ and
    ‖y − Aℓ‖ √n/‖A‖_F, what u should have by the energy of the measurement, for the minimiser's norm.

    Subclasses define K, its adjoint, its norm and the sizes |·|, which are those of complex numbers, pairs or reals.
    Nothing is random, and no network is called.

    Reports (in `PointEstimate.info`): loss (steps + 1, B), which stays where it is once a measurement is finished;
    weight (B,), and gap (B,), the bound of loss − minimum where it ended.

    Args:
        weight: λ, or None for a multiple of the noise that each class names.
        steps: Steps at most.
        tolerance: How much more than the minimum the loss may be, relative to it.

    References:
        Chambolle & Pock 2011, A first-order primal–dual algorithm for convex problems, J. Math. Imaging Vis. 40.
    """

    state_type: ClassVar = ConvexState
    remedy: ClassVar = "check that the operator is finite, and not zero"
    priors: ClassVar = (Prior,)
    weight: Positive | None = None
    steps: Count = 10_000
    tolerance: Positive = 1e-2

    squared_norm: ClassVar[float]  # a bound of ‖K‖²

    def check(self, problem: Posterior) -> None:
        check_linear_gaussian(self.name, problem, "CSGM takes any likelihood")
        if len(problem.event_shape) < 2:
            raise IncompatibleError(f"{self.name} takes images (..., H, W), not events of shape {problem.event_shape}")

    def calls(self, problem: Posterior) -> Calls:
        return Calls(0)

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

    def target(self, problem: Posterior, batch_size: int | None) -> Posterior:
        """The same problem for u = x − ℓ, whose measurements are y − Aℓ."""
        shifted = copy.copy(problem)
        shifted.y = problem.y - problem.operator(lowest(problem))
        return shifted

    def init(self, problem: Posterior, noise: Noise) -> ConvexState:
        y, m = problem.y, entries(problem)
        weight = self.default_weight(problem) if self.weight is None else torch.full_like(m, self.weight)
        pixel = (dot(y, y) / frobenius(problem)).sqrt()  # the root mean square of u, if A has no preferences
        tau = _STRIDE * torch.where(pixel > 0, pixel, 1.0) / (weight * math.sqrt(self.squared_norm))
        u = torch.zeros_like(lowest(problem))
        return ConvexState(
            x=u[None],
            p=torch.zeros_like(y),
            q=self.analyse(u),
            seen=torch.zeros_like(y),
            coefficients=self.analyse(u),
            slope=torch.zeros_like(u),
            weight=weight,
            tau=tau,
            sigma=0.5 / (tau * squared_norm(problem)),
            length=pixel * math.sqrt(math.prod(problem.event_shape)),
            loss=0.5 * dot(y, y) / m,
            gap=0.5 * dot(y, y) / m,
            done=torch.zeros_like(m, dtype=torch.bool),
            progress=torch.zeros_like(m),
        )

    def step(self, problem: Posterior, state: ConvexState, noise: Noise) -> tuple[ConvexState, Info]:
        y, m, operator = problem.y, entries(problem), problem.operator
        sigma_k, sigma_a = 0.5 / (state.tau * self.squared_norm), over(state.sigma, y)
        u = state.x[0] - over(state.tau, state.slope) * state.slope
        coefficients, seen = self.analyse(u), operator(u)
        q = state.q + over(sigma_k, state.q) * (2 * coefficients - state.coefficients)
        q = q / (self.sizes(q) / over(state.weight, q)).clamp_min(1)
        p = (state.p + sigma_a * (2 * seen - state.seen - y)) / (1 + sigma_a * over(m, y))
        slope = operator.adjoint(p) + self.synthesise(q)

        loss = 0.5 * dot(y - seen, y - seen) / m + state.weight * _total(self.sizes(coefficients))
        dual = -0.5 * m * dot(p, p) - dot(p, y)
        gap = (loss - dual).abs() + _norm(slope) * torch.maximum(_norm(u), state.length)
        new = state.after(
            self.steps, x=u[None], p=p, q=q, seen=seen, coefficients=coefficients, slope=slope, loss=loss, gap=gap
        )
        new.done = new.done | (gap <= self.tolerance * loss)
        new.progress = torch.where(new.done, 1.0, new.progress)
        return new, {"loss": state.loss}

    def finish(self, problem: Posterior, state: ConvexState, trace: Info) -> Found:
        losses = torch.cat([trace["loss"].to(state.loss), state.loss[None]])
        losses = torch.where(losses.isnan(), state.loss, losses)  # where a measurement was finished before
        info = {"loss": losses, "weight": state.weight, "gap": state.gap}
        return Found(lowest(problem) + state.x[0], state.loss, state.gap <= self.tolerance * state.loss, info)

    def loss(self, problem: Posterior, x: Tensor, weight: Tensor) -> Tensor:
        """What is minimised, at images (B, *event): (B,)."""
        residual = problem.likelihood.squared_residual(x, problem.y)
        return 0.5 * residual / entries(problem) + weight * _total(self.sizes(self.analyse(x - lowest(problem))))


def lowest(problem: Posterior) -> Tensor:
    """ℓ, the images of the prior's smallest value, or of 0 if that is infinite or images are complex: (B, *event)."""
    low = -math.inf if isinstance(problem.operator, CoilOperator) else problem.prior.value_range[0]
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


def over(values: Tensor, like: Tensor) -> Tensor:
    """Values (B,) that broadcast against `like`, (B, ...)."""
    return expand_right(values, like.ndim - 1)


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Re⟨a, b⟩ of each row: (B,)."""
    return _total((a.conj() * b).real)


def _total(values: Tensor) -> Tensor:
    return values.flatten(1).sum(1)


def _norm(values: Tensor) -> Tensor:
    return values.flatten(1).norm(dim=1)
