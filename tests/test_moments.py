import numpy as np
import pytest
import torch

from posterior import Moments, Samples
from posterior.errors import FileFormatError, InvalidValueError
from posterior.noise import Noise
from posterior.sketch import QuantileSketch
from posterior.verdict import Verdict


def blocks(total: int, size: int, shape: tuple[int, ...] = (2, 3)) -> tuple[torch.Tensor, Moments]:
    """Draws, and their moments taken in a block at a time."""
    x = 3 + 2 * Noise.of(0, 1, total, dtype=torch.float64).normal(shape)[:, 0]
    moments = Moments.none_yet(shape[0])
    for part in x.split(size):
        ones = torch.ones(shape[0], dtype=torch.float64)
        moments.add(Samples(part, 4 * ones, ones, {"log_evidence": len(part) * ones, "trace": torch.ones(5, shape[0])}))
    return x, moments


def test_they_are_those_of_all_draws_together():
    x, moments = blocks(1000, 64)
    whole = Samples(x, torch.ones(2), torch.ones(2))
    assert len(moments) == 1000
    assert torch.allclose(moments.mean(), whole.mean(), atol=1e-12, rtol=0)
    assert torch.allclose(moments.std(), whole.std(), atol=1e-12, rtol=0)
    assert torch.equal(moments.nfe, torch.full((2,), 4.0, dtype=torch.float64))
    assert moments.info["log_evidence"].shape == (16, 2)
    assert "trace" not in moments.info


def test_few_draws_have_exact_quantiles():
    x, moments = blocks(99, 10)
    whole = Samples(x, torch.ones(2), torch.ones(2))
    for q in (0.0, 0.137, 0.5, 1.0):
        assert torch.allclose(moments.quantile(q), whole.quantile(q), atol=1e-12, rtol=0)
    assert all(map(torch.equal, moments.credible_interval(0.9), whole.credible_interval(0.9)))


def test_many_draws_have_quantiles_within_their_bound():
    # At height h, n/(128·2^h) times, a rank is kept or off by 2^h either way: variances add up to (n/128)² at the most,
    # a standard error of 0.78 %, or less because the ways alternate; 600 ranks within 4.5 of them.
    x, moments = blocks(20_000, 256, (4, 25))
    share = [(x <= moments.quantile(q)).double().mean(0) - q for q in (0.01, 0.05, 0.25, 0.5, 0.9, 0.99)]
    error = torch.stack(share).abs()
    assert error.max() < 4.5 / 128
    assert error.mean() < 1 / 128
    ordered = QuantileSketch()
    ordered.add(torch.arange(20_000.0))
    for rank in (1, 200, 7_000, 19_999):
        assert abs(float(ordered.order_statistic(rank)) + 1 - rank) < 20_000 * 0.06


def test_memory_grows_with_the_logarithm():
    _, moments = blocks(50_000, 1000, (1, 2))
    assert sum(map(len, moments.sketch.levels)) < 128 * 10  # levels: log2(50,000 / 128) + 1


def test_blocks_of_any_size_give_the_same():
    sketches = [blocks(3000, size)[1] for size in (1, 37, 3000)]
    for other in sketches[1:]:
        assert torch.allclose(other.std(), sketches[0].std(), atol=1e-12, rtol=0)
        assert torch.equal(other.quantile(0.3), sketches[0].quantile(0.3))


def test_they_survive_a_file(tmp_path):
    x, moments = blocks(500, 100)
    moments.verdict = (Verdict(), Verdict("doubtful", ("ρ is off",), "take more"))
    back = Moments.load(moments.save(tmp_path / "deep" / "moments"))
    assert back.verdict == moments.verdict
    assert torch.equal(back.quantile(0.2), moments.quantile(0.2))
    assert torch.equal(back.std(), moments.std())
    assert torch.equal(back.info["log_evidence"], moments.info["log_evidence"])
    again = (Verdict(), Verdict())
    back.add(Samples(x[:3], torch.ones(2), torch.ones(2), {"log_evidence": torch.ones(2)}, verdict=again))  # and go on
    assert len(back) == 503
    with pytest.raises(FileFormatError, match="holds Moments"):
        Samples.load(tmp_path / "deep" / "moments.npz")


def test_bad_levels_are_refused():
    _, moments = blocks(18, 18)
    with pytest.raises(InvalidValueError, match="q to be"):
        moments.quantile(np.nan)
    with pytest.raises(InvalidValueError, match="at least 19"):
        moments.credible_interval(0.9)
