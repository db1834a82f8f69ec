"""What an estimate from few measurements owes to the generator, to the noise and to the optimiser."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from posterior.checks import Count, NonNegative, Positive, check_value, checked
from posterior.errors import IncompatibleError
from posterior.likelihoods import GaussianLikelihood
from posterior.methods import Method
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.operators.base import LinearOperator
from posterior.priors.generators import GeneratorPrior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from posterior.shapes import expand_right


class Recovery(NamedTuple):
    r"""The error of estimates of planted images, and the terms that bound it, (N,) each, norms in images' units.

    Attributes:
        error: ‖x̂ − x*‖.
        representation: min_z ‖G(z) − x*‖, or the least that was found.
        noise: ‖η‖, η = y − A x*.
        optimisation: ε, by how much ‖y − A x̂‖ is more than the least that was found.
    """

    error: Tensor
    representation: Tensor
    noise: Tensor
    optimisation: Tensor

    @property
    def bound(self) -> Tensor:
        """6 · representation + 3 · noise + 2 · optimisation, (N,)."""
        return 6 * self.representation + 3 * self.noise + 2 * self.optimisation


@checked
def recovery(
    method: Method,
    prior: GeneratorPrior,
    operator: LinearOperator,
    *,
    num_problems: Count = 8,
    outside: NonNegative = 0.0,
    noise_std: Positive = 0.01,
    seed: int = 0,
) -> Recovery:
    r"""Measure each term of the bound of compressed sensing with a generator, on planted images.

    $$ \|G(\hat z) - x^*\| \le 6 \min_z \|G(z) - x^*\| + 3\|\eta\| + 2\varepsilon $$

    holds for Gaussian A with N(0, 1/m) entries and m = O(k d log n), with high probability. Images are \(x^* =
    G(z^*) + r\|G(z^*)\| u\) with a random unit vector u; the nearest image of the generator is the planted one or
    the method's estimate from x* itself, whichever is nearer, and the least misfit is the least of these three
    images'. ε is thus found too small, if anything, and the representation error too large.

    Args:
        method: A solver that ends in the range of the generator.
        prior: G.
        operator: A.
        num_problems: Images N.
        outside: r, how far outside the range images are, relative to their norms.
        noise_std: σ_y.
        seed: Of images, noise and method.

    Raises:
        IncompatibleError: The method gives samples, or does not take the prior.
        InvalidValueError: An argument is of another type or out of range.

    References:
        Bora, Jalal, Price & Dimakis 2017, Compressed Sensing using Generative Models, arXiv:1703.03208 (theorem 1.1).
    """
    check_value("recovery", "prior", prior, GeneratorPrior)
    noise = Noise.of(seed, num_problems, device=prior.device, dtype=prior.dtype).use("recovery")
    inside = prior.sample(1, noise.use("truth"))[0]
    away = noise.use("outside").normal(prior.event_shape)[0]
    truth = inside + outside * away * expand_right(_norm(inside) / _norm(away), away.ndim - 1)
    likelihood = GaussianLikelihood(operator, noise_std)
    y = likelihood.simulate(truth, noise)
    found = _estimate(method, Posterior(prior, likelihood, y), seed)
    nearest = _estimate(
        method, Posterior(prior, GaussianLikelihood(Identity(prior.event_shape), noise_std), truth), seed
    )
    misfits = torch.stack([_norm(y - operator(x)) for x in (found, inside, nearest)])
    return Recovery(
        error=_norm(found - truth),
        representation=torch.minimum(_norm(inside - truth), _norm(nearest - truth)),
        noise=_norm(y - operator(truth)),
        optimisation=misfits[0] - misfits.amin(0),
    )


def _estimate(method: Method, problem: Posterior, seed: int) -> Tensor:
    result = method(problem, seed=seed, progress=False)
    if not isinstance(result, PointEstimate):
        raise IncompatibleError(f"recovery takes a solver, and {method.name} gives samples; CSGM(weight=0) is one")
    return result.x


def _norm(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)
