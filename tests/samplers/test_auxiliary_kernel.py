import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from posterior.errors import IncompatibleError, NoiseLevelError
from posterior.likelihoods import (
    GaussianLikelihood,
    Likelihood,
    OneBitLikelihood,
    PoissonLikelihood,
    SaturatedLikelihood,
    StudentTLikelihood,
)
from posterior.noise import Noise
from posterior.operators import Blur, Identity, Inpainting, Magnitude, Matrix, Operator
from posterior.priors import EmpiricalPrior, GaussianMixturePrior, ScorePrior
from posterior.priors.exact import ExactPosterior
from posterior.problem import Posterior
from samplers.auxiliary_kernel import PriorSampling, auxiliary_move, check_auxiliary, largest_rho
from samplers.curvature import Curvature
from samplers.kernel import Move
from tests.operators.checks import materialise
from tests.problems import DOUBLE, gaussian, gaussian_problem, measure, mixture, mixture_problem

SIZE = 10_000  # 4.2 standard errors of a moment are 0.042 of its standard deviation
EXACT = PriorSampling(0, exact=True)


class Rigged(PriorSampling):
    """Draws of x0 given z by a function of the test."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__(0)
        object.__setattr__(self, "sample_denoised", function)


WIDE = Matrix(torch.tensor([[1.0, 0.5, 0.2, 0.0], [0.0, 0.3, 1.0, 2.0]], dtype=DOUBLE))
ROTATED = Matrix(1.3 * torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=DOUBLE))


def move(
    problem: Posterior, x: Tensor, epsilon: Tensor, noise: Noise, beta: Tensor | float = 1.0, fraction: float = 1.0,
    sampling: PriorSampling = EXACT, pilot: Tensor | None = None,
) -> Move:  # fmt: skip
    """A move with ρ a fraction of the largest, and the curvature at a pilot image."""
    beta = torch.as_tensor(beta, dtype=x.dtype).expand(len(problem))
    curvature = Curvature(problem, x.new_ones(x.shape[1:]) if pilot is None else pilot)
    rho = fraction * largest_rho(problem, curvature, beta)
    return auxiliary_move(problem, Move(x, problem.log_likelihood(x), epsilon), beta, rho, curvature, sampling, noise)


def moves(problem: Posterior, x: Tensor, count: int, seed: int = 1, **settings: object) -> Move:
    """Several moves that carry ε along."""
    noise = problem.noise(seed, len(x))
    epsilon = noise.use("epsilon").normal(problem.event_shape)
    for step in range(count):
        state = move(problem, x, epsilon, noise.at(step), **settings)  # type: ignore[arg-type]
        x, epsilon = state.x, state.epsilon
    return state


def deviation(draws: Tensor, exact: ExactPosterior, b: int = 0) -> Tensor:
    """Errors of the mean and of second moments of independent draws (S, B, *event), in standard errors."""
    centred = (draws[:, b] - exact.mean()[b]).flatten(1)
    products = (centred[:, :, None] * centred[:, None]).flatten(1)
    values = torch.cat([centred, products], 1)
    target = torch.cat([torch.zeros_like(centred[0]), exact.covariance()[b].flatten()])
    # Exact covariances of quadratures are right to 1e-3 of themselves.
    return ((values.mean(0) - target).abs() - 1e-3 * target.abs()) / (values.std(0) / math.sqrt(len(draws)))


@pytest.mark.parametrize("beta", [1.0, 0.2])
@pytest.mark.parametrize("operator", [Inpainting(torch.tensor([True, False, True, True])), WIDE], ids=["tight", "wide"])
def test_a_sweep_leaves_the_gaussian_posterior_invariant(operator: Operator, beta: float) -> None:
    problem = measure(gaussian(4), operator, 0.4)
    exact = problem.prior.posterior(GaussianLikelihood(operator, 0.4 / math.sqrt(beta)), problem.y)
    after = moves(problem, exact.sample(SIZE, seed=1), 1, beta=beta)
    assert deviation(after.x, exact).max() < 4.2  # the largest of 20 normal errors exceeds it with probability 5e-4
    assert (after.accepted == 1).all()


SMOOTH = torch.exp(-0.5 * (torch.arange(4.0)[:, None] - torch.arange(4.0)) ** 2).to(DOUBLE)
SMOOTH = SMOOTH + 0.1 * torch.eye(4, dtype=DOUBLE)


REFLECTED = Blur((1, 1, 4), torch.tensor([[0.2, 0.6, 0.2]], dtype=DOUBLE), boundary="reflect")


@pytest.mark.parametrize(
    "operator",
    [
        Inpainting(torch.tensor([True, False, True, True]), (1, 1, 4)),
        Matrix(WIDE.matrix, (1, 1, 4)),
        # The blur's matrix, for products that cost little; a composition does not know its spectrum.
        Matrix(materialise(REFLECTED), (1, 1, 4)) @ Identity((1, 1, 4)),
    ],
    ids=["tight", "spectrum", "Chebyshev"],
)
def test_sweeps_with_carried_noise_at_temperatures_of_their_own(operator: Operator) -> None:
    """Finds σ or β of another measurement, a wrong root of the curvature, and a wrong recurrence in `chebyshev`.

    Truncated expansions keep the posterior nearly invariant: the tests of operators and of the curvature find those.
    """
    prior = GaussianMixturePrior(torch.zeros(1, 1, 1, 4, dtype=DOUBLE), covariance=SMOOTH)
    std, beta = torch.tensor([0.4, 0.8], dtype=DOUBLE), torch.tensor([1.0, 0.2], dtype=DOUBLE)
    y = operator(torch.ones(2, 1, 1, 4, dtype=DOUBLE))
    problem = Posterior(prior, GaussianLikelihood(operator, std), y)
    exact = prior.posterior(GaussianLikelihood(operator, std / beta.sqrt()), y)
    after = moves(problem, exact.sample(SIZE, seed=1), 4, beta=beta)
    for b in range(2):
        assert deviation(after.x, exact, b).max() < 4.2  # of 20 errors


def test_a_sweep_keeps_the_weights_of_components() -> None:
    problem = mixture_problem(batch=2)
    exact = problem.prior.posterior(problem.likelihood, problem.y)
    assert ((exact.weights > 0.1).sum(1) >= 2).all()  # or there would be nothing to see
    after = moves(problem, exact.sample(SIZE, seed=1), 1).x
    share = problem.prior.responsibilities(after).mean(0)
    assert (share - exact.weights).abs().max() < 4 * 0.5 / math.sqrt(SIZE)  # a share has a standard deviation ≤ ½


def test_the_auxiliary_noise_stays_gaussian_and_apart_from_the_image() -> None:
    problem = gaussian_problem(4)
    after = moves(problem, problem.prior.posterior(problem.likelihood, problem.y).sample(SIZE, seed=1), 3)
    x, epsilon = after.x, after.epsilon
    both = torch.cat([(x - x.mean(0)) / x.std(0), epsilon], -1)[:, 0]
    covariance = both.T @ both / SIZE
    assert (covariance[4:, 4:] - torch.eye(4, dtype=DOUBLE)).abs().max() < 4 * math.sqrt(2 / SIZE)
    assert covariance[:4, 4:].abs().max() < 4 / math.sqrt(SIZE)


# Measurements, and ρ as a fraction of the largest; with the first three the proposal alone is visibly wrong.
CASES: dict[str, tuple[Likelihood, list[float], float]] = {
    "magnitude": (GaussianLikelihood(Magnitude(ROTATED), 0.8), [0.4, 0.3], 1.0),
    "counts": (PoissonLikelihood(ROTATED, 10.0, 0.2), [8.0, 9.0], 1.0),
    "saturated": (SaturatedLikelihood(ROTATED, 0.3, -1.0, 1.0), [1.0, 1.0], 0.6),
    "magnitude with outliers": (StudentTLikelihood(Magnitude(ROTATED), 0.6, 3.0), [0.4, 1.5], 0.6),
    "outliers": (StudentTLikelihood(ROTATED, 0.4, 3.0), [0.5, 1.0], 0.8),
    "signs": (OneBitLikelihood(ROTATED, 0.5), [1.0, -1.0], 0.6),
}


# Proposals that are never refused are wrong by 0.042 standard deviations of a moment here, and by 0.25 and more in the
# two cases that follow: to see that by 6 errors, with 4 more for chance, takes (10/0.042)² = 57,000 samples.
SIZES = {"magnitude": 60_000}


def case(name: str) -> tuple[Posterior, ExactPosterior, float]:
    likelihood, y, fraction = CASES[name]
    problem = Posterior(mixture(), likelihood, torch.tensor([y], dtype=DOUBLE))
    return problem, problem.prior.posterior(likelihood, problem.y), fraction


@pytest.mark.parametrize("count", [1, 4])
@pytest.mark.parametrize("name", CASES)
def test_moves_leave_other_posteriors_invariant(name: str, count: int) -> None:
    problem, exact, fraction = case(name)
    size = SIZES.get(name, SIZE)
    after = moves(problem, exact.sample(size, seed=1), count, fraction=fraction, pilot=exact.mean())
    assert deviation(after.x, exact).max() < 4.2  # of 6 errors: probability 1.6e-4
    share = problem.prior.responsibilities(after.x).mean(0)
    assert ((share - exact.weights).abs() < 4 * (exact.weights * (1 - exact.weights) / size).sqrt() + 1e-4).all()
    assert 0.05 < after.accepted.mean() < 0.99
    assert torch.allclose(after.log_likelihood, problem.log_likelihood(after.x))
    # ε is Gaussian and apart from the image, as with sweeps.
    x, epsilon = ((v - v.mean(0)) / v.std(0) for v in (after.x[:, 0], after.epsilon[:, 0]))
    assert (after.epsilon.square().mean((0, 1)) - 1).abs().max() < 4 * math.sqrt(2 / size)
    assert (x.T @ epsilon / size).abs().max() < 4 / math.sqrt(size)


@pytest.mark.parametrize("name", list(CASES)[:3])
def test_proposals_that_are_never_refused_would_be_seen(name: str) -> None:
    problem, exact, fraction = case(name)
    proposals = []

    def draw(prior: ScorePrior, z: Tensor, rho: Tensor, noise: Noise) -> Tensor:
        proposals.append(EXACT.sample_denoised(prior, z, rho, noise))
        return proposals[-1]

    moves(
        problem,
        exact.sample(SIZES.get(name, SIZE), seed=1),
        1,
        fraction=fraction,
        pilot=exact.mean(),
        sampling=Rigged(draw),
    )
    assert deviation(proposals[0], exact).max() > 6  # beyond the bound above, so that it has power


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("name", [name for name in CASES if name != "magnitude"])
def test_the_ratio_is_that_of_the_densities(name: str, beta: float) -> None:
    problem, exact, fraction = case(name)
    pilot, x, levels = exact.mean(), exact.sample(50, seed=1), []

    def draw(prior: ScorePrior, z: Tensor, rho: Tensor, noise: Noise) -> Tensor:
        levels.append((z[:, 0], rho[0], EXACT.sample_denoised(prior, z, rho, noise)))
        return levels[0][2]

    noise = problem.noise(2, 50)
    after = move(problem, x, noise.use("epsilon").normal((2,)), noise, beta, fraction, Rigged(draw), pilot)
    z, rho, ahead = levels[0]
    likelihood = problem.likelihood
    jacobian = torch.autograd.functional.jacobian(likelihood.noiseless, pilot[0])
    curvature = jacobian.T @ (likelihood.fisher(likelihood.noiseless(pilot))[0][:, None] * jacobian)
    covariance = rho**2 * (torch.eye(2, dtype=DOUBLE) - rho**2 * beta * curvature)

    def log_joint(start: Tensor, end: Tensor) -> Tensor:
        """Log of L(start)^β q(z | start) p(end | z) over what does not depend on the order, the prior left out."""
        mean = (start + rho**2 * beta * problem.log_likelihood_grad(start))[:, 0]
        forth = torch.distributions.MultivariateNormal(mean, covariance).log_prob(z)
        return beta * problem.log_likelihood(start)[:, 0] + forth - 0.5 * ((z - end[:, 0]) ** 2 / rho**2).sum(1)

    expected = (log_joint(ahead, x) - log_joint(x, ahead)).clamp_max(0).exp()
    assert torch.allclose(after.accepted[:, 0], expected, atol=1e-8)
    assert 0 < expected.mean() < 1


def test_points_under_a_nonlinear_operator() -> None:
    # A prior of three points has an exact posterior under any likelihood.
    curved = Operator.from_callable(lambda x: x + 0.3 * x.sin(), event_shape=(2,), measurement_shape=(2,), dtype=DOUBLE)
    points = torch.tensor([[0.0, 1.0], [1.0, 0.2], [0.4, -0.5]], dtype=DOUBLE)
    likelihood = GaussianLikelihood(curved, 0.9)
    problem = Posterior(EmpiricalPrior(points), likelihood, torch.tensor([[0.6, 0.3]], dtype=DOUBLE))
    exact = problem.prior.posterior(likelihood, problem.y)
    after = moves(problem, exact.sample(SIZE, seed=1), 2, fraction=0.8, pilot=exact.mean())
    share = (after.x[:, 0, None] == points).all(-1).double().mean(0)
    assert ((share - exact.weights[0]).abs() < 4 * 0.5 / math.sqrt(SIZE)).all()  # a share has a deviation ≤ ½
    assert 0 < after.accepted.min() < 1


def test_a_refused_move_stays_where_it_is_and_a_sweep_moves() -> None:
    problem, exact, _ = case("outliers")
    x = exact.sample(1000, seed=1)
    after = moves(problem, x, 1, fraction=1.0, pilot=exact.mean())
    stayed = (after.x == x).all(-1)
    # accepted by chance: a sum of independent coins of variance ≤ ¼
    assert abs(stayed.sum() - (1 - after.accepted).sum()) < 4 * math.sqrt(1000 / 4)
    assert (stayed | (after.x != x).all(-1)).all()
    gauss = mixture_problem()
    before = gauss.prior.posterior(gauss.likelihood, gauss.y).sample(100, seed=1)
    assert (before != moves(gauss, before, 1).x).all()


def test_a_proposal_that_is_not_finite_is_refused() -> None:
    problem, exact, _ = case("outliers")
    x = exact.sample(10, seed=1)
    after = moves(problem, x, 1, sampling=Rigged(lambda prior, z, rho, noise: torch.full_like(z, torch.nan)))
    assert torch.equal(after.x, x) and (after.accepted == 0).all() and after.epsilon.isfinite().all()


def test_the_largest_noise_level() -> None:
    problem = measure(gaussian(4), WIDE, 0.4, batch=2)
    curvature, beta = Curvature(problem, problem.y.new_zeros(2, 4)), torch.tensor([1.0, 1e-12], dtype=DOUBLE)
    rho = largest_rho(problem, curvature, beta)
    assert torch.allclose(rho[0], 0.95 * 0.4 / torch.linalg.matrix_norm(WIDE.matrix, 2))
    assert rho[1] == problem.prior.sigma_max


def test_what_it_does_not_take_is_refused() -> None:
    curved = Operator.from_callable(lambda x: x**2, event_shape=(2,), measurement_shape=(2,))
    prior = ScorePrior.from_denoiser(lambda x, s: x, (2,), sigma_min=0.5, sigma_max=10.0)
    y = torch.zeros(1, 2)
    everything = Inpainting(torch.tensor([True, True]))
    check_auxiliary("X", Posterior(prior, GaussianLikelihood(everything, 0.6), y))
    check_auxiliary("X", Posterior(prior, GaussianLikelihood(curved, 0.1), y))
    with pytest.raises(NoiseLevelError, match=r"0\.38, below 0\.5"):
        check_auxiliary("X", Posterior(prior, GaussianLikelihood(everything, 0.4), y))
    problem = mixture_problem()
    problem.prior = torch.nn.Identity()
    with pytest.raises(IncompatibleError, match="X takes a ScorePrior, not a Identity"):
        check_auxiliary("X", problem)


@pytest.mark.parametrize("name", ["outliers", None])
def test_precision_of_the_state_is_kept(name: str | None) -> None:
    problem = (case(name)[0] if name else mixture_problem()).to(dtype=torch.float32)
    x = torch.zeros(5, 1, 2)
    after = move(problem, x, x, Noise.of(0, 1, 5), sampling=PriorSampling(4))
    assert all(values.dtype == torch.float32 for values in after)
