import math

import numpy as np
import pytest
import torch
from arviz_stats.base import array_stats
from torch import Tensor

from posterior import convergence
from posterior.convergence import ess_bulk, ess_mean, ess_tail, mcse_mean, rhat, rhat_limit
from posterior.errors import InvalidValueError, NotFiniteError, ShapeError
from posterior.noise import Noise


def autoregressive(chains: int, length: int, phi: float, shape: tuple[int, ...] = (), seed: int = 0) -> Tensor:
    """Stationary Gaussian chains of unit variance, correlation φ^t: an ESS of S(1 − φ)/(1 + φ)."""
    innovations = Noise.of(seed, 1, chains * length, dtype=torch.float64).normal(shape)
    x = innovations.reshape(chains, length, *shape)
    for t in range(1, length):
        x[:, t] = phi * x[:, t - 1] + math.sqrt(1 - phi**2) * x[:, t]
    return x


CASES = {
    "independent": autoregressive(4, 100, 0.0),
    "positive": autoregressive(4, 257, 0.8),
    "antithetic": autoregressive(3, 200, -0.6),
    "apart": autoregressive(4, 100, 0.3) + torch.arange(4)[:, None],
    "wide": autoregressive(2, 101, 0.5) * torch.tensor([[1.0], [3.0]]),
    "short": autoregressive(2, 4, 0.0),
    "short and odd": autoregressive(4, 7, 0.0),
    "ties": autoregressive(4, 60, 0.7).round(),
    "binary": (autoregressive(4, 60, 0.7) > 1).double(),
    "slow": autoregressive(2, 64, 0.99),
    "heavy tails": autoregressive(4, 100, 0.5).tan(),
}


@pytest.mark.parametrize("case", CASES)
def test_equal_to_arviz(case: str) -> None:
    x = CASES[case]
    values = np.asarray(x)
    for ours, theirs in (
        (rhat, array_stats.rhat(values)),
        (ess_bulk, array_stats.ess(values, method="bulk")),
        (ess_tail, array_stats.ess(values, method="tail", prob=(0.05, 0.95))),
        (ess_mean, array_stats.ess(values, method="mean")),
        (mcse_mean, array_stats.mcse(values, method="mean")),
    ):
        assert ours(x).item() == pytest.approx(float(theirs), rel=1e-8), ours.__name__


@pytest.mark.parametrize("phi", [0.0, 0.4])
@pytest.mark.parametrize(("chains", "length", "entries"), [(8, 8, 256), (4, 40, 64), (1, 64, 1)])
def test_chains_of_one_law_seldom_exceed_the_limit(chains: int, length: int, entries: int, phi: float) -> None:
    # One run in a hundred: of 100 more than five do once in 1,900 times. The limit is not far above what they reach.
    runs = autoregressive(chains, length, phi, (100, entries))
    largest = rhat(runs).amax(-1)
    limits = torch.stack([rhat_limit(runs[:, :, k]) for k in range(100)])
    assert (largest > limits).sum() <= 5
    assert ((largest.quantile(0.95) - 1) / (limits.median() - 1)) > 0.3


def test_chains_apart_exceed_the_limit() -> None:
    apart = autoregressive(8, 8, 0.5, (64,)) + 3 * (torch.arange(8) % 2)[:, None, None]
    assert rhat(apart).max() > 1.1 * rhat_limit(apart)
    same = torch.ones(4, 8, 3)
    assert rhat(same).isnan().all() and rhat_limit(same).isfinite()
    with pytest.raises(InvalidValueError, match="at least 4 draws"):
        rhat_limit(autoregressive(2, 3, 0.0))


def test_entries_are_judged_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    x = autoregressive(3, 40, 0.5, (2, 3))
    for function in (rhat, ess_bulk, ess_tail, ess_mean, mcse_mean):
        together = function(x)
        assert together.shape == (2, 3)
        assert torch.allclose(together[1, 2], function(x[..., 1, 2]), rtol=1e-12)
        with monkeypatch.context() as patch:
            patch.setattr(convergence, "_CHUNK", 250)  # two entries at a time
            assert torch.allclose(function(x), together, rtol=1e-12)


def test_known_effective_size() -> None:
    # 20 000 draws at φ = ½ are worth a third of them. The estimate's relative error is about √(2T/S) with T = 15 lags
    # (measured .03 over seeds).
    assert ess_mean(autoregressive(4, 5000, 0.5)).item() == pytest.approx(20_000 / 3, rel=0.15)


def test_constant_draws() -> None:
    x = torch.ones(4, 10)
    assert torch.isnan(rhat(x))
    assert ess_bulk(x) == ess_tail(x) == ess_mean(x) == 40
    assert mcse_mean(x) == 0
    # chains that are stuck in different places
    assert torch.isinf(rhat(torch.arange(4.0)[:, None].expand(4, 10)))


def test_draws_that_cannot_be_judged() -> None:
    with pytest.raises(InvalidValueError, match="at least 4 draws a chain, got 2 chains of 3"):
        rhat(torch.zeros(2, 3))
    with pytest.raises(ShapeError, match="chains, draws"):
        ess_mean(torch.zeros(7))
    with pytest.raises(NotFiniteError, match="NaN"):
        ess_bulk(torch.full((2, 5), torch.nan))
