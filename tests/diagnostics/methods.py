"""Methods whose draws are exact, or wrong in a known way: what calibration studies are tested with."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from posterior import Posterior, Samples


@dataclass(frozen=True)
class KnownDraws:
    """Independent draws of a Gaussian posterior, spread about its mean by a factor, shifted by so many deviations."""

    scale: float = 1.0
    shift: float = 0.0
    name: str = "KnownDraws"

    def __call__(
        self,
        problem: Posterior,
        *,
        num_samples: int = 64,
        seed: int = 0,
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Samples:
        exact = problem.prior.posterior(problem.likelihood, problem.y)
        # ids are 0 … N−1 and seeds small: each batch of each study has a seed of its own
        x = exact.sample(num_samples, seed=1000 * seed + int(problem.ids[0]))
        return samples(exact.mean() + self.scale * (x - exact.mean()) + self.shift * exact.std())


@dataclass(frozen=True)
class PriorDraws:
    """Draws of the prior, whatever was measured."""

    name: str = "PriorDraws"

    def __call__(
        self,
        problem: Posterior,
        *,
        num_samples: int = 64,
        seed: int = 0,
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Samples:
        return samples(problem.prior.exact_sample(num_samples, problem.noise(seed, num_samples)))


@dataclass(frozen=True)
class SharedError:
    """Exact draws each, but those of a population of eight have half their variance in common."""

    name: str = "SharedError"

    def __call__(
        self,
        problem: Posterior,
        *,
        num_samples: int = 64,
        seed: int = 0,
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Samples:
        exact = problem.prior.posterior(problem.likelihood, problem.y)
        start = 1000 * seed + int(problem.ids[0])
        own = exact.sample(num_samples, seed=start) - exact.mean()
        common = exact.sample(-(-num_samples // 8), seed=10**6 + start) - exact.mean()
        return samples(exact.mean() + (own + common.repeat_interleave(8, 0)[:num_samples]) / 2**0.5)


def samples(x: torch.Tensor, chains: int = 1, **info: torch.Tensor) -> Samples:
    return Samples(x, torch.ones(x.shape[1]), torch.zeros(x.shape[1]), info, chains)
