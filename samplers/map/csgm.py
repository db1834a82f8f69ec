"""The image in a generator's range that explains the measurement best (CSGM)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm import tqdm

from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood
from posterior.priors.base import GeneratorPrior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from samplers.base import Solver


@dataclass(frozen=True)
class CSGM(Solver):
    r"""Compressed sensing with a generative model: x = G(z) for the z that minimises the loss.

    $$ \min_z -\log p(y \mid G(z)) - \log N(z; 0, I) \quad \text{or} \quad
       \min_z \|y - A(G(z))\|^2/m + \lambda\|z\|^2 $$

    The first, the default, is \(-\log p(z \mid y)\) up to a constant: the true MAP of the latent. For Gaussian noise
    it is the second with \(\lambda = \sigma_y^2/m\), in other units, and it takes any other likelihood as well. It is
    not the MAP of x. Adam descends from `restarts` draws of z; for each measurement the restart with the smallest
    final loss is kept, so the answer is an estimate and never a draw of the posterior.

    Args:
        restarts: Starting points for each measurement.
        steps: Adam steps.
        learning_rate: Adam's step size at the start; it falls to 0 along a cosine.
        weight: λ of the second form (m the number of measured entries), or None for the first.
        tolerance: `converged` says whether the loss changed by less than this, relative to where it ended, over the
            second half of the steps. (Later on the step size is so small that the loss stands still in any case.)

    References:
        Bora, Jalal, Price & Dimakis 2017, Compressed Sensing using Generative Models, arXiv:1703.03208.
    """

    restarts: int = 10
    steps: int = 1000
    learning_rate: float = 0.3
    weight: float | None = None
    tolerance: float = 1e-3

    def __post_init__(self) -> None:
        if self.restarts < 1 or self.steps < 1:
            raise InvalidValueError(f"restarts and steps are at least 1, got {self.restarts} and {self.steps}")
        if not (self.learning_rate > 0 and self.tolerance > 0 and (self.weight is None or self.weight >= 0)):
            raise InvalidValueError(
                "learning_rate and tolerance are positive and weight is not negative, got "
                f"{self.learning_rate}, {self.tolerance} and {self.weight}"
            )

    def check(self, problem: Posterior) -> None:
        super().check(problem)
        if self.weight is not None and not isinstance(problem.likelihood, GaussianLikelihood):
            raise IncompatibleError(
                f"{self.name}(weight=...) weighs squared residuals and takes a GaussianLikelihood, not a "
                f"{type(problem.likelihood).__name__}; leave weight at None for the latent MAP"
            )

    @torch.no_grad()
    def solve(
        self, problem: Posterior, *, seed: int = 0, batch_size: int | None = None, progress: bool = True
    ) -> PointEstimate:
        """Estimate the image of every measurement.

        Args:
            problem: A `GeneratorPrior`, a likelihood and measurements.
            seed: Any integer; the same seed gives the same estimate.
            batch_size: Latents a network call at the most; memory, not results, depends on it.
            progress: Whether to show a progress bar.

        Returns:
            The estimate with `latent` z. Its `info` has `loss` (steps + 1, B), the trace of the restart that was kept,
            `restart` (B,), which one that is, and `diverged` (B,), how many restarts ended in NaN or infinity.

        Raises:
            IncompatibleError: The prior is no generator, or the likelihood has no squared residual to weigh.
            NotFiniteError: All restarts of a measurement diverged.
        """
        self.check(problem)
        prior, count = problem.prior, len(problem)
        assert isinstance(prior, GeneratorPrior)
        if count == 0 or (batch_size is not None and batch_size < 1):
            raise InvalidValueError(f"needs a measurement and a batch_size of at least 1, got {count} and {batch_size}")
        start = problem.noise(seed, self.restarts).use("latent").normal(prior.latent_shape).flatten(0, 1)
        rows = torch.arange(len(start), device=problem.device).split(batch_size or len(start))
        with tqdm(total=len(rows) * self.steps, disable=not progress, desc=self.name) as bar:
            runs = [self._descend(problem.select(part % count), start[part], bar.update) for part in rows]
        z = torch.cat([run[0] for run in runs]).unflatten(0, (self.restarts, count))
        trace = torch.cat([run[1] for run in runs], -1).unflatten(-1, (self.restarts, count))

        bad = ~torch.isfinite(trace[-1])
        if bool(bad.all(0).any()):
            names = [problem.ids[b] for b in bad.all(0).nonzero().flatten().tolist()]
            raise NotFiniteError(
                f"all {self.restarts} restarts of {self.name} ended in NaN or infinity for measurement(s) {names}: "
                f"lower the learning rate ({self.learning_rate:g}), and check that generator and operator are finite"
            )
        kept = trace[-1].masked_fill(bad, torch.inf).argmin(0)
        each = torch.arange(count, device=problem.device)
        z, trace = z[kept, each], trace[:, kept, each]
        nfe = torch.full((count,), float(self.restarts * self.steps), dtype=torch.float64, device=problem.device)
        return PointEstimate(
            x=torch.cat([prior.decode(part) for part in z.split(batch_size or count)]),
            loss=trace[-1],
            converged=(trace[self.steps // 2] - trace[-1]).abs() <= self.tolerance * trace[-1].abs(),
            nfe=nfe + self.restarts + 1,  # the last losses, and decoding what was kept
            nfe_grad=nfe,
            info={"loss": trace, "restart": kept, "diverged": bad.sum(0)},
            latent=z,
        )

    def loss(self, problem: Posterior, z: Tensor) -> Tensor:
        """What is minimised, at latents (B, *latent_shape), one for each measurement: (B,)."""
        assert isinstance(problem.prior, GeneratorPrior)
        x = problem.prior.decode(z)
        if self.weight is None:
            return -problem.log_likelihood(x) - problem.prior.log_prob(z)
        entries = torch.as_tensor(problem.operator.num_measured, device=z.device).clamp_min(1)
        residual = problem.likelihood.squared_residual(x, problem.y)
        return residual / entries + self.weight * z.square().flatten(1).sum(1)

    def _descend(self, problem: Posterior, z: Tensor, update: Callable[[], object]) -> tuple[Tensor, Tensor]:
        """Adam from rows z, one for each measurement: the last z, and the losses (steps + 1, rows)."""
        z = z.clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=self.learning_rate)  # its state is per entry: rows never meet
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, self.steps)
        trace = []
        for _ in range(self.steps):
            with torch.enable_grad():
                loss = self.loss(problem, z)
                (z.grad,) = torch.autograd.grad(loss.sum(), z)
            trace.append(loss.detach())
            adam.step()
            schedule.step()
            update()
        return z.detach(), torch.stack([*trace, self.loss(problem, z)])
