"""The laws of increments as mixtures of normals."""

import pytest
import torch
from scipy import stats
from torch import Tensor

from benchmarks.exactness.levy_increments import LAWS
from posterior.noise import Noise

SIZE = 20_000


def noise() -> Noise:
    return Noise.of(3, ["increments"], dtype=torch.float64)


def flat(x: Tensor) -> Tensor:
    return x[0, 0]


@pytest.mark.parametrize("name", LAWS)
def test_draws_have_the_density_and_the_variance(name: str) -> None:
    law = LAWS[name]
    drawn = flat(law.draw((SIZE,), noise()))
    grid = torch.linspace(-2000, 2000, 4_000_001, dtype=torch.float64)
    density = law.density(grid)
    step = float(grid[1] - grid[0])
    assert float(density.sum()) * step == pytest.approx(1, abs=1e-6)
    # The tail of Student's t³ beyond 2,000 holds 1e-3 of its variance.
    assert law.share * float((density * grid.square()).sum()) * step == pytest.approx(law.variance, rel=2e-3)
    assert float((drawn != 0).double().mean()) == pytest.approx(law.share, abs=4 * 0.5 / SIZE**0.5)
    slope = (law.density(torch.tensor(1e-6, dtype=torch.float64)) - law.density(torch.zeros(()).double())) / 1e-6
    assert float(slope) == pytest.approx(law.corner, abs=1e-5)
    cumulative = (density * step).cumsum(0)
    ranks = cumulative[torch.searchsorted(grid, drawn[drawn != 0]).clamp_max(len(grid) - 1)]
    assert stats.kstest(ranks.numpy(), "uniform").pvalue > 0.01


@pytest.mark.parametrize(
    ("name", "prior"),
    [("Laplace", stats.expon(scale=2)), ("Student t", stats.invgamma(1.5, scale=1.5))],
)
def test_variances_given_increments_have_their_own_law(name: str, prior: stats.rv_continuous) -> None:
    law = LAWS[name]
    increments = law.draw((SIZE,), noise())
    variances = flat(law.draw_variances(increments, noise().use("w")))
    assert stats.kstest(variances.numpy(), prior.cdf).pvalue > 0.01
    # And given w, increments are normal.
    assert stats.kstest((flat(increments) / variances.sqrt()).numpy(), "norm").pvalue > 0.01
