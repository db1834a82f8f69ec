"""The image in a generator's range that explains the measurement best (CSGM)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from samplers.map.descent import Optimiser, Schedule, Variables, descend
from samplers.map.restarts import Ended, Restarted, at_rest


@dataclass(frozen=True)
class CSGM(Restarted):
    r"""Compressed sensing with a generative model: x = G(z) for the z that minimises the loss.

    $$ \min_z -\log p(y \mid G(z)) - \log N(z; 0, I) \quad \text{or} \quad
       \min_z \|y - A(G(z))\|^2/m + \lambda\|z\|^2 $$

    The first, the default, is \(-\log p(z \mid y)\) up to a constant: the true MAP of the latent. For Gaussian noise
    it is the second with \(\lambda = \sigma_y^2/m\), in other units, and it takes any other likelihood as well. It is
    not the MAP of x. The answer is an estimate and never a draw of the posterior: keeping the best restart is
    selection. With the operator `Identity` it inverts the generator.

    Args:
        restarts: Starting points for each measurement, draws of z; that with the smallest final loss is kept.
        steps: Gradients of each.
        learning_rate: Step size at the start; that of Adam and SGD falls to 0 along a cosine.
        weight: λ of the second form (m the number of measured entries), or None for the first.
        tolerance: `converged` says whether the loss changed by less than this, relative to where it ended, over the
            second half of the steps.
        optimiser: "adam", "sgd" (momentum 0.9; its step size has to suit the loss) or "lbfgs" (fewer, dearer steps;
            learning_rate 1 is natural).

    References:
        Bora, Jalal, Price & Dimakis 2017, Compressed Sensing using Generative Models, arXiv:1703.03208.
    """

    steps: int = 1000
    learning_rate: float = 0.3
    weight: float | None = None
    tolerance: float = 1e-3
    optimiser: Optimiser = "adam"

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

    @property
    def steps_in_all(self) -> int:
        return self.steps

    def loss(self, problem: Posterior, z: Tensor) -> Tensor:
        """What is minimised, at latents (B, *latent_shape), one for each measurement: (B,)."""
        assert isinstance(problem.prior, GeneratorPrior)
        x = problem.prior.decode(z)
        if self.weight is None:
            return -problem.log_likelihood(x) - problem.prior.latent_log_prob(z)
        entries = torch.as_tensor(problem.operator.num_measured, device=z.device).clamp_min(1)
        residual = problem.likelihood.squared_residual(x, problem.y)
        return residual / entries + self.weight * z.square().flatten(1).sum(1)

    def search(self, problem: Posterior, z: Tensor, noise: Noise, update: Callable[[], object]) -> Ended:
        def loss(variables: Variables) -> Tensor:
            return self.loss(problem, variables[0])

        schedule: Schedule = "constant" if self.optimiser == "lbfgs" else "cosine"
        found = descend(
            loss, (z,), self.steps, self.learning_rate, optimiser=self.optimiser, schedule=schedule, update=update
        )
        (z,) = found.variables
        return Ended(
            x=problem.prior.decode(z),
            latent=z,
            trace=found.trace,
            converged=at_rest(found.trace, self.tolerance),
            nfe=found.losses + 1,  # and the image
            nfe_grad=self.steps,
        )
