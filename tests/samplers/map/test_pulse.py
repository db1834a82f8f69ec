import math

import pytest
import torch

from posterior import PoissonLikelihood, Posterior
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.operators import Identity
from samplers.map import PULSE
from samplers.map.pulse import geocross
from tests.samplers.case import Case, generated
from tests.samplers.map.generators import DOUBLE, far_problem, followed, small_problem

SHARED_CASES = {
    "PULSE": Case(PULSE(restarts=2, steps=5), generated),
}


@pytest.mark.parametrize("latent_shape", [(6,), (3, 2)])
def test_reaches_its_tolerance_on_the_sphere_it_began_on(latent_shape):
    given = small_problem(latent_shape)
    solver = PULSE(restarts=6, steps=200, learning_rate=0.2, tolerance=1e-3)
    estimate = solver.solve(given, progress=False)
    misfit = (given.operator(estimate.x) - given.y).square().flatten(1).mean(1)
    assert torch.equal(estimate.converged, misfit <= 1e-3)
    assert estimate.converged.all() or len(latent_shape) > 1  # three circles are three dimensions for four values
    start = given.noise(0, 6).use("latent").normal(latent_shape)
    began = start[estimate.info["restart"], torch.arange(3)]
    assert torch.allclose(estimate.latent.norm(dim=-1), began.norm(dim=-1))
    cross = geocross(estimate.latent)
    assert torch.allclose(estimate.loss, 100 * misfit.clamp_min(1e-3) + 0.05 * cross)
    assert torch.allclose(estimate.x, given.prior.decode(estimate.latent))


def test_returns_the_best_iterate_and_says_when_it_is_not_good_enough():
    estimate = PULSE(restarts=2, steps=5, tolerance=0.0).solve(small_problem(), progress=False)
    assert not estimate.converged.any()
    assert torch.allclose(estimate.loss, estimate.info["loss"].min(0).values)
    assert estimate.info["loss"].shape == (7, 3)  # five steps, the last iterate, the best


def test_steps_follow_the_cycle_on_the_sphere():
    path = followed(PULSE(restarts=4, steps=100, learning_rate=0.7), far_problem())
    t = torch.arange(100, dtype=DOUBLE)
    sizes = 0.7 * torch.where(t < 90, 0.1 + 0.9 * (1 - (t / 45 - 1).abs()), 0.1 - 0.0099 * (t - 90))
    radius = path[0].norm(dim=-1, keepdim=True)
    for before, after, size in zip(path[:-1], path[1:], sizes, strict=True):
        free = before + size
        assert torch.allclose(after, radius * free / free.norm(dim=-1, keepdim=True), atol=1e-6)


def test_network_calls_are_counted():
    given, calls = small_problem(), []
    given.prior.layers[0].register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    estimate = PULSE(restarts=2, steps=4).solve(given, progress=False)
    assert sum(calls) == 3 * estimate.nfe[0] == estimate.nfe.sum()
    assert estimate.nfe_grad.tolist() == [8.0] * 3


def test_geocross_of_known_angles():
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    z = torch.stack([torch.stack([a, a, a]), torch.stack([a, b, -a])])
    quarter = (math.pi / 2) ** 2
    mean = 2 * (quarter + math.pi**2 + quarter) / 9
    assert torch.allclose(geocross(z), torch.tensor([0.0, 2 / 8 * mean]), atol=1e-6)
    assert torch.equal(geocross(z[:, 0]), torch.zeros(2))


def test_mistakes_are_named():
    with pytest.raises(InvalidValueError, match="tolerance"):
        PULSE(tolerance=-1.0)
    given = small_problem()
    counts = PoissonLikelihood(Identity((1, 4, 4)), gain=5.0, background=5.0)
    with pytest.raises(IncompatibleError, match="CSGM takes any likelihood"):
        PULSE().solve(Posterior(given.prior, counts, torch.ones(1, 1, 4, 4, dtype=DOUBLE)), progress=False)
