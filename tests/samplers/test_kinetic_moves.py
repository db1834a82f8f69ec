"""Kinetic moves: what they leave invariant, how far they go, and what they cost."""

import math

import pytest
import torch

from posterior.noise import Noise
from posterior.operators import Inpainting, Matrix
from posterior.priors import GaussianMixturePrior
from posterior.problem import Posterior
from samplers.auxiliary_kernel import AuxiliaryKernel, PriorSampling
from samplers.baoab import Phase, baoab
from samplers.kernel import Move
from samplers.kinetic_moves import KineticKernel
from samplers.metering import Meter, metered
from samplers.noisy_posterior import preconditioned, score
from tests.problems import DOUBLE, check_moments, copies, gaussian, gaussian_problem, measure, mixture_problem

EXACT = PriorSampling(0, exact=True)
ONE = torch.ones(1, dtype=DOUBLE)


def exact_start(problem: Posterior, count: int) -> Move:
    """Samples of the posterior and standard Gaussian momenta."""
    x = problem.prior.posterior(problem.likelihood, problem.y).sample(count, seed=1)
    momentum = Noise.of(2, len(problem), count, dtype=DOUBLE).normal(problem.event_shape)
    return Move(x, problem.log_likelihood(x), momentum)


def moved(kernel: AuxiliaryKernel, problem: Posterior, start: Move, count: int) -> Move:
    """Where chains are after so many moves at β = 1."""
    beta, noise = torch.ones(len(problem), dtype=DOUBLE), Noise.of(3, len(problem), len(start.x), dtype=DOUBLE)
    for step in range(count):
        start, _ = kernel.move(problem, start, beta, beta, noise.at(step))
    return start


@pytest.mark.parametrize("sampling", [EXACT, PriorSampling(6)], ids=["exact", "reverse diffusion"])
def test_gaussian_posteriors_are_left_as_they_are(sampling: PriorSampling) -> None:
    problem = copies(gaussian_problem(4), 25)
    truth = problem.prior.posterior(problem.likelihood, problem.y)
    after = moved(KineticKernel(sampling, 12), problem, exact_start(problem, 1000), 4)
    check_moments(after.x, truth.mean()[0], truth.covariance()[0], within=0.1)


def test_mixtures_are_left_as_they_are() -> None:
    problem = copies(mixture_problem(), 25)
    truth = problem.prior.posterior(problem.likelihood, problem.y)
    after = moved(KineticKernel(EXACT, 12), problem, exact_start(problem, 1000), 8)
    share = problem.prior.responsibilities(after.x).mean((0, 1))
    # 25,000 samples: four errors of √(¼/25000); longer steps are off by several hundredths after eight moves
    assert (share - truth.weights[0]).abs().max() < 4 * 0.5 / math.sqrt(25_000)


@pytest.mark.parametrize("kernel", [AuxiliaryKernel(EXACT), KineticKernel(EXACT, 4)])
def test_moves_that_end_a_run_have_noise_of_their_own(kernel: AuxiliaryKernel) -> None:
    problem, noise = gaussian_problem(2), Noise.of(3, 2, 5, dtype=DOUBLE)
    start = exact_start(problem, 5)
    pilot, scale = start.x.mean(0), torch.ones(2, dtype=DOUBLE)
    ended = [
        kernel.finish(problem, start._replace(epsilon=factor * start.epsilon), pilot, scale, noise) for factor in (0, 1)
    ]
    assert torch.equal(*ended)
    assert not torch.allclose(ended[0], start.x)


def test_a_move_goes_farther_than_sweeps_of_as_many_calls() -> None:
    # An unseen direction of width one where ρ is about .07: 18 calls are one kinetic move or three sweeps.
    mask = torch.tensor([True, False])
    prior = GaussianMixturePrior(torch.zeros(1, 2, dtype=DOUBLE), torch.ones(1, dtype=DOUBLE), 1.0)
    problem = measure(prior, Inpainting(mask), 0.1)
    start = exact_start(problem, 2000)
    for kernel, moves, low, high in (
        (KineticKernel(PriorSampling(6), 12), 1, 0.5, 0.9),
        (AuxiliaryKernel(PriorSampling(6)), 3, 0.9, 1.1),
    ):
        after = moved(kernel, problem, start, moves).x
        slope = (start.x[..., 1] * after[..., 1]).mean() / start.x[..., 1].square().mean()
        assert low < slope < high


def test_measurements_at_lower_temperatures_are_swept_and_do_not_meddle() -> None:
    problem = gaussian_problem(4, batch=3)
    beta, kernel, start = torch.tensor([1.0, 0.5, 1.0], dtype=DOUBLE), KineticKernel(EXACT, 3), exact_start(problem, 5)
    noise = Noise.of(0, 3, 5, dtype=DOUBLE)
    together, size = kernel.move(problem, start, beta, torch.ones_like(beta), noise)
    for k in range(3):
        own = Move(*(values[:, k : k + 1] for values in start[:3]))
        one = torch.tensor([k])
        kind = AuxiliaryKernel(EXACT) if k == 1 else kernel
        alone, its = kind.move(problem.select(one), own, beta[one], ONE, noise.select(one))
        for a, b in zip(together, alone, strict=True):
            assert torch.allclose(a[:, k : k + 1], b)
        assert torch.allclose(size["rho"][one], its["rho"])


def test_calls_are_those_that_are_told() -> None:
    problem, meter = gaussian_problem(4), Meter()
    seen = problem.with_prior(metered(problem.prior, meter))
    for kernel in (KineticKernel(PriorSampling(6), 5), KineticKernel(EXACT, 5)):
        meter.reset()
        moved(kernel, seen, exact_start(problem, 7), 1)
        assert meter.rows == 7 * kernel.calls.final


def test_steps_are_stable_where_rho_is_near_its_bound() -> None:
    # ρ‖A‖ = .95 τ: the curvature of y is 9.3/ρ², at which a step of 1.1 ρ without preconditioner is unstable.
    problem = copies(measure(gaussian(4), Inpainting(torch.ones(4, dtype=torch.bool)), 0.3), 10)
    tau2, noise = torch.full((10,), 0.09, dtype=DOUBLE), Noise.of(0, 10, 50, dtype=DOUBLE)
    rho = 0.95 * tau2.sqrt()
    z = problem.y + 0.1 * noise.normal((4,))
    phase = Phase(z, noise.use("p").normal((4,)), rho[:, None] * score(problem, z, rho, tau2))
    for number in range(100):
        phase = baoab(
            phase, lambda z: score(problem, z, rho, tau2), lambda v: preconditioned(problem, v, 0.95**2), rho, 1.1, 0.1,
            noise.at(number),
        )  # fmt: skip
    assert (phase.z - problem.y).abs().max() < 3


@pytest.mark.parametrize("share", [0.3, 0.75, 0.99])
def test_preconditioned_curvatures_are_those_of_a_narrow_prior_at_most(share: float) -> None:
    a = torch.diag(torch.linspace(0, 2, 9, dtype=DOUBLE))
    problem = measure(gaussian(9), Matrix(a), 0.3)
    spread = preconditioned(problem, torch.eye(9, dtype=DOUBLE)[:, None], torch.tensor([share], dtype=DOUBLE))[:, 0]
    seen = (a / 2) @ (a / 2)
    curvature = torch.linalg.inv(torch.eye(9, dtype=DOUBLE) - share * seen)  # of −log π with p_ρ at its narrowest, · ρ²
    found = torch.linalg.eigvalsh(spread @ curvature @ spread)
    assert float(found[-1]) <= 1 + 1e-9
    assert torch.allclose(spread.diagonal()[[0, -1]], torch.tensor([1.0, math.sqrt(1 - share)], dtype=DOUBLE))
