"""How much of the difference of two images that a generator makes an operator sees, at the least."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from posterior.checks import Count, Several, check_value, checked
from posterior.noise import Noise
from posterior.operators.base import Operator
from posterior.priors.generators import GeneratorPrior
from posterior.shapes import expand_right

_NEAR = 0.01  # standard deviations of the latent between the images of a near pair
_APART = 0.01  # of the median distance of two images: pairs that are nearer are left to δ
_RATE, _SLACK = 0.05, 2.0  # step size of Adam; how far beyond √k a latent may go


class RestrictedEigenvalue(NamedTuple):
    r"""Ratios \(\|A(x_1) - A(x_2)\|/\|x_1 - x_2\|\) of pairs of images, each an upper bound of γ.

    Attributes:
        random: Of images of independent latents, (N,).
        near: Of images of latents that are next to each other, (N,).
        adversarial: The least that gradients find from all of these, (2N,).
    """

    random: Tensor
    near: Tensor
    adversarial: Tensor

    @property
    def gamma(self) -> float:
        """The least of all ratios."""
        return float(torch.cat(self).min())


@checked
def restricted_eigenvalue(
    operator: Operator, prior: GeneratorPrior, *, num_pairs: Several = 32, steps: Count = 100, seed: int = 0
) -> RestrictedEigenvalue:
    r"""Estimate γ of the set-restricted eigenvalue condition of an operator, on the images of a generator.

    $$ \|A(x_1 - x_2)\| \ge \gamma \|x_1 - x_2\| - \delta, \qquad x_i = G(z_i) $$

    Any pair of images only bounds γ from above, and random ones by far: those that the operator confuses are rare. So
    the ratio is minimised from each pair, by steps of Adam on both latents, within ‖z‖ ≤ √k + 2, where latents of
    N(0, I) are; images at less than 1 % of a typical distance count for δ. What is left is still an upper bound.

    Args:
        operator: A, linear or not.
        prior: G.
        num_pairs: Random pairs N, and as many near ones.
        steps: Steps of Adam.
        seed: Of the latents.

    Raises:
        InvalidValueError: The prior is no generator, the operator none, or a number is out of range.

    References:
        Bora, Jalal, Price & Dimakis 2017, Compressed Sensing using Generative Models, arXiv:1703.03208 (definition 1).
    """
    check_value("restricted_eigenvalue", "prior", prior, GeneratorPrior)
    noise = Noise.of(seed, device=prior.device, dtype=prior.dtype).use("restricted eigenvalue")
    z, other, step = (noise.use(name).for_draws(num_pairs).normal(prior.latent_shape)[:, 0] for name in "abc")
    pairs = torch.stack([torch.cat([z, z]), torch.cat([other, z + _NEAR * step])], 1)
    with torch.no_grad():
        first, distance = _ratios(operator, prior, pairs)
    least = _descend(operator, prior, pairs, first, _APART * distance[:num_pairs].median(), steps)
    return RestrictedEigenvalue(first[:num_pairs], first[num_pairs:], least)


def _descend(
    operator: Operator, prior: GeneratorPrior, pairs: Tensor, least: Tensor, apart: Tensor, steps: int
) -> Tensor:
    """The least ratios on the way down from pairs of latents (N, 2, *latent_shape)."""
    radius = pairs[0, 0].numel() ** 0.5 + _SLACK
    pairs = pairs.clone().requires_grad_()
    optimiser = torch.optim.Adam([pairs], _RATE)
    for _ in range(steps):
        with torch.enable_grad():
            ratio, _ = _ratios(operator, prior, pairs)
            (pairs.grad,) = torch.autograd.grad(ratio.log().sum(), pairs)
        optimiser.step()
        with torch.no_grad():
            length = pairs.flatten(2).norm(dim=2)
            pairs *= expand_right((radius / length).clamp_max(1), pairs.ndim - 2)
            ratio, distance = _ratios(operator, prior, pairs)
            least = torch.where((distance > apart) & (ratio < least), ratio, least)
    return least


def _ratios(operator: Operator, prior: GeneratorPrior, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """Ratios and distances of pairs of latents (N, 2, *latent_shape)."""
    x = prior.decode(pairs)
    seen = operator(x[:, 0]) - operator(x[:, 1])
    distance = (x[:, 0] - x[:, 1]).flatten(1).norm(dim=1)
    return (seen * seen.conj()).real.flatten(1).sum(1).sqrt() / distance, distance
