"""Convex reconstructions: least squares with a penalty that knows no network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators.base import LinearOperator
from posterior.problem import Posterior
from posterior.results import PointEstimate
from posterior.shapes import expand_right
from samplers.base import Solver

Iterate = tuple[Tensor, ...]  # the image (B, *event) first, and whatever a step needs besides it, each (B, …)

_PROBES = 64  # for the operator's Frobenius norm


@dataclass(frozen=True)
class Convex(Solver):
    r"""A solver of \(\min_x \|y - Ax\|^2/(2m) + \lambda R(x)\), for Gaussian noise on a linear operator.

    Of the prior it uses the event shape and the smallest value alone. Subclasses define `penalty` and `stepper`.

    Args:
        weight: λ, or None for a multiple of the noise that each class names.
        steps: Steps at most.
        tolerance: A measurement is finished when a step changes its image by less than this, relative to the image.
    """

    weight: float | None = None
    steps: int = 2000
    tolerance: float = 1e-5

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

    def penalty(self, problem: Posterior, x: Tensor) -> Tensor:
        """R(x) of images (B, *event): (B,)."""
        raise NotImplementedError

    def stepper(self, problem: Posterior, weight: Tensor) -> tuple[Iterate, Callable[[Iterate], Iterate]]:
        """Where to begin, and the map from an iterate to the next; λ is (B,)."""
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
            The estimate. Its `info` has `loss` (steps, B), which stays where it is once a measurement is finished, and
            the `weight` (B,).

        Raises:
            IncompatibleError: The likelihood is another, or the events are no images.
            NotFiniteError: An image became NaN or infinite.
        """
        self.check(problem)
        count = len(problem)
        if self.weight is None:
            weight = self.default_weight(problem)
        else:
            weight = torch.full((count,), self.weight, dtype=problem.dtype, device=problem.device)
        iterate, advance = self.stepper(problem, weight)
        open_ = torch.ones(count, dtype=torch.bool, device=problem.device)
        trace = [self.loss(problem, iterate[0], weight)]
        for _ in tqdm(range(self.steps), disable=not progress, desc=self.name):
            ahead = advance(iterate)
            change, size = ((v.flatten(1).norm(dim=1)) for v in (ahead[0] - iterate[0], ahead[0]))
            iterate = tuple(
                torch.where(expand_right(open_, n.ndim - 1), n, o) for n, o in zip(ahead, iterate, strict=True)
            )
            trace.append(self.loss(problem, iterate[0], weight))
            open_ = open_ & ~(change <= self.tolerance * size)
            if not bool(open_.any()):
                break
        finite = torch.isfinite(iterate[0]).flatten(1).all(1)
        if not bool(finite.all()):
            names = [problem.ids[b] for b in (~finite).nonzero().flatten().tolist()]
            raise NotFiniteError(
                f"{self.name} reached NaN or infinity for measurement(s) {names}: is the operator finite, and "
                "norm() no less than its norm?"
            )
        zero = torch.zeros(count, dtype=torch.float64, device=problem.device)
        losses = torch.stack(trace)
        return PointEstimate(
            x=iterate[0], loss=losses[-1], converged=~open_, nfe=zero, nfe_grad=zero.clone(),
            info={"loss": losses, "weight": weight},
        )  # fmt: skip

    def loss(self, problem: Posterior, x: Tensor, weight: Tensor) -> Tensor:
        """What is minimised, at images (B, *event): (B,)."""
        residual = problem.likelihood.squared_residual(x, problem.y)
        return 0.5 * residual / entries(problem) + weight * self.penalty(problem, x)


def entries(problem: Posterior) -> Tensor:
    """m, the number of measured entries, (B,)."""
    count = torch.as_tensor(problem.operator.num_measured, device=problem.device).to(problem.dtype)
    return count.clamp_min(1).expand(len(problem))


def slope(problem: Posterior, x: Tensor) -> Tensor:
    """Gradient of ‖y − Ax‖²/(2m) at images (B, *event)."""
    operator = problem.operator
    return operator.adjoint(operator(x) - problem.y) / expand_right(entries(problem), x.ndim - 1)


def smoothness(problem: Posterior) -> Tensor:
    """The largest curvature of ‖y − Ax‖²/(2m), ‖A‖²/m: (B,)."""
    norm = torch.as_tensor(problem.operator.norm(), dtype=problem.dtype, device=problem.device)
    return norm.expand(len(problem)) ** 2 / entries(problem)


def noise_in_a_pixel(problem: Posterior) -> Tensor:
    r"""Standard deviation of an entry of \(A^T n/m\), \(\sigma_y \|A\|_F / (m\sqrt n)\), up to a few per cent: (B,)."""
    probes = Noise.of(0, 1, _PROBES, device=problem.device, dtype=problem.dtype).normal(problem.event_shape)
    seen = problem.operator(probes.expand(-1, len(problem), *problem.event_shape))  # the same for all
    energy = (seen * seen.conj()).real.flatten(2).sum(2).mean(0)  # E‖Au‖² = ‖A‖_F²
    pixels = probes[0, 0].numel()
    return problem.likelihood.noise_std.to(energy) * (energy / pixels).sqrt() / entries(problem)
