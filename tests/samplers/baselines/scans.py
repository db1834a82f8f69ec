"""Small problems of MRI, whose measurements have maps and masks of their own."""

import torch
from torch import Tensor

from posterior.likelihoods import GaussianLikelihood
from posterior.mri import random_maps, random_mask
from posterior.noise import Noise
from posterior.operators import MultiCoilMRI
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from tests.problems import DOUBLE

SHAPE = (8, 6)


def operator_of(
    count: int = 3,
    shape: tuple[int, int] = SHAPE,
    coils: int = 3,
    gain: float = 1.0,
    acceleration: float = 2.0,
    grid: tuple[int, int] | None = None,
) -> MultiCoilMRI:
    """Coils and masks of each measurement, with an edge that no coil sees and a sum of squares of gain² elsewhere."""
    maps = torch.stack([random_maps(coils, *shape, seed, DOUBLE) for seed in range(count)])
    maps[..., :1, :] = 0
    masks = torch.stack([random_mask(grid or shape, acceleration, 1, seed) for seed in range(count)])
    return MultiCoilMRI(gain * maps, masks[:, None], grid)


def images_of(count: int = 3, shape: tuple[int, int] = SHAPE) -> Tensor:
    """Complex images, 0 where `operator_of` sees nothing."""
    images = Noise.of(5, count, dtype=DOUBLE).use("images").normal((2, *shape))[0]
    images[..., :1, :] = 0
    return images


def problem_of(operator: MultiCoilMRI, std: float = 0.1, images: Tensor | None = None) -> Posterior:
    """Measurements of an operator with a mask for each."""
    count, shape = len(operator.mask), tuple(operator.event_shape)
    x = images_of(count, shape[1:]) if images is None else images  # type: ignore[arg-type]
    prior = GaussianMixturePrior(torch.zeros(1, *shape, dtype=DOUBLE))
    likelihood = GaussianLikelihood(operator, std)
    return Posterior(prior, likelihood, likelihood.simulate(x, Noise.of(3, count, dtype=DOUBLE)))


def scans(batch: int = 1) -> Posterior:
    """Up to three measurements."""
    return problem_of(operator_of()).select(range(batch))


def scans_within(batch: int = 1) -> Posterior:
    """As many, of a field of view that is larger than the image."""
    return problem_of(operator_of(grid=(9, 11))).select(range(batch))


def dense(operator: MultiCoilMRI) -> Tensor:
    """A of one measurement as a matrix of real numbers (2m, n)."""
    n = torch.Size(operator.event_shape).numel()
    rows = operator(torch.eye(n, dtype=DOUBLE).reshape(n, *operator.event_shape))
    return torch.view_as_real(rows).flatten(1).T
