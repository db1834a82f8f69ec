"""Conformal intervals hold what they promise, whatever made the draws."""

import pytest
import torch
from torch import Tensor

from posterior.diagnostics import conformal_intervals
from posterior.errors import InvalidValueError, NotFiniteError, ShapeError
from posterior.noise import Noise
from posterior.results import Samples

DOUBLE = torch.float64
EVENT = (1, 3, 4)


def drawn(count: int, seed: int, *, shift: float = 0.0, scale: float = 1.0, size: int = 39) -> tuple[Samples, Tensor]:
    """Draws of N(0, 1), and truths of N(shift, scale²) whose entries share half of their variance."""
    noise = Noise.of(seed, count, size, dtype=DOUBLE)
    truth = Noise.of(seed, count, dtype=DOUBLE).use("truth").normal((13,))[0]
    common = (truth[:, 1:] + truth[:, :1]) / 2**0.5
    none = torch.zeros(count)
    return Samples(noise.normal(EVENT), none, none), shift + scale * common.reshape(count, *EVENT)


def held(intervals, samples: Samples, truth: Tensor) -> Tensor:
    lower, upper = intervals(samples)
    return ((truth >= lower) & (truth <= upper)).double().flatten(1).mean(1)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (1.5, 1.0), (0.0, 3.0), (0.0, 0.2)])
def test_a_new_image_is_held_as_promised(shift, scale):
    count, sets = 29, 300
    before, after = [], []
    for seed in range(sets):
        intervals = conformal_intervals(*drawn(count, seed, shift=shift, scale=scale), level=0.8)
        samples, truth = drawn(8, sets + seed, shift=shift, scale=scale)
        lower, upper = samples.credible_interval(0.8)
        before.append(((truth >= lower) & (truth <= upper)).double().mean())
        after.append(held(intervals, samples, truth).mean())
    mean, error = torch.stack(after).mean(), torch.stack(after).std() / sets**0.5
    assert 0.8 - 4 * error < mean < 0.8 + 2 / (count + 1) + 4 * error  # the theorem's bounds, four standard errors
    if (shift, scale) != (0.0, 1.0):
        assert abs(torch.stack(before).mean() - 0.8) > 0.1  # there was something to mend


def test_the_risk_on_the_calibration_set_is_what_is_solved_for():
    samples, truth = drawn(29, 0, scale=3.0)
    intervals = conformal_intervals(samples, truth, level=0.8)
    allowed = 0.2 * 30 - 1  # sum of the shares outside
    assert float((1 - held(intervals, samples, truth)).sum()) <= allowed
    narrower = type(intervals)(0.8, intervals.scale * (1 - 1e-4), intervals.epsilon)
    assert float((1 - held(narrower, samples, truth)).sum()) > allowed  # with the smallest factor that does


def test_entries_that_draws_are_sure_of_can_be_held():
    samples, truth = drawn(29, 0)
    sure = Samples(samples.x * 0, samples.nfe, samples.nfe)
    assert float(held(conformal_intervals(sure, truth, level=0.8), sure, truth).mean()) >= 0.8


def test_what_cannot_be_is_refused():
    samples, truth = drawn(8, 0)
    with pytest.raises(InvalidValueError, match="at least 9 truths"):
        conformal_intervals(samples, truth, level=0.9)
    with pytest.raises(InvalidValueError, match="level"):
        conformal_intervals(samples, truth, level=1.0)
    with pytest.raises(ShapeError, match="truths"):
        conformal_intervals(samples, truth[:4])
    with pytest.raises(InvalidValueError, match="draws"):
        conformal_intervals(Samples(samples.x[:5], samples.nfe, samples.nfe), truth, level=0.8)
    truth[0, 0, 0, 0] = float("nan")
    with pytest.raises(NotFiniteError):
        conformal_intervals(samples, truth, level=0.5)
