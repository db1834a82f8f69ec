"""Posteriors of flow priors that are known: a linear flow in closed form, a bent one of two numbers by quadrature."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor, nn

from benchmarks.exactness.latent import Linear
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Inpainting, Matrix
from posterior.priors import FlowPrior
from posterior.problem import Posterior
from posterior.training import train_flow

DOUBLE = torch.float64
SIZE, MEASURED = 16, 6

# Several measurements, the log p(y) of each, (B,), and exact samples of images, (S, B, n), by their number and noise.
Known = tuple[Posterior, Tensor, Callable[[int, Noise], Tensor]]


class Invertible(Linear):
    """x = W z, W square."""

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.linalg.solve(self.weight, x.T).T, -torch.linalg.slogdet(self.weight)[1].expand(len(x))


class LinearFlow(FlowPrior):
    """A flow of one linear layer."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.latent_shape = self.event_shape = (len(weight),)
        self.layers = nn.ModuleList([Invertible(weight)])


def linear(count: int) -> Known:
    """A linear flow and a linear operator: the posterior of z is Gaussian."""
    noise = Noise.of(0, ["flow linear"], dtype=DOUBLE)
    weight = noise.use("weight").normal((SIZE, SIZE))[0, 0] * torch.logspace(0, -1, SIZE, dtype=DOUBLE)
    prior = LinearFlow(weight)
    likelihood = GaussianLikelihood(Matrix(noise.use("operator").normal((MEASURED, SIZE))[0, 0], (SIZE,)), 0.3)
    source = Noise.of(0, count, dtype=DOUBLE)
    problem = Posterior(prior, likelihood, likelihood.simulate(prior.sample(1, source.use("truth"))[0], source))
    seen, one = likelihood.operator(weight.T).T, torch.eye(SIZE, dtype=DOUBLE)  # A W
    covariance = torch.linalg.inv(one + seen.T @ seen / 0.3**2)
    mean = problem.y @ seen @ covariance / 0.3**2
    root = torch.linalg.cholesky(covariance)
    of_y = torch.distributions.MultivariateNormal(
        torch.zeros(MEASURED, dtype=DOUBLE), seen @ seen.T + 0.3**2 * torch.eye(MEASURED, dtype=DOUBLE)
    )

    def draw(size: int, noise: Noise) -> Tensor:
        return prior(mean + noise.for_draws(size).normal((SIZE,)) @ root.T)

    return problem, of_y.log_prob(problem.y), draw


@cache
def moons(steps: int) -> FlowPrior:
    """A neural spline flow of two half circles, trained here in half a minute."""
    noise = Noise.of(0, 4000)
    angle, which = math.pi * noise.use("angle").uniform()[0], noise.use("which").uniform()[0] < 0.5
    upper, lower = torch.stack([angle.cos(), angle.sin()], 1), torch.stack([1 - angle.cos(), 0.5 - angle.sin()], 1)
    x = torch.where(which[:, None], upper, lower) + 0.1 * noise.use("width").normal((2,))[0]
    with tempfile.TemporaryDirectory() as folder, torch.enable_grad():
        prior = train_flow(
            x,
            folder,
            network=dict(transforms=3, hidden=(64,)),
            steps=steps,
            batch_size=256,
            learning_rate=5e-3,
            progress=False,
        )
    return prior.double()


@cache
def _grid(steps: int, points: int) -> tuple[Tensor, Tensor, Tensor]:
    """Nodes of a grid of z in [−6, 6]², their images, and log N(z; 0, I)."""
    axis = torch.linspace(-6, 6, points, dtype=DOUBLE)
    nodes = torch.cartesian_prod(axis, axis)
    prior = moons(steps)
    images = torch.cat([prior(part) for part in nodes.split(20_000)])
    return nodes, images, prior.latent_log_prob(nodes)


def curved(count: int, steps: int = 1000, points: int = 801) -> Known:
    """Two half circles, of which the first value is seen: one to three arcs, by quadrature over z."""
    problem = _measured(count, steps, 0.3)
    nodes, images, log_prior = _grid(steps, points)
    joint = problem.log_likelihood(images[:, None].expand(-1, count, -1)) + log_prior[:, None]
    cumulative, cell = joint.softmax(0).cumsum(0).T.contiguous(), 12 / (points - 1)

    def draw(size: int, noise: Noise) -> Tensor:
        uniform = noise.for_draws(size).use("node").uniform().T.contiguous()
        index = torch.searchsorted(cumulative, uniform).clamp_max(len(nodes) - 1).T
        return problem.prior(nodes[index] + cell * (noise.for_draws(size).use("within").uniform((2,)) - 0.5))

    return problem, joint.logsumexp(0) + 2 * math.log(cell), draw


def curved_exactly(count: int, steps: int = 1000) -> Known:
    """The same with next to no noise: the second value given that the first is y, by quadrature on [−3, 3]."""
    problem = _measured(count, steps, 1e-3)
    axis = torch.linspace(-3, 3, 20_001, dtype=DOUBLE)
    first = problem.y[:, :1].T.expand(len(axis), -1)
    joint = problem.prior.log_prob(torch.stack([first, axis[:, None].expand_as(first)], -1))
    cumulative, cell = joint.softmax(0).cumsum(0).T.contiguous(), float(axis[1] - axis[0])

    def draw(size: int, noise: Noise) -> Tensor:
        uniform = noise.for_draws(size).uniform().T.contiguous()
        second = axis[torch.searchsorted(cumulative, uniform).clamp_max(len(axis) - 1).T]
        return torch.stack([problem.y[:, 0].expand_as(second), second], -1)

    return problem, joint.logsumexp(0) + math.log(cell), draw


def _measured(count: int, steps: int, noise_std: float) -> Posterior:
    prior, noise = moons(steps), Noise.of(0, count, dtype=DOUBLE).use("moons")
    likelihood = GaussianLikelihood(Inpainting(torch.tensor([True, False])), noise_std)
    return Posterior(prior, likelihood, likelihood.simulate(prior.sample(1, noise.use("truth"))[0], noise))
