import math

import pytest
import torch
from torch import Tensor

from posterior.diagnostics import crps, energy_score
from posterior.errors import InvalidValueError, ShapeError
from posterior.noise import Noise


def normal(*shape: int, seed: int = 0) -> Tensor:
    return Noise.of(seed, dtype=torch.float64).normal(shape)[0, 0]


def test_formulae_by_brute_force() -> None:
    x, truth = normal(7, 3, 2, 4), normal(3, 2, 4, seed=1)
    spread = (x[:, None] - x[None]).abs().sum((0, 1)) / (2 * 7 * 6)
    assert torch.allclose(crps(x, truth), (x - truth).abs().mean(0) - spread)
    distances = (x[:, None] - x[None]).flatten(3).norm(dim=3).sum((0, 1)) / (2 * 7 * 6)
    assert torch.allclose(energy_score(x, truth), (x - truth).flatten(2).norm(dim=2).mean(0) - distances)
    # in one dimension they are the same
    assert torch.allclose(energy_score(x[..., 0, 0], truth[..., 0, 0]), crps(x[..., 0, 0], truth[..., 0, 0]))


@pytest.mark.parametrize("size", [2, 20])
def test_mean_does_not_depend_on_the_number_of_draws(size: int) -> None:
    # E CRPS of N(0, 1) for a truth from N(0, 1) is E|x − x′|/2 = 1/√π; the error is std/√N
    scores = crps(normal(size, 20_000), normal(20_000, seed=1))
    assert abs(scores.mean() - 1 / math.sqrt(math.pi)) < 4 * scores.std() / math.sqrt(20_000)


def test_draws_that_cannot_be_scored() -> None:
    with pytest.raises(InvalidValueError, match="two draws"):
        crps(normal(1, 3), normal(3))
    with pytest.raises(ShapeError, match="expected"):
        energy_score(normal(4, 3), normal(4))
    with pytest.raises(ShapeError, match="B"):
        energy_score(normal(4), normal())
