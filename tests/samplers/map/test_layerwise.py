import pytest
import torch
from torch import Tensor

from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import GaussianLikelihood, LaplaceLikelihood, Likelihood, StudentTLikelihood
from posterior.networks.perceptron import Perceptron
from posterior.noise import Noise
from posterior.operators import Identity, Inpainting
from posterior.priors.generators import NetworkGenerator
from posterior.problem import Posterior
from samplers.map import LayerwiseInversion
from tests.samplers.case import Case
from tests.samplers.map.generators import small_problem

DOUBLE = torch.float64


def generator(sizes: list[int], slope: float = 0.0, seed: int = 0) -> NetworkGenerator:
    return NetworkGenerator(Perceptron(sizes, slope, seed).double().requires_grad_(False))


def planted(prior: NetworkGenerator, std: float, count: int = 3) -> tuple[Posterior, Tensor]:
    """Noisy outputs of known latents."""
    noise = Noise.of(3, count, dtype=DOUBLE)
    z = noise.use("latent").normal(prior.latent_shape)[0]
    likelihood = GaussianLikelihood(Identity(prior.event_shape), std)
    return Posterior(prior, likelihood, likelihood.simulate(prior(z), noise)), z


def of_layers(batch: int = 1) -> Posterior:
    return planted(generator([3, 10, 30]), 1e-3, 3)[0].select(range(batch))


SHARED_CASES = {"LayerwiseInversion": Case(LayerwiseInversion(), of_layers, (0, 0), seeded=False)}


def solve(problem: Posterior, **settings) -> Tensor:
    latent = LayerwiseInversion(**settings).solve(problem, progress=False).latent
    assert latent is not None
    return latent


@pytest.mark.parametrize("norm", ["linf", "l1"])
@pytest.mark.parametrize("slope", [0.0, 0.2, 1.0])
def test_it_inverts_a_network(slope: float, norm) -> None:
    problem, z = planted(generator([5, 20, 80], slope), 1e-9)
    estimate = LayerwiseInversion(norm).solve(problem, progress=False)
    assert estimate.latent is not None
    assert torch.allclose(estimate.latent, z, atol=1e-5)
    assert torch.allclose(estimate.x, problem.y, atol=1e-6)
    assert estimate.info["epsilon"].shape == (2, 3) and estimate.converged.all()


def test_errors_grow_in_proportion_to_the_noise() -> None:
    errors = []
    for std in (1e-5, 1e-4, 1e-3):
        problem, z = planted(generator([5, 25, 125]), std, 8)
        errors.append((solve(problem, norm="l1") - z).norm(dim=1).mean() / std)
    # a least-squares fit of 125 outputs, half of them 0, errs by about σ √(2·5·n/n): a few σ
    assert all(0.3 < error < 30 for error in errors)
    assert max(errors) < 2 * min(errors)


def test_few_gross_errors_leave_the_least_sum_alone() -> None:
    prior = generator([5, 100], slope=0.2)
    problem, z = planted(prior, 1e-6)
    problem.y[:, :10] += 3.0
    assert (solve(problem, norm="l1") - z).abs().max() < 1e-3
    estimate = LayerwiseInversion("linf").solve(problem, progress=False)
    assert (estimate.latent - z).abs().max() > 0.1
    assert not estimate.converged.any()  # ε had to become the size of the gross errors


def test_the_loss_is_the_norm_of_the_residual() -> None:
    problem = of_layers(3)
    for norm, total in (("linf", lambda r: r.abs().amax(1)), ("l1", lambda r: r.abs().sum(1))):
        estimate = LayerwiseInversion(norm).solve(problem, progress=False)
        assert torch.allclose(estimate.loss, total(problem.y - problem.prior(estimate.latent)))


def test_the_first_bound_is_the_largest_of_as_many_gaussian_values() -> None:
    # one layer of 30 outputs, noise that it more than covers: ε stays σ √(2 log 30), with Laplace's σ = √2 b
    prior = generator([3, 30], slope=1.0)
    problem, _ = planted(prior, 0.1)
    quiet = Posterior(prior, problem.likelihood, prior(torch.ones(1, 3, dtype=DOUBLE)))
    expected = 0.1 * (2 * torch.log(torch.tensor(30.0))) ** 0.5
    laplace = Posterior(prior, LaplaceLikelihood(Identity((30,)), 0.1 / 2**0.5), quiet.y)
    for one in (quiet, laplace):
        found = LayerwiseInversion().solve(one, progress=False).info["epsilon"]
        assert float(found) == pytest.approx(float(expected), rel=1e-6)


def test_what_it_refuses() -> None:
    problem = of_layers()
    others: list[Likelihood] = [
        StudentTLikelihood(Identity((30,)), 0.1, 3.0),
        GaussianLikelihood(Inpainting(torch.ones(30)), 0.1),
    ]
    for likelihood in others:
        with pytest.raises(IncompatibleError, match="Gaussian or Laplace noise on Identity"):
            LayerwiseInversion().solve(Posterior(problem.prior, likelihood, problem.y))
    with pytest.raises(IncompatibleError, match="CSGM takes any generator"):
        LayerwiseInversion().solve(small_problem())
    with pytest.raises(InvalidValueError, match="norm"):
        LayerwiseInversion("l2")  # type: ignore[arg-type]
