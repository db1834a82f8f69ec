"""CG-SENSE and its g-factor against dense inverses."""

import math

import pytest
import torch

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood
from posterior.mri import radial_trajectory, random_maps, true_acceleration
from posterior.operators import Identity, MultiCoilMRI, NonCartesianMRI
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers.baselines import CGSense
from tests.problems import DOUBLE
from tests.samplers.baselines.scans import dense, operator_of, problem_of, scans, scans_within
from tests.samplers.case import Case

SMALL = CGSense(iterations=20, replicas=2)

SHARED_CASES = {
    "CGSense": Case(SMALL, scans, calls=(0, 0), seeded=False),
    "CGSense, in a larger field of view": Case(SMALL, scans_within, calls=(0, 0), seeded=False),
}


@pytest.mark.parametrize("gain", [1.0, 3.0])
@pytest.mark.parametrize("weight", [0.02, 0.3])
def test_it_is_the_dense_solution(weight: float, gain: float) -> None:
    problem = problem_of(operator_of(gain=gain))
    estimate = CGSense(weight, 200, 1e-12, replicas=0).solve(problem, progress=False)
    assert estimate.converged.all() and estimate.info == {}
    for b in range(3):
        one = problem.select([b])
        matrix, y = dense(one.operator), torch.view_as_real(one.y[0]).flatten()
        scale = weight * float(one.operator.norm()) ** 2
        shifted = matrix.T @ matrix + scale * torch.eye(matrix.shape[1], dtype=DOUBLE)
        x = torch.linalg.solve(shifted, matrix.T @ y)
        assert torch.allclose(estimate.x[b].flatten(), x, atol=1e-9)
        loss = (y - matrix @ x).square().sum() + scale * x.square().sum()
        assert torch.allclose(estimate.loss[b], loss)


def test_without_a_weight_consistent_data_are_solved() -> None:
    operator = operator_of(acceleration=1.2)  # determined: three coils, and most columns
    problem = problem_of(operator, std=1e-9)
    estimate = CGSense(0.0, 400, 1e-10, replicas=0).solve(problem, progress=False)
    assert torch.allclose(operator(estimate.x), problem.y, atol=1e-6)


def test_it_says_what_did_not_converge() -> None:
    problem = problem_of(operator_of())
    assert not CGSense(1e-4, 2, 1e-6, replicas=0).solve(problem, progress=False).converged.any()


def test_the_g_factor_is_that_of_the_dense_inverse() -> None:
    problem, weight, replicas = problem_of(operator_of(gain=2.0)), 0.05, 400
    estimate = CGSense(weight, 200, 1e-5, replicas).solve(problem, progress=False)
    found = estimate.info["g_factor"]
    assert found.shape == (3, 8, 6)
    for b in range(3):
        operator = problem.select([b]).operator
        matrix = dense(operator)
        scale = weight * float(operator.norm()) ** 2
        inverse = torch.linalg.inv(matrix.T @ matrix + scale * torch.eye(matrix.shape[1], dtype=DOUBLE))
        variance = (inverse @ matrix.T).square().sum(1).reshape(2, 8, 6).mean(0)
        g = (variance / true_acceleration(operator.mask)).sqrt() * 2.0  # the full scan's noise is σ/2
        g[0] = 0  # no coil sees the first row
        # Each is the root of a mean of 2 × 400 squares of relative variance at most 2 each: 1/√1600 = 2.5 %; 4.5 of it
        # at the most of 144 pixels; a g-factor that is wrong by a factor √R or √2 is off by more.
        assert torch.allclose(found[b], g, rtol=4.5 / math.sqrt(4 * replicas), atol=1e-12)


@pytest.mark.parametrize("grid", [(8, 6), (9, 11)])
def test_the_g_factor_of_a_fully_sampled_scan_is_one(grid: tuple[int, int]) -> None:
    problem = problem_of(MultiCoilMRI(operator_of().maps, torch.ones(3, 1, *grid, dtype=torch.bool), grid))
    g = CGSense(0.0, replicas=200).solve(problem, progress=False).info["g_factor"][:, 1:]
    assert (g - 1).abs().max() < 4.5 / math.sqrt(800) and (g.mean() - 1).abs() < 0.01


def test_trajectories_of_any_kind() -> None:
    maps = random_maps(3, 8, 6, 0, DOUBLE)
    operator = NonCartesianMRI(maps, radial_trajectory(8, 6, 9, 10))
    prior = GaussianMixturePrior(torch.zeros(1, 2, 8, 6, dtype=DOUBLE))
    x = torch.linspace(-1, 1, 96, dtype=DOUBLE).reshape(1, 2, 8, 6)
    problem = Posterior(prior, GaussianLikelihood(operator, 0.1), operator(x))
    estimate = CGSense(1e-9, 300, 1e-12, replicas=40).solve(problem, progress=False)
    assert torch.allclose(estimate.x, x, atol=1e-4)
    acceleration = 3 * 48 / (3 * 90)
    matrix = dense(operator)  # type: ignore[arg-type]
    variance = torch.linalg.inv(matrix.T @ matrix).diagonal().reshape(2, 8, 6).mean(0)
    g = (variance / acceleration).sqrt()
    assert (estimate.info["g_factor"][0] / g - 1).square().mean().sqrt() < 2 / math.sqrt(160)


def test_refusals() -> None:
    problem = problem_of(operator_of())
    likelihood = GaussianLikelihood(Identity((2, 8, 6)), 0.1)
    with pytest.raises(IncompatibleError, match="CGSense takes Gaussian noise on MRI, not GaussianLikelihood on Id"):
        CGSense().solve(Posterior(problem.prior, likelihood, torch.ones(1, 2, 8, 6, dtype=DOUBLE)))
    with pytest.raises(InvalidValueError, match="weight"):
        CGSense(-1.0)
