import math

import pytest
import torch

from posterior.noise import Noise
from posterior.problem import LatentPosterior
from samplers.kernel import Move
from samplers.latent.hamiltonian import hamiltonian_move
from tests.samplers.latent.generators import DOUBLE, bent_problem, by_quadrature, linear_problem

ONE = torch.ones(2, dtype=DOUBLE)


def test_a_flat_likelihood_turns_no_move_back() -> None:
    problem = LatentPosterior(linear_problem())
    z = Noise.of(1, 2, 50, dtype=DOUBLE).normal((3,))
    variance = torch.tensor([[1.0, 0.5, 0.1]] * 2, dtype=DOUBLE)
    move = hamiltonian_move(
        problem, Move(z, problem.log_likelihood(z)), 0 * ONE, 1.3 * ONE, variance, 4, Noise.of(0, 2, 50, dtype=DOUBLE)
    )
    assert (move.accepted > 1 - 1e-12).all()
    assert (move.x - z).abs().mean() > 0.5
    assert torch.allclose(move.log_likelihood, problem.log_likelihood(move.x))


def test_the_energy_is_kept_to_second_order() -> None:
    problem = LatentPosterior(linear_problem())
    z = Noise.of(1, 2, 200, dtype=DOUBLE).normal((3,))
    errors = []
    for leapfrogs in (8, 16):
        move = hamiltonian_move(
            problem, Move(z, problem.log_likelihood(z)), 1e-3 * ONE, ONE / leapfrogs, torch.ones_like(z[0]), leapfrogs,
            Noise.of(0, 2, 200, dtype=DOUBLE),
        )  # fmt: skip
        errors.append(-move.accepted.log().mean())
    assert 3.3 < errors[0] / errors[1] < 4.7


@pytest.mark.parametrize(("beta", "step"), [(0.05, 0.6), (1.0, 0.2)])
def test_draws_of_the_target_stay_draws_of_it(beta: float, step: float) -> None:
    problem = LatentPosterior(bent_problem())
    size = 40_000
    nodes, joint = by_quadrature(bent_problem())
    prior = problem.prior.latent_log_prob(nodes)[:, None]
    weights = (prior + beta * (joint - prior)).softmax(0)
    noise = Noise.of(3, 2, size, dtype=DOUBLE)
    uniform = noise.use("start").uniform()
    index = torch.stack([torch.searchsorted(weights[:, b].cumsum(0), uniform[:, b].contiguous()) for b in range(2)], 1)
    z = nodes[index.clamp_max(len(nodes) - 1)]
    variance = torch.tensor([[1.2, 0.8], [0.7, 0.6]], dtype=DOUBLE)
    before = torch.stack([z[..., 0], z[..., 1], z[..., 0] ** 2, z[..., 1] ** 2, z[..., 0] ** 2 * z[..., 1]])
    log_likelihood, accepted = problem.log_likelihood(z), []
    for i in range(3):
        move = hamiltonian_move(problem, Move(z, log_likelihood), beta * ONE, step * ONE, variance, 3, noise.at(i))
        z, log_likelihood = move.x, move.log_likelihood
        accepted.append(float(move.accepted.mean()))
    after = torch.stack([z[..., 0], z[..., 1], z[..., 0] ** 2, z[..., 1] ** 2, z[..., 0] ** 2 * z[..., 1]])
    # both means have the error of independent draws: 4.5 of √2 of it
    assert ((after.mean(1) - before.mean(1)).abs() < 4.5 * math.sqrt(2 / size) * before.std(1)).all()
    assert min(accepted) > 0.3 and max(accepted) < 0.99


def test_a_trajectory_that_diverges_is_turned_back() -> None:
    problem = LatentPosterior(bent_problem())
    z = Noise.of(1, 2, 20, dtype=DOUBLE).normal((2,))
    move = hamiltonian_move(
        problem,
        Move(z, problem.log_likelihood(z)),
        1e8 * ONE,
        ONE,
        torch.ones_like(z[0]),
        40,
        Noise.of(0, 2, 20, dtype=DOUBLE),
    )
    assert torch.equal(move.x, z) and torch.equal(move.log_likelihood, problem.log_likelihood(z))
