"""Regularisation by denoising diffusion (RED-diff)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from tqdm import tqdm

from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError
from posterior.priors.base import ScorePrior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from samplers.base import Solver
from samplers.curvature import is_linear_gaussian
from samplers.guided.base import ddpm_levels


@dataclass(frozen=True)
class REDDiff(Solver):
    r"""One image that fits the measurement and is, with noise, what the denoiser would have it be.

    Adam (0.9, 0.99) follows, from noise level to noise level,

    $$ A^T(A\mu - y) + \lambda\,(\mu - D(\mu + \sigma\varepsilon, \sigma)), $$

    the gradient of a variational loss whose distribution is one point: a mode, not a posterior. No gradients of the
    network.

    Args:
        steps: Noise levels, DDPM's.
        weight: λ.
        learning_rate: Of Adam.

    References:
        Mardani, Song, Kautz & Vahdat 2023, A Variational Perspective on Solving Inverse Problems with Diffusion Models,
        arXiv:2305.04391.
    """

    priors: ClassVar = (ScorePrior,)
    steps: int = 1000
    weight: float = 0.25
    learning_rate: float = 0.1

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if not is_linear_gaussian(problem):
            raise IncompatibleError(f"{self.name} takes Gaussian noise on a linear operator")
        if self.steps < 2 or not (self.weight > 0 and self.learning_rate > 0):
            raise InvalidValueError(f"{self.name} needs two steps, a positive weight and learning_rate; got {self}")

    @torch.no_grad()
    def solve(
        self, problem: Posterior, *, seed: int = 0, batch_size: int | None = None, progress: bool = True
    ) -> PointEstimate:
        """Estimate the image of every measurement.

        Args:
            problem: A `ScorePrior`, Gaussian noise on a linear operator, and measurements.
            seed: Any integer; the same seed gives the same estimate.
            batch_size: Images a network call at the most.
            progress: Whether to show a progress bar.

        Returns:
            The estimate. Its loss is ‖y − Aμ‖²/2; `converged` says whether that fell by less than 1 % over the last
            tenth of the steps; `info["loss"]` is (steps, B).

        Raises:
            IncompatibleError: The prior or the likelihood is another.
            NotFiniteError: The image became NaN or infinite.
        """
        self.check(problem)
        operator, noise = problem.operator, problem.noise(seed, 1)
        levels = ddpm_levels(self.steps, problem.prior.sigma_min, problem.prior.sigma_max)
        mean = (
            operator.adjoint(problem.y)
            / operator.norm().to(problem.y.real).reshape(-1, *[1] * len(problem.event_shape)) ** 2
        )
        first, second, trace = torch.zeros_like(mean), torch.zeros_like(mean), []
        for k, sigma in enumerate(tqdm(levels, disable=not progress, desc=self.name)):
            noisy = mean + sigma * noise.at(k).normal(problem.event_shape)[0]
            rows = noisy.split(batch_size or len(noisy))
            clean = torch.cat([problem.prior.denoise(part, sigma) for part in rows])
            residual = operator(mean) - problem.y
            trace.append(0.5 * (residual * residual.conj()).real.flatten(1).sum(1))
            slope = operator.adjoint(residual) + self.weight * (mean - clean)
            first, second = 0.9 * first + 0.1 * slope, 0.99 * second + 0.01 * slope**2
            unbiased = (second / (1 - 0.99 ** (k + 1))).sqrt() + 1e-8
            mean = mean - self.learning_rate * first / (1 - 0.9 ** (k + 1)) / unbiased
        finite = torch.isfinite(mean).flatten(1).all(1)
        if not bool(finite.all()):
            names = [problem.ids[b] for b in (~finite).nonzero().flatten().tolist()]
            raise NotFiniteError(
                f"{self.name} reached NaN or infinity for measurement(s) {names}: is the denoiser finite at its levels?"
            )
        losses = torch.stack(trace)
        before = losses[-max(2, self.steps // 10)]
        calls = torch.full((len(problem),), float(self.steps), dtype=torch.float64, device=problem.device)
        return PointEstimate(
            x=mean, loss=losses[-1], converged=before - losses[-1] <= 0.01 * before, nfe=calls,
            nfe_grad=torch.zeros_like(calls), info={"loss": losses},
        )  # fmt: skip
