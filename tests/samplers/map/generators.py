"""Small generators with latents of any shape."""

from typing import Any

import torch
from torch import Tensor, nn

from posterior import GaussianLikelihood, Posterior
from posterior.noise import Noise
from posterior.operators import Downsampling, Identity
from posterior.priors import GeneratorPrior
from samplers.map.restarts import Restarted

DOUBLE = torch.float64
SHAPE = (1, 4, 4)


class Small(GeneratorPrior):
    """A smooth map of 6 numbers, in latents of a given shape, to images of 1 × 4 × 4, by way of 12 features."""

    def __init__(self, latent_shape: tuple[int, ...] = (6,)) -> None:
        super().__init__()
        self.latent_shape, self.event_shape = latent_shape, SHAPE
        noise, linear = Noise.of(1, 1, dtype=DOUBLE), []
        for name, outputs, inputs in (("first", 12, 6), ("second", 16, 12)):
            linear.append(nn.Linear(inputs, outputs, bias=False).double())
            linear[-1].weight.data = noise.use(name).normal((outputs, inputs))[0, 0] / inputs**0.5
        self.layers = nn.ModuleList([
            nn.Sequential(nn.Flatten(), linear[0]),
            nn.Sequential(nn.Tanh(), linear[1]),
            nn.Sequential(nn.Tanh(), nn.Unflatten(1, SHAPE)),
        ])  # fmt: skip


class Large(Small):
    """The same images, enlarged to 1 × 24 × 24."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape = (1, 24, 24)
        self.layers[2].append(nn.Upsample(scale_factor=6, mode="bilinear"))


def small_problem(latent_shape: tuple[int, ...] = (6,), std: float = 0.01, count: int = 3) -> Posterior:
    """Images of the generator's own, seen at half the resolution."""
    prior = Small(latent_shape)
    likelihood = GaussianLikelihood(Downsampling(SHAPE, 2).double(), std)
    noise = Noise.of(5, count, dtype=DOUBLE)
    return Posterior(prior, likelihood, likelihood.simulate(prior.sample(1, noise.use("truth"))[0], noise))


def outside_problem(std: float = 0.1, count: int = 3) -> Posterior:
    """Images that no latent gives, seen as they are."""
    likelihood = GaussianLikelihood(Identity(SHAPE), std)
    return Posterior(Small(), likelihood, 0.8 * torch.tanh(Noise.of(9, count, dtype=DOUBLE).normal(SHAPE)[0]))


class Same(GeneratorPrior):
    """x = z."""

    def __init__(self) -> None:
        super().__init__()
        self.latent_shape = self.event_shape = (2,)
        self.layers = nn.ModuleList([nn.Identity()])


def far_problem() -> Posterior:
    """Two numbers as they are, measured so far away that slopes hardly change: steps of Adam are its learning rate."""
    return Posterior(Same(), GaussianLikelihood(Identity((2,)), 1.0), torch.full((1, 2), 1e9, dtype=DOUBLE))


def followed(solver: Restarted[Any], problem: Posterior) -> Tensor:
    """The points of a solver with one round, from the first on: (steps + 1, restarts, B, *latent_shape)."""
    path: list[Tensor] = []

    def follow(step: int, state: Any, info: object) -> None:
        path.extend([state.start, state.h] if step == 0 else [state.h])

    solver.solve(problem, progress=False, callback=follow)
    return torch.stack(path)
