import math

import pytest
import torch
from torch import Tensor

from posterior.diagnostics import detectable_effect, holm, rank_band, rank_ecdf, rank_p_value
from posterior.errors import InvalidValueError
from posterior.noise import Noise


def uniform(*shape: int, seed: int = 0) -> Tensor:
    return Noise.of(seed, dtype=torch.float64).use("test").uniform(shape)[0, 0]


def ranks_of(shift: float, ratio: float, studies: int, problems: int, draws: int) -> Tensor:
    """Ranks of truths N(0, 1) among draws N(shift, ratio²), (studies, problems)."""
    normal = Noise.of(1, dtype=torch.float64).normal((draws + 1, studies, problems))[0, 0]
    return ((shift + ratio * normal[1:]) < normal[0]).sum(0)


@pytest.mark.parametrize(("problems", "draws"), [(200, 39), (30, 9), (50, 1)])
def test_p_values_of_uniform_ranks(problems: int, draws: int) -> None:
    p = rank_p_value((uniform(4000, problems) * (draws + 1)).long(), draws)
    for level in (0.01, 0.05, 0.2):
        # Level plus 4 binomial errors, of the 4000 studies and of the 4000 behind each p-value; γ is discrete, so that
        # the rate may be lower.
        assert (p <= level).double().mean() < level + 4 * math.sqrt(2 * level * (1 - level) / 4000)
    if problems == 200:
        assert (p <= 0.05).double().mean() > 0.05 - 4 * math.sqrt(2 * 0.05 * 0.95 / 4000) - 0.005


def test_band_and_p_value_say_the_same() -> None:
    ranks = (uniform(500, 60) * 20).long()
    lower, upper = rank_band(60, 19)
    ecdf = rank_ecdf(ranks, 19)
    outside = ((ecdf < lower - 1e-9) | (ecdf > upper + 1e-9)).any(1)
    assert torch.equal(outside, rank_p_value(ranks, 19) <= 0.05)
    level = torch.arange(1, 20) / 20
    assert ((lower < level) & (level < upper)).all()


def test_ecdf_by_hand() -> None:
    assert torch.allclose(rank_ecdf(torch.tensor([0, 0, 2, 3]), 3), torch.tensor([0.5, 0.5, 0.75], dtype=torch.float64))


def test_detectable_effects_are_detected() -> None:
    effect = detectable_effect(100, 39)
    for shift, ratio in ((effect.shift, 1.0), (0.0, effect.too_wide), (0.0, effect.too_narrow)):
        found = (rank_p_value(ranks_of(shift, ratio, 1000, 100, 39), 39) <= 0.05).double().mean()
        # 4 binomial errors of the 1000 studies here and of the 500 that found the effect
        assert abs(found - 0.8) < 4 * math.sqrt(0.8 * 0.2 * (1 / 1000 + 1 / 500))
    larger = detectable_effect(400, 39)
    assert larger.shift < effect.shift
    assert 1 < larger.too_wide < effect.too_wide
    assert effect.too_narrow < larger.too_narrow < 1


def test_a_study_that_can_find_nothing() -> None:
    effect = detectable_effect(2, 1)
    assert (effect.shift, effect.too_wide, effect.too_narrow) == (math.inf, math.inf, 0)
    assert "nothing" in str(effect)
    assert "factor" in str(detectable_effect(100, 39))


def test_holm_by_hand() -> None:
    adjusted = holm(torch.tensor([0.04, 0.01, 0.03, 0.9], dtype=torch.float64))
    assert adjusted.tolist() == pytest.approx([0.09, 0.04, 0.09, 0.9])


def test_ranks_that_make_no_sense() -> None:
    for ranks in (torch.tensor([0, 4]), torch.tensor([-1, 2]), torch.tensor([0.5])):
        with pytest.raises(InvalidValueError, match="0 … 3"):
            rank_p_value(ranks, 3)
        with pytest.raises(InvalidValueError, match="0 … 3"):
            rank_ecdf(ranks, 3)
    for p_values in (torch.tensor([0.1, 1.1]), torch.tensor([torch.nan]), torch.tensor(0.1), torch.ones(2, 2)):
        with pytest.raises(InvalidValueError, match="p_values lie"):
            holm(p_values)
