import pytest
import torch

from posterior.noise import Noise
from samplers.map.descent import _times_inverse_hessian, blank_memory, by_adam, by_lbfgs, by_sgd, lower

DOUBLE = torch.float64


def descend(loss, start, steps, rate, optimiser):
    """Where rows (1, N, ...) end, and the trace of their losses, (steps + 1, N)."""
    x, memory, trace = start[None], blank_memory(optimiser, start[None]), []
    for step in range(steps):
        leaf = x.clone().requires_grad_()
        value = loss(leaf[0])[None]
        (slope,) = torch.autograd.grad(value.sum(), leaf)
        trace.append(value[0].detach())
        if optimiser == "adam":
            x, memory = by_adam(x, slope, memory, step, rate)
        elif optimiser == "sgd":
            x, memory = by_sgd(x, slope, memory, rate)
        else:
            x, memory = by_lbfgs(lambda x: loss(x[0])[None], x, value.detach(), slope, memory, step, rate)
    return x[0], torch.stack([*trace, loss(x[0])])


def quadratic(rows, size=6):
    """A convex loss of condition number 100 for each row, its minimum, and a start."""
    noise = Noise.of(3, rows, dtype=DOUBLE)
    target, start = noise.use("target").normal((size,))[0], noise.use("start").normal((size,))[0]
    scale = torch.logspace(0, 2, size, dtype=DOUBLE)

    def loss(x):
        return 0.5 * (scale * (x - target).square()).sum(1)

    return loss, target, start


def rosenbrock(x):
    a, b = x.flatten(1).unbind(1)
    return (1 - a).square() + 100 * (b - a.square()).square()


@pytest.mark.parametrize(("optimiser", "rate", "steps"), [("adam", 0.3, 800), ("sgd", 1e-3, 3000), ("lbfgs", 1.0, 40)])
def test_finds_the_minimum(optimiser, rate, steps):
    loss, target, start = quadratic(4)
    found, trace = descend(loss, start, steps, rate, optimiser)
    assert trace.shape == (steps + 1, 4)
    assert (found - target).abs().max() < 1e-3


@pytest.mark.parametrize("optimiser", ["adam", "sgd"])
def test_steps_are_those_of_torchs_optimisers(optimiser):
    loss, _, start = quadratic(3)
    held = start.clone().requires_grad_()
    reference = (
        torch.optim.Adam([held], lr=0.01) if optimiser == "adam" else torch.optim.SGD([held], 0.01, momentum=0.9)
    )
    for _ in range(25):
        reference.zero_grad()
        loss(held).sum().backward()
        reference.step()
    assert torch.equal(descend(loss, start, 25, 0.01, optimiser)[0], held.detach())


def test_lbfgs_is_quick_in_a_curved_valley():
    start = torch.tensor([[[-1.2], [1.0]], [[0.0], [3.0]], [[2.0], [-1.0]]], dtype=DOUBLE)
    _, trace = descend(rosenbrock, start, 60, 1.0, "lbfgs")
    assert trace[-1].max() < 1e-12
    assert (trace.diff(dim=0) <= 0).all()  # no step goes up
    _, other = descend(rosenbrock, start, 60, 0.3, "adam")
    assert other[-1].min() > trace[-1].max()


def test_lbfgs_forgets_what_is_older_than_ten_pairs():
    loss, _, start = quadratic(2)
    memory = blank_memory("lbfgs", start[None])
    assert memory.shape == (1, 2, 2 * 11, 6)
    points = torch.stack([start[None] * k for k in range(13)])
    for step, x in enumerate(points):
        _, memory = by_lbfgs(lambda x: loss(x[0])[None], x, loss(x[0])[None], 2 * x, memory, step, 1.0)
    past = memory.unflatten(2, (-1, 2))
    assert torch.equal(past[:, :, :, 0], points[2:].permute(1, 2, 0, 3))
    assert torch.equal(past[:, :, :, 1], 2 * past[:, :, :, 0])


@pytest.mark.parametrize("optimiser", ["adam", "sgd", "lbfgs"])
def test_rows_never_meet(optimiser):
    start = Noise.of(0, 5, dtype=DOUBLE).normal((2,))[0]
    rate = 1e-4 if optimiser == "sgd" else 0.1
    whole, trace = descend(rosenbrock, start, 30, rate, optimiser)
    for row in range(5):
        alone, alone_trace = descend(rosenbrock, start[[row]], 30, rate, optimiser)
        assert torch.allclose(whole[[row]], alone, rtol=0, atol=1e-12)
        assert torch.allclose(trace[:, [row]], alone_trace, rtol=1e-9)


@pytest.mark.parametrize("optimiser", ["adam", "lbfgs"])
def test_a_row_that_diverges_leaves_the_others_alone(optimiser):
    def loss(x):
        return torch.stack([x[0].square().sum(), -x[1].exp().sum()])

    _, trace = descend(loss, torch.full((2, 1), 3.0), 400, 0.5, optimiser)
    assert trace[:, 0].min() < 1e-3
    assert not trace[-1, 1] > -1e10


@pytest.mark.parametrize("optimiser", ["adam", "sgd", "lbfgs"])
def test_what_is_given_stays_as_it_was(optimiser):
    loss, _, start = quadratic(2)
    before = start.clone()
    descend(loss, start, 3, 0.1, optimiser)
    assert torch.equal(start, before)


def test_the_lower_of_two_points_is_kept_and_never_one_without_a_loss():
    new, old = torch.ones(1, 4, 2), torch.zeros(1, 4, 2)
    value = torch.tensor([[1.0, 3.0, torch.nan, torch.inf]])
    x, lowest = lower(new, value, old, torch.full((1, 4), 2.0))
    assert x[0, :, 0].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert lowest.tolist() == [[1.0, 2.0, 2.0, 2.0]]


def test_lbfgs_goes_down_the_gradient_where_rounding_points_it_up(monkeypatch):
    monkeypatch.setattr("samplers.map.descent._times_inverse_hessian", lambda pairs, slope: -slope)
    loss, target, start = quadratic(2)
    x, slope = start[None], torch.logspace(0, 2, 6, dtype=DOUBLE) * (start - target)[None]
    value = loss(start)[None]
    # a first trial of length 1 at the most, halved until it falls by 1e-4 of what the slope promises
    moved, _ = by_lbfgs(lambda x: loss(x[0])[None], x, value, slope, blank_memory("lbfgs", x), 0, 1.0)
    length = slope.norm(dim=-1)
    for row in range(2):
        size = 1 / max(1.0, float(length[0, row]))
        while loss(x[0] - size * slope[0])[row] > value[0, row] - 1e-4 * size * length[0, row] ** 2:
            size /= 2
        assert torch.allclose(moved[0, row], x[0, row] - size * slope[0, row])


def test_the_inverse_hessian_is_that_of_the_update_of_bfgs() -> None:
    noise, size = Noise.of(5, 2, 3, dtype=DOUBLE), 5
    s = noise.use("s").normal((4, size))
    y = s + 0.3 * noise.use("y").normal((4, size))  # all products with s are positive
    slope = noise.use("slope").normal((size,))
    steps = _times_inverse_hessian(torch.stack([s, y], 3), slope)
    eye = torch.eye(size, dtype=DOUBLE)
    for i in range(3):
        for b in range(2):
            last_s, last_y = s[i, b, -1], y[i, b, -1]
            inverse = (last_s @ last_y) / (last_y @ last_y) * eye
            for one_s, one_y in zip(s[i, b], y[i, b], strict=True):
                rho = 1 / (one_s @ one_y)
                side = eye - rho * torch.outer(one_s, one_y)
                inverse = side @ inverse @ side.T + rho * torch.outer(one_s, one_s)
            assert torch.allclose(steps[i, b], inverse @ slope[i, b], rtol=1e-10)
