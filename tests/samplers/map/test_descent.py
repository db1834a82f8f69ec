import math

import pytest
import torch

from posterior.errors import InvalidValueError
from posterior.noise import Noise
from samplers.map.descent import descend

DOUBLE = torch.float64


def quadratic(rows, size=6):
    """A convex loss of condition number 100 for each row, its minimum, and a start."""
    noise = Noise.of(3, rows, dtype=DOUBLE)
    target, start = noise.use("target").normal((size,))[0], noise.use("start").normal((size,))[0]
    scale = torch.logspace(0, 2, size, dtype=DOUBLE)

    def loss(variables):
        (x,) = variables
        return 0.5 * (scale * (x - target).square()).sum(1)

    return loss, target, start


def rosenbrock(variables):
    a, b = variables
    return ((1 - a).square() + 100 * (b - a.square()).square()).sum(1)


@pytest.mark.parametrize(("optimiser", "rate", "steps"), [("adam", 0.3, 800), ("sgd", 1e-3, 3000), ("lbfgs", 1.0, 40)])
def test_finds_the_minimum(optimiser, rate, steps):
    loss, target, start = quadratic(4)
    found = descend(loss, (start,), steps, rate, optimiser=optimiser, schedule="constant")
    assert found.trace.shape == (steps + 1, 4)
    assert torch.allclose(found.trace[0], loss((start,)))
    assert torch.allclose(found.trace[-1], loss(found.variables))
    assert (found.variables[0] - target).abs().max() < 1e-3


def test_lbfgs_is_quick_in_a_curved_valley_of_two_variables():
    start = (torch.tensor([[-1.2], [0.0], [2.0]], dtype=DOUBLE), torch.tensor([[1.0], [3.0], [-1.0]], dtype=DOUBLE))
    found = descend(rosenbrock, start, 60, 1.0, optimiser="lbfgs", schedule="constant")
    assert found.trace[-1].max() < 1e-12
    assert (found.trace.diff(dim=0) <= 0).all()  # no step goes up
    adam = descend(rosenbrock, start, 60, 0.3, schedule="constant")
    assert adam.trace[-1].min() > found.trace[-1].max()


@pytest.mark.parametrize("optimiser", ["adam", "sgd", "lbfgs"])
def test_rows_never_meet(optimiser):
    start = Noise.of(0, 5, dtype=DOUBLE).normal((2,))[0]

    def loss(variables):
        (x,) = variables
        return rosenbrock((x[:, :1], x[:, 1:]))

    options = dict(optimiser=optimiser, schedule="constant")
    rate = 1e-4 if optimiser == "sgd" else 0.1
    whole = descend(loss, (start,), 30, rate, **options)
    for row in range(5):
        alone = descend(loss, (start[[row]],), 30, rate, **options)
        assert torch.allclose(whole.variables[0][[row]], alone.variables[0], rtol=0, atol=1e-12)
        assert torch.allclose(whole.trace[:, [row]], alone.trace, rtol=1e-9)


def test_a_row_that_diverges_leaves_the_others_alone():
    def loss(variables):
        (x,) = variables
        return torch.stack([x[0].square().sum(), -x[1].exp().sum()])

    for optimiser in ("adam", "lbfgs"):
        found = descend(loss, (torch.full((2, 1), 3.0),), 400, 0.5, optimiser=optimiser, schedule="constant", best=True)
        assert found.trace[:, 0].min() < 1e-3
        assert loss(found.variables)[0] < 1e-3


def test_best_is_the_lowest_of_the_trace():
    loss, _, start = quadratic(3)
    options = dict(optimiser="sgd", schedule="constant", steps=19, learning_rate=0.028)  # overshoots
    last, best = (descend(loss, (start,), best=flag, **options) for flag in (False, True))
    assert torch.equal(last.trace, best.trace)
    assert torch.allclose(loss(best.variables), best.trace.min(0).values)
    assert (loss(best.variables) < loss(last.variables)).any()


def test_projects_after_each_step():
    loss, _, start = quadratic(3)
    seen = []

    def project(variables):
        (x,) = variables
        seen.append(x)
        return (x / x.norm(dim=1, keepdim=True),)

    found = descend(loss, (start,), 200, 0.05, project=project)
    assert len(seen) == 200
    assert torch.allclose(found.variables[0].norm(dim=1), torch.ones(3, dtype=DOUBLE))
    assert (found.trace[-1] < found.trace[1]).all()


@pytest.mark.parametrize("schedule", ["cosine", "ramp", "one cycle, drop", "constant"])
def test_step_sizes_follow_the_schedule(schedule):
    found = descend(lambda v: v[0].sum(1), (torch.zeros(1, 1, dtype=DOUBLE),), 100, 1.0, schedule=schedule)
    sizes = -found.trace.diff(dim=0)[:, 0]  # Adam moves by the rate where the gradient is constant
    t = torch.arange(100, dtype=DOUBLE)
    fall = 0.5 * (1 + torch.cos(math.pi * ((t - 25) / 75).clamp_min(0)))
    expected = {
        "cosine": 0.5 * (1 + torch.cos(math.pi * t / 100)),
        "ramp": ((t + 1) / 5).clamp_max(1) * fall,
        "one cycle, drop": torch.where(t < 90, 0.1 + 0.9 * (1 - (t / 45 - 1).abs()), 0.1 - 0.0099 * (t - 90)),
        "constant": torch.ones_like(t),
    }[schedule]
    assert torch.allclose(sizes, expected, atol=1e-6)


def test_start_is_left_alone_and_mistakes_are_named():
    loss, _, start = quadratic(2)
    before = start.clone()
    descend(loss, (start,), 3, 0.1)
    assert torch.equal(start, before)
    for wrong, known in ({"optimiser": "newton"}, "lbfgs"), ({"schedule": "fast"}, "cosine"):
        with pytest.raises(InvalidValueError, match=known):
            descend(loss, (start,), 1, 0.1, **wrong)


def test_langevin_noise_has_the_temperature_it_is_asked_for():
    # where the loss is flat one step spreads by 2ηT; a variance of 4,000 draws is known to √(2/4000)
    start = torch.zeros(4000, 2, dtype=DOUBLE)
    noise = Noise.of(0, 4000, dtype=DOUBLE)
    found = descend(
        lambda v: 0 * v[0].sum(1), (start,), 1, 0.1, optimiser="sgd", schedule="constant", temperature=0.3, noise=noise
    )
    variance = found.variables[0].var(0)
    assert ((variance / 0.06 - 1).abs() < 4 * math.sqrt(2 / 4000)).all()
