import math

import pytest
import torch
from torch import Tensor, nn

from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError
from posterior.likelihoods import GaussianLikelihood, LaplaceLikelihood
from posterior.noise import Noise
from posterior.operators import Identity, Matrix
from posterior.priors.generators import GeneratorPrior
from posterior.priors.score_prior import ScorePrior
from posterior.problem import Posterior
from posterior.results import PointEstimate
from samplers.map import CSGM
from samplers.map.restarts import at_rest
from tests.samplers.case import Case, generated
from tests.samplers.map.generators import DOUBLE, SHAPE, Small, far_problem, followed

SHARED_CASES = {
    "CSGM": Case(CSGM(restarts=2, steps=5), generated),
}

LATENT, PIXELS, MEASURED = 3, 6, 4


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Affine(GeneratorPrior):
    """x = W z + b: the latent's posterior is Gaussian."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.Linear(LATENT, PIXELS, dtype=torch.float64)
        layer.load_state_dict({"weight": normal(PIXELS, LATENT, seed=1), "bias": normal(PIXELS, seed=2)})
        self.layers = nn.ModuleList([layer])
        self.latent_shape, self.event_shape = (LATENT,), (PIXELS,)
        self.requires_grad_(False)


class Function(GeneratorPrior):
    """x = f(z), elementwise."""

    probe = False  # for f that give NaN

    def __init__(self, function: nn.Module, size: int = 1) -> None:
        super().__init__()
        self.layers = nn.ModuleList([function])
        self.latent_shape = self.event_shape = (size,)


class Bent(nn.Module):
    """Two valleys of different depth; NaN right of `edge`."""

    def __init__(self, edge: float = math.inf) -> None:
        super().__init__()
        self.edge = edge

    def forward(self, z: Tensor) -> Tensor:
        return (2 * z).cos() + 0.3 * z + torch.where(z > self.edge, torch.nan, 0.0)


def linear_problem(std: float | Tensor = 0.3, count: int = 3) -> Posterior:
    y = normal(count, MEASURED, seed=4)
    return Posterior(Affine(), GaussianLikelihood(Matrix(normal(MEASURED, PIXELS, seed=3), (PIXELS,)), std), y)


def bent_problem(edge: float = math.inf, count: int = 4) -> Posterior:
    y = torch.linspace(-1.5, 1.5, count, dtype=torch.float64)[:, None]
    return Posterior(Function(Bent(edge)), GaussianLikelihood(Identity((1,)), 0.2), y)


def closed_form(problem: Posterior, weight: Tensor) -> Tensor:
    """argmin ‖y − A(Wz + b)‖²/m + λ‖z‖² for λ (B,)."""
    layer = problem.prior.get_submodule("layers.0")
    assert isinstance(layer, nn.Linear)
    a = problem.operator(layer.weight.T).T  # A W
    target = problem.y - problem.operator(layer.bias)
    system = a.T @ a / MEASURED + weight[:, None, None] * torch.eye(LATENT, dtype=a.dtype)
    return torch.linalg.solve(system, target @ a / MEASURED)


def same(a: PointEstimate, b: PointEstimate) -> None:
    # 1e-9: exact arithmetic would give equality; matrix products of other sizes round differently
    for name in ("x", "loss", "latent"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=1e-9, atol=1e-9)
    assert torch.equal(a.converged, b.converged)
    assert torch.equal(a.info["restart"], b.info["restart"])


@pytest.mark.parametrize("std", [0.3, torch.tensor([0.1, 0.3, 2.0], dtype=torch.float64)])
def test_it_reaches_the_latent_map_of_a_linear_generator(std: float | Tensor) -> None:
    problem = linear_problem(std)
    estimate = CSGM(restarts=3).solve(problem, progress=False)
    z = closed_form(problem, torch.as_tensor(std, dtype=torch.float64).expand(3) ** 2 / MEASURED)
    assert estimate.latent is not None
    torch.testing.assert_close(estimate.latent, z, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(estimate.x, problem.prior.decode(estimate.latent))
    log_joint = problem.log_likelihood(estimate.x) - 0.5 * (z.square() + math.log(2 * math.pi)).sum(-1)
    torch.testing.assert_close(estimate.loss, -log_joint)
    assert bool(estimate.converged.all())


@pytest.mark.parametrize("weight", [0.0, 0.05, 3.0])
def test_a_weight_gives_the_loss_of_the_paper(weight: float) -> None:
    problem = linear_problem()
    estimate = CSGM(restarts=2, weight=weight).solve(problem, progress=False)
    z = closed_form(problem, torch.full((3,), weight, dtype=torch.float64))
    assert estimate.latent is not None
    torch.testing.assert_close(estimate.latent, z, rtol=1e-6, atol=1e-6)
    residual = (problem.y - problem.operator(estimate.x)).square().mean(-1)
    torch.testing.assert_close(estimate.loss, residual + weight * z.square().sum(-1))


def test_the_default_weight_is_that_of_the_map() -> None:
    problem = linear_problem(0.3)
    default = CSGM(restarts=2).solve(problem, progress=False)
    weighted = CSGM(restarts=2, weight=0.3**2 / MEASURED).solve(problem, progress=False)
    torch.testing.assert_close(default.x, weighted.x, rtol=1e-6, atol=1e-6)


def test_another_likelihood_needs_only_its_log_density() -> None:
    y = torch.tensor([[-3.0], [0.5], [3.0]], dtype=torch.float64)
    problem = Posterior(Function(nn.Identity()), LaplaceLikelihood(Identity((1,)), 1.0), y)
    estimate = CSGM(restarts=2).solve(problem, progress=False)
    # argmin |y − z| + z²/2 is y clipped to [−1, 1]; at the kink Adam ends within its last step sizes
    torch.testing.assert_close(estimate.x, y.clamp(-1, 1), rtol=0, atol=1e-3)
    with pytest.raises(IncompatibleError, match="takes a GaussianLikelihood"):
        CSGM(weight=0.1).solve(problem, progress=False)


def test_the_best_restart_is_kept() -> None:
    problem = bent_problem()
    single = CSGM(restarts=1, steps=200).solve(problem, progress=False)
    many = CSGM(restarts=8, steps=200).solve(problem, progress=False)
    assert bool((many.loss <= single.loss + 1e-9).all())
    assert bool((many.loss < single.loss - 1).any())  # a valley that the first restart misses
    # the global minimum by exhaustive search
    grid = torch.linspace(-6, 6, 60_001, dtype=torch.float64)[:, None]
    losses = [CSGM().loss(problem.select([b] * len(grid)), grid).min() for b in range(len(problem))]
    torch.testing.assert_close(many.loss, torch.stack(losses), rtol=0, atol=1e-4)
    first = CSGM(restarts=8, steps=200).solve(problem, progress=False, seed=1)
    assert not torch.equal(first.info["loss"][0], many.info["loss"][0])


@pytest.mark.parametrize("batch_size", [1, 3, 7, 100])
def test_the_batch_size_does_not_matter(batch_size: int) -> None:
    std = torch.tensor([0.1, 0.3, 2.0], dtype=torch.float64)
    for problem in (linear_problem(std), bent_problem(0.9)):
        method = CSGM(restarts=4, steps=60)
        same(method.solve(problem, batch_size=batch_size, progress=False), method.solve(problem, progress=False))


def test_neighbours_do_not_matter() -> None:
    std = torch.tensor([0.1, 0.3, 2.0], dtype=torch.float64)
    for problem in (linear_problem(std), bent_problem(0.9)):
        method = CSGM(restarts=4, steps=60)
        whole, alone = (method.solve(p, progress=False, seed=5) for p in (problem, problem.select([1])))
        part = PointEstimate(
            whole.x[[1]], whole.loss[[1]], whole.converged[[1]], whole.nfe[[1]], whole.nfe_grad[[1]],
            {name: values[..., [1]] for name, values in whole.info.items()}, whole.latent[[1]],
        )  # fmt: skip
        same(part, alone)


def test_a_seed_gives_one_answer() -> None:
    problem, method = bent_problem(), CSGM(restarts=2, steps=20)
    runs = [method.solve(problem, seed=seed, progress=False) for seed in (0, 0, 1)]
    assert torch.equal(runs[0].x, runs[1].x)
    assert not torch.equal(runs[0].x, runs[2].x)
    assert torch.equal(method(problem, progress=False).x, runs[0].x)


def test_what_it_reports() -> None:
    estimate = CSGM(restarts=4, steps=30).solve(linear_problem(), progress=False)
    assert estimate.nfe.tolist() == [4 * 32] * 3  # 30 steps, the last loss, and the image
    assert estimate.nfe_grad.tolist() == [4 * 30] * 3
    assert estimate.info["loss"].shape == (31, 3)
    assert torch.equal(estimate.info["loss"][-1], estimate.loss)
    assert estimate.info["restart"].shape == estimate.info["diverged"].shape == (3,)
    assert estimate.info["diverged"].tolist() == [0, 0, 0]
    assert not estimate.x.requires_grad


def test_too_few_steps_are_not_called_convergence() -> None:
    problem = linear_problem()
    assert not bool(CSGM(restarts=1, steps=5, learning_rate=0.01).solve(problem, progress=False).converged.any())


def test_restarts_that_diverge_are_counted_and_dropped() -> None:
    problem = bent_problem(edge=0.9)
    starts = problem.noise(0, 8).use("latent").normal((1,))[..., 0]
    estimate = CSGM(restarts=8, steps=50).solve(problem, progress=False)
    assert bool((estimate.info["diverged"] >= (starts > 0.9).sum(0)).all())
    assert int(estimate.info["diverged"].max()) > 0
    assert bool(torch.isfinite(estimate.x).all() and torch.isfinite(estimate.info["loss"]).all())


def test_all_restarts_diverging_is_an_error() -> None:
    problem = bent_problem(edge=-20.0)
    message = r"CSGM's loss: .* measurement\(s\) \[0, 1, 2, 3\]; no restart .* lower the learning rate"
    with pytest.raises(NotFiniteError, match=message):
        CSGM(restarts=2, steps=5).solve(problem, progress=False)


def test_arguments_are_checked() -> None:
    for bad in ({"restarts": 0}, {"steps": 0}, {"learning_rate": 0.0}, {"weight": -1.0}, {"tolerance": math.nan}):
        with pytest.raises(InvalidValueError):
            CSGM(**bad)  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="'lbfgs'; got 'newton'"):
        CSGM(optimiser="newton")  # type: ignore[arg-type]
    problem = linear_problem()
    with pytest.raises(InvalidValueError, match="batch_size"):
        CSGM().solve(problem, batch_size=0)
    with pytest.raises(InvalidValueError, match="no measurements"):
        CSGM().solve(problem.select(torch.tensor([], dtype=torch.int64)))
    prior = ScorePrior.from_denoiser(lambda x, sigma: x, (PIXELS,), sigma_max=1.0)
    with pytest.raises(IncompatibleError, match="takes a GeneratorPrior"):
        CSGM().solve(problem.with_prior(prior))


def test_step_sizes_fall_along_a_cosine() -> None:
    steps = followed(CSGM(restarts=1, steps=100, learning_rate=0.7), far_problem()).diff(dim=0)[:, 0, 0, 0]
    t = torch.arange(100, dtype=torch.float64)
    assert torch.allclose(steps, 0.35 * (1 + torch.cos(math.pi * t / 100)), atol=1e-6)


def test_the_state_has_the_best_of_an_overshooting_search() -> None:
    problem, states = linear_problem(0.3), []
    solver = CSGM(restarts=3, steps=40, optimiser="sgd", learning_rate=0.02)
    estimate = solver.solve(problem, progress=False, callback=lambda step, state, info: states.append((state, info)))
    losses = torch.stack([info["loss"].mT for _, info in states])
    assert (losses[1:] > losses[:-1]).any()
    state = states[-1][0]
    assert torch.allclose(state.lowest, losses.min(0).values)
    assert torch.allclose(solver.loss(problem, state.x), state.lowest)
    assert torch.allclose(solver.loss(problem, state.h).min(0).values, estimate.loss)  # but the last is the estimate


def test_with_the_identity_it_inverts_the_generator() -> None:
    prior = Small()
    z = Noise.of(6, 3, dtype=DOUBLE).normal((6,))[0]
    problem = Posterior(prior, GaussianLikelihood(Identity(SHAPE), 1e-3), prior(z))
    estimate = CSGM(restarts=10, steps=600).solve(problem, progress=False)
    assert estimate.latent is not None
    assert torch.allclose(estimate.latent, z, atol=1e-2)


@pytest.mark.parametrize("count", [4, 5, 6])
def test_rest_is_judged_over_the_second_half(count: int) -> None:
    # of 4 or 5 losses from the second or the third on: at the first of them the row that rests is where it ends
    losses = torch.ones(count, 2, dtype=torch.float64)
    half = (count - 1) // 2
    losses[:half] = 7.0
    losses[half, 1] = 1.2
    assert at_rest(losses, 0.1).tolist() == [True, False]
    assert at_rest(losses, 0.3).tolist() == [True, True]


def test_one_measured_entry_is_one() -> None:
    # min (y − z)²/1 + λ z²: z = y/(1 + λ)
    problem = Posterior(
        Function(nn.Identity()), GaussianLikelihood(Identity((1,)), 0.2), torch.tensor([[0.9]]).double()
    )
    estimate = CSGM(restarts=2, weight=0.5).solve(problem, progress=False)
    torch.testing.assert_close(estimate.x, problem.y / 1.5, rtol=1e-5, atol=1e-6)
