"""Generators whose latent posteriors are known."""

import torch
from torch import Tensor, nn

from posterior import GaussianLikelihood, Posterior
from posterior.noise import Noise
from posterior.operators import Identity, Inpainting, Matrix
from posterior.priors import GeneratorPrior

DOUBLE = torch.float64


class Linear(GeneratorPrior):
    """x = W z, an image of 5 pixels from 3 numbers of very different weight."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_shape, self.event_shape = (3,), (5,)
        layer = nn.Linear(3, 5, bias=False).double()
        scale = torch.tensor([1.0, 0.3, 0.05], dtype=DOUBLE)
        layer.weight.data = Noise.of(2, 1, dtype=DOUBLE).normal((5, 3))[0, 0] * scale
        self.layers = nn.ModuleList([layer]).requires_grad_(False)

    @property
    def weight(self) -> Tensor:
        return self.layers[0].weight


def linear_problem(std: float = 0.1, count: int = 2) -> Posterior:
    """Three values of each image, seen sharply: a Gaussian posterior of z."""
    prior, noise = Linear(), Noise.of(4, count, dtype=DOUBLE)
    likelihood = GaussianLikelihood(Matrix(noise.use("A").normal((3, 5))[0, 0]), std)
    return Posterior(prior, likelihood, likelihood.simulate(prior.sample(1, noise.use("truth"))[0], noise))


def linear_posterior(problem: Posterior) -> tuple[Tensor, Tensor, Tensor]:
    """Mean (B, k) and covariance (k, k) of z given y, and log p(y), (B,)."""
    m = problem.operator(problem.prior.weight.T).T  # A W
    variance = float(problem.likelihood.noise_std) ** 2
    covariance = torch.linalg.inv(torch.eye(m.shape[1], dtype=DOUBLE) + m.T @ m / variance)
    seen = torch.distributions.MultivariateNormal(
        torch.zeros(len(m), dtype=DOUBLE), m @ m.T + variance * torch.eye(len(m), dtype=DOUBLE)
    )
    return problem.y @ m @ covariance / variance, covariance, seen.log_prob(problem.y)


class Bent(GeneratorPrior):
    """x = (z_1, z_2 + z_1² − 1), two values of two numbers: a banana."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_shape = self.event_shape = (2,)
        self.layers = nn.ModuleList([Bend()])


class Bend(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bend", torch.ones((), dtype=DOUBLE))

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([z[:, 0], z[:, 1] + self.bend * z[:, 0] ** 2 - 1], 1)


def bent_problem() -> Posterior:
    """The second value alone: z_1 may have either sign, so that the posterior has two curved arms."""
    likelihood = GaussianLikelihood(Inpainting(torch.tensor([False, True])), 0.2)
    return Posterior(Bent(), likelihood, torch.tensor([[0.0, 1.0], [0.0, 0.0]], dtype=DOUBLE))


def bent_batch(batch: int = 1, prior: GeneratorPrior | None = None) -> Posterior:
    """Measurements of the second value by two arms, by arms that meet, and by one."""
    y = torch.tensor([[0.0, 1.0], [0.0, 0.0], [0.0, -0.5]], dtype=DOUBLE)[:batch]
    return Posterior(prior or Bent(), bent_problem().likelihood, y)


def inverted_problem(std: float = 0.2) -> Posterior:
    """The banana's image itself, seen."""
    return Posterior(Bent(), GaussianLikelihood(Identity((2,)), std), torch.tensor([[1.0, 0.5]], dtype=DOUBLE))


def by_quadrature(problem: Posterior, points: int = 801) -> tuple[Tensor, Tensor]:
    """The nodes of a grid of z in [−6, 6]² (points², 2), and the log of p(z, y) × its cell, (points², B)."""
    axis = torch.linspace(-6, 6, points, dtype=DOUBLE)
    z = torch.cartesian_prod(axis, axis)
    rows = z[:, None].expand(-1, len(problem), -1)
    cell = (axis[1] - axis[0]) ** 2
    joint = problem.log_likelihood(problem.prior.decode(rows)) + problem.prior.latent_log_prob(rows)
    return z, joint + cell.log()
