"""Lasso and total variation against closed forms, optimality conditions and scikit-learn."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood, PoissonLikelihood
from posterior.noise import Noise
from posterior.operators import GaussianMeasurement, Identity, Inpainting, Magnitude
from posterior.operators.base import Operator
from posterior.problem import Posterior
from samplers.baselines import ZeroFilled
from samplers.map import Lasso, TotalVariation
from samplers.map.bases import TRANSFORMS
from samplers.map.convex import noise_in_a_pixel
from samplers.map.tv import adjoint_differences, differences
from tests.mri.phantom import head
from tests.samplers.baselines.scans import operator_of
from tests.samplers.baselines.scans import problem_of as scan_problem
from tests.samplers.case import Case, generated
from tests.samplers.map.generators import DOUBLE, SHAPE, Small

SHARED_CASES = {
    "Lasso": Case(Lasso(steps=20), generated, calls=(0, 0), seeded=False),
    "TotalVariation": Case(TotalVariation(steps=20), generated, calls=(0, 0), seeded=False),
}

BOTH = [Lasso(), TotalVariation()]
each = pytest.mark.parametrize("solver", BOTH, ids=lambda solver: solver.name)


def problem_of(operator: Operator, std: float = 0.1, count: int = 3) -> Posterior:
    prior, noise = Small(), Noise.of(3, count, dtype=DOUBLE)
    likelihood = GaussianLikelihood(operator, std)
    return Posterior(prior, likelihood, likelihood.simulate(prior.sample(1, noise.use("truth"))[0], noise))


def seen(count: int = 10) -> GaussianMeasurement:
    return GaussianMeasurement(SHAPE, count, seed=1).double()


@pytest.mark.parametrize("basis", TRANSFORMS)
def test_no_coefficient_could_do_better(basis: str) -> None:
    problem, weight = problem_of(seen()), 0.02
    estimate = Lasso(weight, basis=basis, tolerance=1e-12, steps=20_000).solve(problem, progress=False)  # type: ignore[arg-type]
    transform = TRANSFORMS[basis]
    c = transform.analyse(estimate.x + 1)
    # 0 ∈ ∂: −Ψᵀ∇f = λ sign(c) where c ≠ 0, and is within ±λ elsewhere
    pull = transform.analyse(problem.operator.adjoint(problem.y - problem.operator(estimate.x)) / 10)
    live = c.abs() > 1e-9
    assert live.any() and (~live).any() and estimate.converged.all()
    assert torch.allclose(pull[live], weight * c[live].sign(), atol=1e-7)
    assert (pull[~live].abs() <= weight + 1e-7).all()


def test_the_lasso_is_scikit_learns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    problem = problem_of(seen())
    eye = torch.eye(16, dtype=DOUBLE).reshape(16, *SHAPE)
    matrix = problem.operator(TRANSFORMS["dct"].synthesise(eye)).T.detach()  # A Ψ
    target = (problem.y - problem.operator(torch.full((3, *SHAPE), -1.0, dtype=DOUBLE))).detach()
    estimate = Lasso(0.01, tolerance=1e-12, steps=20_000).solve(problem, progress=False)
    found = TRANSFORMS["dct"].analyse(estimate.x + 1).flatten(1)
    for b in range(3):
        fit = linear_model.Lasso(alpha=0.01, fit_intercept=False, tol=1e-12, max_iter=100_000)
        fit.fit(matrix.numpy(), target[b].numpy())
        assert torch.allclose(found[b], torch.as_tensor(fit.coef_), atol=1e-6)


def test_total_variation_of_a_step() -> None:
    # Two plateaus of n columns each: with ½‖y − x‖²/m + λ TV each comes nearer by λ m/n, and no further than the mean.
    y = torch.cat([torch.zeros(1, 4, 2), torch.ones(1, 4, 2)], -1).double()
    problem = Posterior(Small(), GaussianLikelihood(Identity(SHAPE), 0.1), y[None])
    for weight, shift in ((0.01, 0.01 * 16 / 2), (0.05, 0.05 * 16 / 2), (0.1, 0.5)):
        estimate = TotalVariation(weight, tolerance=1e-10, steps=50_000).solve(problem, progress=False)
        expected = torch.cat([torch.full((4, 2), shift), torch.full((4, 2), 1 - shift)], -1).double()
        assert torch.allclose(estimate.x[0, 0], expected, atol=1e-5)


def test_differences_have_their_adjoint() -> None:
    noise = Noise.of(0, 2, dtype=DOUBLE)
    x, p = noise.use("x").normal((3, 5, 4))[0], noise.use("p").normal((3, 5, 4, 2))[0]
    assert torch.allclose((differences(x) * p).sum(), (x * adjoint_differences(p)).sum())
    assert torch.equal(differences(torch.ones(1, 3, 3)), torch.zeros(1, 3, 3, 2))


def test_total_variation_beats_every_neighbour() -> None:
    problem = problem_of(seen())
    solver = TotalVariation(0.01, tolerance=1e-11, steps=50_000)
    estimate = solver.solve(problem, progress=False)
    weight = estimate.info["weight"]
    assert isinstance(weight, Tensor)
    for k in range(20):
        for size in (1e-1, 1e-2):
            other = estimate.x + size * Noise.of(k, 3, dtype=DOUBLE).normal(SHAPE)[0]
            assert (solver.loss(problem, other, weight) > estimate.loss).all()


@each
def test_a_measurement_does_not_see_its_neighbours(solver: Lasso | TotalVariation) -> None:
    problem = problem_of(seen())
    whole, alone = solver.solve(problem, progress=False), solver.solve(problem.select([1]), progress=False)
    assert torch.allclose(whole.x[1], alone.x[0], atol=1e-9) and torch.allclose(whole.loss[1], alone.loss[0])
    assert whole.converged.all() and (whole.nfe == 0).all()


@each
@pytest.mark.parametrize("std", [1e-3, 0.1, 10.0])
def test_converged_is_within_the_tolerance(solver: Lasso | TotalVariation, std: float) -> None:
    for operator in (seen(), Inpainting((torch.arange(16) % 3 != 0).reshape(SHAPE))):
        problem = problem_of(operator, std)
        estimate = solver.solve(problem, progress=False)
        best = replace(solver, tolerance=1e-5, steps=100_000).solve(problem, progress=False)
        gap, weight = estimate.info["gap"], estimate.info["weight"]
        assert isinstance(gap, Tensor) and isinstance(weight, Tensor)
        assert estimate.converged.all() and (gap <= solver.tolerance * estimate.loss).all()
        assert (estimate.loss - best.loss <= gap).all() and (best.loss - estimate.loss <= 1e-5 * best.loss).all()
        assert torch.allclose(solver.loss(problem, estimate.x, weight), estimate.loss)
        assert not replace(solver, steps=1).solve(problem, progress=False).converged.any()


@each
def test_images_without_a_smallest_value(solver: Lasso | TotalVariation) -> None:
    problem = problem_of(seen())
    problem.prior.value_range = (-math.inf, math.inf)
    x = solver.solve(problem, progress=False).x
    zero = problem_of(seen())
    zero.prior.value_range = (0.0, 1.0)
    assert torch.equal(x, solver.solve(zero, progress=False).x)


def test_the_lasso_of_a_scan_is_at_its_minimum() -> None:
    """Complex images, whose black is 0 whatever the prior's range, seen by coils: l1-wavelet reconstruction."""
    problem, weight = scan_problem(operator_of()), 0.01
    problem.prior.value_range = (-2.0, 2.0)
    estimate = Lasso(weight, basis="haar", tolerance=1e-12, steps=20_000).solve(problem, progress=False)
    c = TRANSFORMS["haar"].analyse(estimate.x)
    pull = problem.operator.adjoint(problem.y - problem.operator(estimate.x))
    pull = TRANSFORMS["haar"].analyse(pull) / torch.as_tensor(problem.operator.num_measured)[:, None, None, None]
    live = c.abs() > 1e-9
    assert live.any() and (~live).any() and estimate.converged.all()
    assert torch.allclose(pull[live], weight * c[live].sign(), atol=1e-6)
    assert (pull[~live].abs() <= weight + 1e-6).all()


@each
def test_scans_are_taken(solver: Lasso | TotalVariation) -> None:
    problem = scan_problem(operator_of(shape=(24, 20)), 0.02, head(24, 20)[None, None].expand(3, 2, 24, 20))
    estimate, start = solver.solve(problem, progress=False), ZeroFilled().solve(problem)
    truth = head(24, 20) * torch.ones(3, 2, 24, 20)
    truth[..., :1, :] = 0
    before, after = ((x - truth).square().sum() for x in (start.x, estimate.x))
    assert estimate.converged.all() and after < 0.5 * before
    problem.prior.value_range = (-2.0, 2.0)
    assert torch.equal(solver.solve(problem, progress=False).x, estimate.x)


@each
def test_black_is_a_black_image(solver: Lasso | TotalVariation) -> None:
    y = seen()(torch.full((1, *SHAPE), -1.0, dtype=DOUBLE))
    estimate = solver.solve(Posterior(Small(), GaussianLikelihood(seen(), 0.1), y), progress=False)
    assert torch.equal(estimate.x, torch.full_like(estimate.x, -1)) and estimate.converged.all()


@each
def test_a_measurement_that_is_not_finite_is_named(solver: Lasso | TotalVariation) -> None:
    problem = problem_of(seen())
    problem.y[1, 0] = math.nan  # behind the problem's back
    problem.ids = ["a", "b", "c"]
    for steps in (1, 50):  # after one step the loss alone says it
        with pytest.raises(NotFiniteError, match=rf"{solver.name}.* measurement\(s\) \['b'\]; check that the operator"):
            replace(solver, steps=steps).solve(problem.select([1]), progress=False)
        found = replace(solver, steps=steps).solve(problem, progress=False)
        assert found.x[1].isnan().all() and found.x[[0, 2]].isfinite().all()
        assert [verdict.level == "not the posterior" for verdict in found.verdict] == [False, True, False]


@each
def test_missing_pixels_are_filled_and_the_loss_falls(solver: Lasso | TotalVariation) -> None:
    mask = (torch.arange(16) % 3 != 0).reshape(SHAPE)
    problem = problem_of(Inpainting(mask), 0.05)
    estimate = solver.solve(problem, progress=False)
    trace = estimate.info["loss"]
    assert isinstance(trace, Tensor)
    assert (trace[-1] < 0.5 * trace[0]).all()
    assert (problem.likelihood.misfit(estimate.x, problem.y) < 6).all()
    assert (estimate.x[:, ~mask] != 0).any()


def test_the_default_weight_is_the_noise() -> None:
    problem = problem_of(seen(), std=0.3)
    probe = 0.3 * Noise.of(8, 3, 4000, dtype=DOUBLE).normal((10,))
    spread = (problem.operator.adjoint(probe) / 10).flatten(2).std((0, 2))
    assert torch.allclose(
        noise_in_a_pixel(problem), spread, rtol=0.15
    )  # 64 probes of 10 values or more: √(2/640) in energy, 4 × half of that
    weight = Lasso().solve(problem, progress=False).info["weight"]
    assert isinstance(weight, Tensor)
    assert torch.allclose(weight, math.sqrt(2 * math.log(16)) * noise_in_a_pixel(problem))


@each
def test_other_likelihoods_are_refused(solver: Lasso | TotalVariation) -> None:
    y = torch.ones(1, *SHAPE, dtype=DOUBLE)
    for likelihood in (
        PoissonLikelihood(Identity(SHAPE), 2.0, 0.5),
        GaussianLikelihood(Magnitude(Identity(SHAPE)), 0.1),
    ):
        with pytest.raises(IncompatibleError, match="linear operator"):
            solver.solve(Posterior(Small(), likelihood, y), progress=False)


def test_settings_are_checked() -> None:
    for setting in ({"weight": 0.0}, {"weight": -1.0}, {"steps": 0}, {"tolerance": 0.0}):
        with pytest.raises(InvalidValueError, match="needs"):
            TotalVariation(**setting)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="'dct' or 'haar'"):
        Lasso(basis="db4")  # type: ignore[arg-type]
