import math

import pytest
import torch

from posterior.noise import Noise
from samplers import population as pop
from tests.problems import DOUBLE


def normal(*shape: int, batch: int = 1, seed: int = 0) -> torch.Tensor:
    """Gaussian numbers (N, B, …)."""
    return Noise.of(seed, batch, shape[0], dtype=DOUBLE).normal(shape[1:])


def test_take_is_by_measurement() -> None:
    values, index = normal(5, 2, 3, batch=4), torch.tensor([[4, 0, 1, 1], [0, 0, 2, 3]])
    taken = pop.take(values, index)
    assert taken.shape == (2, 4, 2, 3)
    assert all(torch.equal(taken[i, b], values[index[i, b], b]) for i in range(2) for b in range(4))
    assert torch.equal(pop.take(values[..., 0, 0], index), taken[..., 0, 0])


def test_conditional_effective_sample_size() -> None:
    increments = normal(50, batch=2)
    even = torch.full_like(increments, -3.0)
    # with equal weights it is (Σv)²/Σv², the effective size of the increments
    found, v = pop.conditional_effective_sample_size(even, increments), increments.exp()
    assert torch.allclose(found, v.sum(0).square() / v.square().sum(0))
    # equal increments keep all, whatever the weights
    assert torch.allclose(pop.conditional_effective_sample_size(increments, even), torch.tensor(50.0, dtype=DOUBLE))
    w, v = torch.tensor([0.5, 0.25, 0.25], dtype=DOUBLE), torch.tensor([1.0, 2.0, 4.0], dtype=DOUBLE)
    one = pop.conditional_effective_sample_size(w.log()[:, None] + 7, v.log()[:, None])
    assert one.item() == pytest.approx(3 * (0.5 + 0.5 + 1) ** 2 / (0.5 + 1 + 4))


def test_temperature_increment_meets_its_target() -> None:
    log_likelihood, log_weights = -1e4 * normal(500, batch=3).square(), normal(500, batch=3, seed=1)
    beta = torch.tensor([0.0, 0.3, 1 - 1e-9], dtype=DOUBLE)
    increment = pop.temperature_increment(log_weights, log_likelihood, beta, 250.0)
    reached = pop.conditional_effective_sample_size(log_weights, increment[:, None].T * log_likelihood)
    assert torch.allclose(reached[:2], torch.tensor(250.0, dtype=DOUBLE), rtol=1e-6)
    assert increment[2] == 1 - beta[2]  # the rest of the way keeps more than the target: go all of it
    assert (pop.temperature_increment(log_weights, log_likelihood, torch.ones_like(beta), 250.0) == 0).all()


@pytest.mark.parametrize("count", [None, 37, 250])
def test_systematic_resampling_is_within_one_of_the_expected_counts(count: int | None) -> None:
    log_weights = normal(100, batch=4)
    index = pop.systematic(log_weights, Noise.of(1, 4, dtype=DOUBLE).uniform()[0], count)
    assert index.shape == (count or 100, 4) and (index.diff(dim=0) >= 0).all()
    counts = torch.stack([torch.bincount(index[:, b], minlength=100) for b in range(4)], 1)
    expected = (count or 100) * log_weights.softmax(0)
    assert (counts >= expected.floor()).all() and (counts <= expected.ceil()).all()


def test_systematic_resampling_is_unbiased() -> None:
    log_weights = normal(20)
    uniform = Noise.of(1, 4000, dtype=DOUBLE).uniform()[0]
    index = pop.systematic(log_weights.expand(20, 4000), uniform)
    mean = torch.bincount(index.flatten(), minlength=20) / 4000
    # a count takes two neighbouring values, so its standard deviation is at most ½
    assert (mean - 20 * log_weights[:, 0].softmax(0)).abs().max() < 4 * 0.5 / math.sqrt(4000)


def test_equal_weights_keep_every_particle() -> None:
    uniform = torch.tensor([1e-12, 0.5, 1 - 1e-12], dtype=DOUBLE)
    index = pop.systematic(torch.full((1000, 3), -0.1), uniform)
    assert torch.equal(index, torch.arange(1000)[:, None].expand(1000, 3))


def test_resampling_by_island() -> None:
    log_weights, uniform = normal(40, batch=3), Noise.of(1, 3, 4, dtype=DOUBLE).uniform()
    for count in (None, 20):
        index, each = pop.systematic_by_island(log_weights, 4, uniform, count), (count or 40) // 4
        for k in range(4):
            own = pop.systematic(log_weights[10 * k : 10 * k + 10], uniform[k], each)
            assert torch.equal(index[each * k : each * (k + 1)], own + 10 * k)
    means = pop.island_means(log_weights, 4)
    assert torch.allclose(means.exp(), log_weights.exp().unflatten(0, (4, 10)).mean(1))


def test_ancestors() -> None:
    index = torch.tensor([[0, 1], [0, 1], [3, 1], [3, 1], [3, 1], [5, 4]])
    ancestor = pop.ancestors(index)
    assert ancestor.T.tolist() == [[0, 0, 2, 2, 2, 5], [0, 0, 0, 0, 0, 5]]
    assert pop.num_lineages(ancestor).tolist() == [3, 2]
    assert pop.num_lineages(torch.tensor([[2], [0], [2], [1]])).tolist() == [3]


@pytest.mark.parametrize("copies", [1, 2, 20])
def test_variance_inflation_of_duplicates(copies: int) -> None:
    x = normal(40, 3, batch=2).repeat_interleave(copies, 0)
    ancestor = (torch.arange(40) * copies).repeat_interleave(copies)[:, None].expand(-1, 2)
    assert torch.allclose(pop.variance_inflation(x, ancestor), torch.tensor(float(copies), dtype=DOUBLE))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    assert torch.allclose(pop.variance_inflation(x[order], ancestor[order]), torch.tensor(float(copies), dtype=DOUBLE))


@pytest.mark.parametrize("size", [4, 5, 50])
def test_variance_inflation_of_lineages_that_have_drifted_apart(size: int) -> None:
    # 200 particles in lineages of `size`, all independent: 1, whatever the number of lineages. The sums of lineages
    # have 200/size · 30 degrees of freedom: the mean over 100 measurements is off by √(2 size/(6000 · 100)).
    x, ancestor = normal(200, 30, batch=100), (torch.arange(200) // size * size)[:, None].expand(-1, 100)
    inflation = pop.variance_inflation(x, ancestor)
    assert abs(inflation.mean() - 1) < 4 * math.sqrt(2 * size / 600_000) + 1 / 200


def test_variance_inflation_is_that_of_the_mean() -> None:
    # Families of 10 with correlation ½ within: the variance of the mean is (1 + 9/2) times that of independent draws.
    # 50 lineages and 30 pixels for each of 20 measurements give the mean an error of 5.5 √(2/(30 · 50 · 20)).
    shared, own = normal(50, 30, batch=20).repeat_interleave(10, 0), normal(500, 30, batch=20, seed=1)
    ancestor = (torch.arange(500) // 10)[:, None].expand(-1, 20)
    inflation = pop.variance_inflation((shared + own) / math.sqrt(2), ancestor)
    assert abs(inflation.mean() - 5.5) < 4 * 5.5 * math.sqrt(2 / 30_000)


def test_one_lineage_tells_nothing_and_equal_particles_have_no_variance() -> None:
    x = normal(30, 3, batch=2)
    assert (pop.variance_inflation(x, torch.zeros(30, 2, dtype=torch.int64)) == 30).all()
    own = torch.arange(30)[:, None].expand(-1, 2)
    assert (pop.variance_inflation(torch.ones_like(x), own) == 1).all()


def test_variance_of_the_log_evidence_grows_as_lineages_are_lost() -> None:
    own, pairs, one = torch.arange(30)[:, None], torch.arange(30)[:, None] // 2, torch.zeros(30, 1, dtype=torch.int64)
    found = [float(pop.log_evidence_variance(ancestor)) for ancestor in (own, pairs, one)]
    assert found == pytest.approx([0.0, -math.log(1 - 1 / 30), math.log(30)])
    # Importance weights once: Var Z/Z² is that of the weights over N, and so is the rate at which pairs meet, with the
    # little that resampling adds, (1/6)/N for systematic.
    log_weights = 0.5 * normal(1000, 1, batch=40)[..., 0]
    index = pop.systematic(log_weights, torch.full((40,), 0.5, dtype=DOUBLE))
    known = ((0.25**1 * torch.ones(())).exp() - 1 + 1 / 6) / 1000  # of lognormal weights with variance ¼
    assert abs(pop.log_evidence_variance(pop.ancestors(index)).mean() / known - 1) < 0.1


def test_r_hat() -> None:
    island = (torch.arange(400) // 100)[:, None].expand(-1, 2)
    x = normal(400, 50, batch=2)
    # R² − 1 = B/W is about 1/100 of independent draws, with 3 · 50 degrees of freedom: 4 errors of √(2/150)/100
    assert (pop.r_hat(x, island, 4) ** 2 - 1.01).abs().max() < 0.01 * 4 * math.sqrt(2 / 150)
    moved = x + 2.0 * island[..., None]
    between = torch.stack([moved[100 * k : 100 * k + 100].mean(0) for k in range(4)]).var(0).sum(-1)
    within = torch.stack([x[100 * k : 100 * k + 100].var(0) for k in range(4)]).mean(0).sum(-1)
    assert torch.allclose(pop.r_hat(moved, island, 4), (1 + between / within).sqrt())
    # an island that has died out is left out, and one alone agrees with itself
    assert torch.allclose(pop.r_hat(moved, island, 9), pop.r_hat(moved, island, 4))
    assert (pop.r_hat(moved, torch.zeros_like(island), 4) == 1).all()
    assert (pop.r_hat(torch.ones_like(x), island, 4) == 1).all()
