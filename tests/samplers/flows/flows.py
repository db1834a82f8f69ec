"""Flows whose latent posteriors are known."""

import torch
from torch import Tensor, nn

from posterior import GaussianLikelihood, Posterior
from posterior.noise import Noise
from posterior.operators import Inpainting, Matrix
from posterior.priors import FlowPrior
from tests.samplers.latent.generators import Bend, Bent, bent_batch

DOUBLE = torch.float64


class LinearFlow(FlowPrior):
    """x = W z, four numbers of very different weight."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_shape = self.event_shape = (4,)
        weight = Noise.of(3, 1, dtype=DOUBLE).normal((4, 4))[0, 0] * torch.tensor([1.0, 0.5, 0.2, 0.1], dtype=DOUBLE)
        self.layers = nn.ModuleList([_Linear(weight)])

    @property
    def weight(self) -> Tensor:
        return self.layers[0].weight


class _Linear(nn.Module):
    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.register_buffer("weight", weight)

    def forward(self, z: Tensor) -> Tensor:
        return z @ self.weight.T

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.linalg.solve(self.weight, x.T).T, -torch.linalg.slogdet(self.weight)[1].expand(len(x))


def linear_flow_problem(std: float = 0.1, count: int = 2) -> Posterior:
    """Two values of each vector, seen sharply: a Gaussian posterior of z."""
    prior, noise = LinearFlow(), Noise.of(4, count, dtype=DOUBLE)
    likelihood = GaussianLikelihood(Matrix(noise.use("A").normal((2, 4))[0, 0]), std)
    return Posterior(prior, likelihood, likelihood.simulate(prior.sample(1, noise.use("truth"))[0], noise))


def pixels_problem(count: int = 2) -> Posterior:
    """Two of four values, seen as good as exactly."""
    prior, noise = LinearFlow(), Noise.of(4, count, dtype=DOUBLE)
    likelihood = GaussianLikelihood(Inpainting(torch.tensor([True, False, True, False])), 1e-3)
    return Posterior(prior, likelihood, likelihood.simulate(prior.sample(1, noise.use("truth"))[0], noise))


class BentFlow(Bent, FlowPrior):
    """x = (z_1, z_2 + z_1² − 1), a banana of which the inverse is known, and whose volume is that of N(0, I)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([_InvertibleBend()])


class _InvertibleBend(Bend):
    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.stack([x[:, 0], x[:, 1] - self.bend * x[:, 0] ** 2 + 1], 1), x.new_zeros(len(x))


def bent_flow_batch(batch: int = 1) -> Posterior:
    """The measurements of `bent_batch`, of a flow."""
    return bent_batch(batch, BentFlow())


def curved_problem() -> Posterior:
    """The second value, of several sizes: one arm where it is least, and two where it is large."""
    likelihood = GaussianLikelihood(Inpainting(torch.tensor([False, True])), 0.5)
    return Posterior(BentFlow(), likelihood, torch.tensor([[0.0, -1.5], [0.0, 0.5]], dtype=DOUBLE))
