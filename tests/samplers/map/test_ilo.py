import math

import pytest
import torch

from posterior import GaussianLikelihood, Posterior
from posterior.errors import InvalidValueError, ShapeError
from posterior.metrics import PerceptualDistance
from posterior.noise import Noise
from posterior.operators import Identity, Inpainting
from samplers.map import CSGM, ILO
from samplers.map.ilo import project_l1
from samplers.map.perceptual import perceptual_misfit
from tests.samplers.case import Case, generated
from tests.samplers.map.generators import DOUBLE, Large, far_problem, followed, outside_problem, small_problem

SHARED_CASES = {
    "ILO": Case(ILO(restarts=2, steps=(5, 5, 5)), generated),
}

SIZE = Large().event_shape
QUICK = ILO(restarts=2, steps=(60, 40, 40))


def misfit(problem, estimate):
    return (problem.operator(estimate.x) - problem.y).square().flatten(1).mean(1)


@pytest.mark.parametrize("radius", [0.0, 0.3, 2.0, 1e3])
def test_project_l1_is_the_nearest_point(radius):
    x = Noise.of(0, 3, 2, dtype=DOUBLE).normal((10,))
    radii = torch.full((2, 3), radius, dtype=DOUBLE)
    p, size = project_l1(x, radii), x.abs().sum(-1)
    assert torch.allclose(p.abs().sum(-1), torch.where(size <= radius, size, radii))
    # the nearest point of a convex set: ⟨x − p, q − p⟩ ≤ 0 for all of its points q, and so for its corners
    corners = radius * torch.cat([torch.eye(10, dtype=DOUBLE), -torch.eye(10, dtype=DOUBLE)])
    assert (((x - p)[..., None, :] * (corners - p[..., None, :])).sum(-1) < 1e-9).all()


def test_each_round_fits_better_what_the_generator_cannot_give():
    problem = outside_problem()
    errors = [
        misfit(problem, ILO(restarts=2, layers=layers, radii=radii, steps=steps).solve(problem, progress=False))
        for layers, radii, steps in [
            ((), (), (300,)),
            ((1,), (0.5,), (300, 200)),
            ((1, 2), (0.5, 0.5), (300, 200, 200)),
        ]
    ]
    assert (errors[1] < 0.9 * errors[0]).all()
    assert (errors[2] < 0.9 * errors[1]).all()
    csgm = misfit(problem, CSGM(restarts=2).solve(problem, progress=False))
    assert torch.allclose(errors[0], csgm, rtol=0.1)


def test_without_a_radius_later_rounds_change_nothing():
    problem = outside_problem()
    still = ILO(restarts=2, radii=(0.0, 0.0), steps=(60, 5, 5)).solve(problem, progress=False)
    alone = ILO(restarts=2, layers=(), radii=(), steps=(60,)).solve(problem, progress=False)
    assert torch.allclose(still.x, alone.x)
    assert torch.allclose(still.latent, alone.latent)
    assert torch.allclose(still.loss, alone.loss)


def test_deviations_stay_in_their_balls():
    problem = outside_problem()
    radius, prior = 0.1, problem.prior
    estimate = ILO(restarts=1, layers=(2,), radii=(radius,), steps=(60, 60)).solve(problem, progress=False)
    before = prior.run(estimate.latent, 0, 2)
    deviation = (torch.atanh(estimate.x).flatten(1) - before.flatten(1)).abs().sum(1)
    largest = radius * before.flatten(1).abs().sum(1)
    assert (deviation <= largest * (1 + 1e-9)).all()
    assert (deviation > 0.5 * largest).all()


def test_what_it_reports():
    problem, calls = small_problem(), []
    problem.prior.layers[2].register_forward_hook(lambda module, inputs, output: calls.append(len(output)))
    estimate = QUICK.solve(problem, progress=False)
    assert estimate.info["loss"].shape == (60 + 1 + 40 + 1 + 40 + 1 + 1, 3)
    assert torch.equal(estimate.info["loss"][-1], estimate.loss)
    expected = -problem.log_likelihood(estimate.x) - problem.prior.latent_log_prob(estimate.latent)
    assert torch.allclose(estimate.loss, expected)
    assert (estimate.loss <= estimate.info["loss"].min(0).values + 1e-9).all()  # rounds never lose what they had
    assert estimate.nfe_grad.tolist() == [2 * 140.0] * 3
    assert sum(calls) == estimate.nfe.sum()


def test_measurements_do_not_meet():
    problem = small_problem()
    whole, split = QUICK.solve(problem, progress=False), QUICK.solve(problem, batch_size=2, progress=False)
    assert torch.allclose(whole.x, split.x, rtol=0, atol=1e-9)
    alone = QUICK.solve(problem.select([1]), progress=False)
    assert torch.allclose(whole.x[1:2], alone.x, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": (2, 1)}, "increasing"),
        ({"layers": (0, 1)}, "layers to be a sequence of integers ≥ 1"),
        ({"radii": (0.1,)}, "2 radii"),
        ({"steps": (10, 10)}, "3 numbers of steps"),
        ({"steps": (10, 0, 10)}, "steps to be a sequence of integers ≥ 1"),
        ({"radii": (0.1, -0.1)}, "radii to be a sequence of finite numbers ≥ 0"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"perceptual": -1.0}, "perceptual"),
    ],
)
def test_mistakes_are_named(settings, message):
    with pytest.raises(InvalidValueError, match=message):
        ILO(**settings)


def test_step_sizes_rise_and_fall():
    path = followed(ILO(restarts=1, layers=(), radii=(), steps=(100,), learning_rate=0.7), far_problem())
    steps = path[:-1].diff(dim=0)  # the last is the best of the round
    t = torch.arange(100, dtype=DOUBLE)
    expected = 0.7 * ((t + 1) / 5).clamp_max(1) * 0.5 * (1 + torch.cos(math.pi * ((t - 25) / 75).clamp_min(0)))
    assert torch.allclose(steps, expected[:, None, None, None].expand(-1, 1, 1, 2), atol=1e-6)


def test_langevin_noise_has_the_temperature_it_is_asked_for():
    # a step of Adam goes by η = 0.2 where the slope hardly changes; noise spreads it by 2ηT = 0.12, a variance that
    # 8,000 values give to √(2/8000)
    solver = ILO(restarts=4000, layers=(), radii=(), steps=(1,), learning_rate=0.2, temperature=0.3)
    before, after = followed(solver, far_problem())[:2]
    noise = after - before - 0.2
    assert abs(noise.mean()) < 4 * (0.12 / 8000) ** 0.5
    assert abs(noise.var() / 0.12 - 1) < 4 * math.sqrt(2 / 8000)


def test_langevin_noise_is_each_restarts_own():
    problem = outside_problem()
    still, warm = (ILO(restarts=2, steps=(30, 20, 10), temperature=t) for t in (0.0, 1e-3))
    found = warm.solve(problem, progress=False)
    assert not torch.allclose(found.x, still.solve(problem, progress=False).x)
    for size in (1, 4):
        assert torch.allclose(warm.solve(problem, batch_size=size, progress=False).x, found.x, atol=1e-9)
    assert torch.allclose(warm.solve(problem.select([2]), progress=False).x[0], found.x[2], atol=1e-9)
    assert (found.info["loss"][-1] <= found.info["loss"][0]).all()  # the best iterate, in spite of the noise


def test_a_layer_that_does_not_exist_is_named():
    problem = small_problem()
    assert isinstance(problem, Posterior)
    with pytest.raises(InvalidValueError, match="enter layer 3; Small has layers 0 … 2"):
        ILO(layers=(1, 3)).solve(problem, progress=False)


def large_problem(operator=None):
    """Images that no latent gives."""
    truth = torch.tanh(
        Large().decode(Noise.of(3, 2, dtype=DOUBLE).normal((6,))[0])
        + 0.3 * Noise.of(7, 2, dtype=DOUBLE).normal(SIZE)[0]
    )
    likelihood = GaussianLikelihood(operator or Identity(SIZE), 0.5)
    return Posterior(Large(), likelihood, likelihood.operator(truth).detach())


def test_the_perceptual_term_is_part_of_the_loss():
    problem = large_problem(Inpainting.box(SIZE, 0, 0, 8, 24))
    method = ILO(restarts=1, layers=(1,), radii=(0.3,), steps=(30, 20), perceptual=100.0, network="st-alex")
    estimate = method.solve(problem, progress=False)
    term = perceptual_misfit(PerceptualDistance("st-alex"), problem, estimate.x)
    expected = 100 * term - problem.log_likelihood(estimate.x) - problem.prior.latent_log_prob(estimate.latent)
    assert torch.allclose(estimate.loss, expected, rtol=1e-6)
    assert (estimate.loss <= estimate.info["loss"].min(0).values + 1e-6).all()


def test_the_perceptual_term_brings_the_estimate_nearer():
    problem, settings = large_problem(), {"restarts": 1, "layers": (), "radii": (), "steps": (100,)}
    distance = PerceptualDistance("st-alex")
    without, with_ = (
        ILO(**settings, perceptual=weight, network="st-alex").solve(problem, progress=False) for weight in (0.0, 3e3)
    )
    assert (distance(with_.x, problem.y) < 0.9 * distance(without.x, problem.y)).all()


def test_what_the_perceptual_term_does_not_take_is_named():
    with pytest.raises(InvalidValueError, match="network"):
        ILO(perceptual=1.0, network="none").solve(large_problem(), progress=False)
    with pytest.raises(ShapeError, match="at least 21"):
        ILO(perceptual=1.0, network="st-alex").solve(small_problem(), progress=False)
