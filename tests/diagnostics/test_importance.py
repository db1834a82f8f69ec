import math

import pytest
import torch
from arviz_stats.base import array_stats

from posterior.diagnostics import pareto_smoothed
from posterior.errors import InvalidValueError
from posterior.noise import Noise

DOUBLE = torch.float64


@pytest.mark.parametrize("size", [40, 500, 3000])
@pytest.mark.parametrize("scale", [0.2, 1.0, 3.0])
def test_it_is_what_arviz_says(size: int, scale: float) -> None:
    log_weights = scale * Noise.of(0, 3, size, dtype=DOUBLE).normal()
    smoothed, k = pareto_smoothed(log_weights)
    for b in range(3):
        expected, expected_k = array_stats.psislw(-log_weights[:, b].numpy())  # which takes log-likelihoods left out
        assert float(k[b]) == pytest.approx(float(expected_k), abs=1e-8)
        assert torch.allclose(smoothed[:, b], torch.as_tensor(expected), atol=1e-8)


def test_k_tells_how_heavy_a_tail_is() -> None:
    # weights u^{−k} are Pareto with shape k; the estimate from n = 3 √S tail weights has an error of (1 + k)/√n
    size = 100_000
    uniform = Noise.of(1, 1, size, dtype=DOUBLE).uniform()
    for shape in (0.3, 0.7, 1.2):
        _, k = pareto_smoothed(-shape * uniform.log())
        assert abs(float(k) - shape) < 4 * (1 + shape) / math.sqrt(3 * size**0.5)


def test_weights_are_normalised_and_keep_their_order_and_precision() -> None:
    log_weights = 2 * Noise.of(2, 4, 200).normal() + 50
    smoothed, k = pareto_smoothed(log_weights)
    assert smoothed.dtype == k.dtype == torch.float32
    assert torch.allclose(smoothed.exp().sum(0), torch.ones(4))
    assert torch.equal(smoothed.argsort(0), log_weights.argsort(0))
    again, same = pareto_smoothed(log_weights - 80)
    assert torch.allclose(again, smoothed, atol=1e-4) and torch.allclose(same, k, atol=1e-4)


def test_equal_weights_stay_and_few_tell_nothing() -> None:
    smoothed, k = pareto_smoothed(torch.zeros(100, 1, dtype=DOUBLE))
    assert torch.allclose(smoothed, torch.full((100, 1), -math.log(100), dtype=DOUBLE)) and float(k) == 0
    smoothed, k = pareto_smoothed(torch.tensor([[0.0], [math.log(3)]], dtype=DOUBLE))
    assert torch.allclose(smoothed.exp()[:, 0], torch.tensor([0.25, 0.75], dtype=DOUBLE)) and float(k) == torch.inf


def test_a_draw_without_weight_is_one_of_no_weight() -> None:
    log_weights = Noise.of(3, 1, 300, dtype=DOUBLE).normal()
    log_weights[5] = -torch.inf
    smoothed, k = pareto_smoothed(log_weights)
    assert smoothed[5] == -torch.inf and k.isfinite().all()
    assert float(smoothed.exp().sum()) == pytest.approx(1)


@pytest.mark.parametrize(
    "bad", [torch.zeros(3), torch.zeros(0, 2), torch.full((3, 1), math.nan), torch.full((3, 1), math.inf)]
)
def test_bad_weights_are_refused(bad: torch.Tensor) -> None:
    with pytest.raises(InvalidValueError, match="NaN"):
        pareto_smoothed(bad)


def test_no_weight_at_all_is_refused() -> None:
    with pytest.raises(InvalidValueError, match="overlap"):
        pareto_smoothed(torch.tensor([[0.0, -math.inf], [1.0, -math.inf]]))
