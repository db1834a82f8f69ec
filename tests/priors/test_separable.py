import math

import pytest
import torch
from torch import Tensor

from posterior import (
    GaussianLikelihood,
    LaplaceLikelihood,
    OneBitLikelihood,
    PoissonLikelihood,
    SaturatedLikelihood,
    StudentTLikelihood,
)
from posterior.errors import IncompatibleError, InvalidValueError
from posterior.likelihoods import Likelihood
from posterior.noise import Noise
from posterior.operators import Downsampling, Inpainting, Magnitude, Matrix, Operator
from posterior.priors import EmpiricalPrior, GaussianMixturePrior
from posterior.priors.exact import MixturePosterior
from posterior.priors.separable import SeparablePosterior
from tests.problems import DOUBLE, gaussian, mixture

TURN = torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=DOUBLE)
ROTATED, FIRST = Matrix(1.3 * TURN), Inpainting(torch.tensor([True, False]))


@pytest.mark.parametrize("operator", [ROTATED, FIRST, Matrix(0.4 * TURN[1:])])
@pytest.mark.parametrize("noise_std", [2.0, 0.1, 1e-4])
def test_gaussian_noise_has_the_known_posterior(operator, noise_std):
    prior = mixture()
    y = operator(torch.tensor([[0.3, 0.9], [-4.0, 2.0], [30.0, -7.0]], dtype=DOUBLE))  # the last is far from the prior
    likelihood = GaussianLikelihood(operator, noise_std)
    known = prior.posterior(likelihood, y)
    exact = SeparablePosterior(prior.means, prior.log_weights, 0.5, likelihood, y, (2,))
    assert isinstance(known, MixturePosterior)
    assert torch.allclose(exact.log_evidence, known.log_evidence, atol=1e-5)
    assert torch.allclose(exact.weights, known.weights, atol=1e-5)
    assert torch.allclose(exact.mean(), known.mean(), atol=1e-5)
    assert torch.allclose(exact.std(), known.std(), rtol=1e-4, atol=0)
    assert torch.allclose(exact.covariance(), known.covariance(), atol=1e-5)


CASES: dict[str, tuple[Likelihood, list[list[float]]]] = {
    "magnitude": (GaussianLikelihood(Magnitude(ROTATED), 0.3), [[0.2, 1.5], [2.0, 2.6]]),
    "sharp magnitude": (GaussianLikelihood(Magnitude(FIRST), 0.05), [[0.1, 0.0], [2.9, 0.0]]),
    "heavy tails": (StudentTLikelihood(ROTATED, torch.tensor([0.1, 0.4], dtype=DOUBLE), 2.0), [[1.0, 2.0], [9.0, 0.0]]),
    "laplace": (LaplaceLikelihood(ROTATED, 0.2), [[1.0, 2.0], [-4.0, 0.0]]),
    "counts": (PoissonLikelihood(ROTATED, 6.0, 0.2), [[3.0, 0.0], [20.0, 11.0]]),
    "faint counts": (PoissonLikelihood(Magnitude(ROTATED), 0.5, 0.01), [[1.0, 0.0], [0.0, 0.0]]),
    "saturated": (SaturatedLikelihood(ROTATED, 0.3, -1.0, 1.0), [[1.0, -0.3], [-1.0, 1.0]]),
    "signs": (OneBitLikelihood(ROTATED, 0.2), [[1.0, -1.0], [-1.0, -1.0]]),
    "signs of a part": (OneBitLikelihood(FIRST, 1e-3), [[1.0, 0.0], [-1.0, 0.0]]),
}


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_quadrature_over_the_plane(name):
    likelihood, values = CASES[name]
    prior, y = mixture(), torch.tensor(values, dtype=DOUBLE)
    exact = prior.posterior(likelihood, y)
    assert isinstance(exact, SeparablePosterior)
    cell = 0.012 if "sharp" in name else 0.024
    axis = cell * (torch.arange(round(18 / cell), dtype=DOUBLE) + 0.5) - 9  # kinks and jumps at 0 are on a cell's edge
    grid = torch.cartesian_prod(axis, axis)
    log_prior = torch.stack(
        [
            log_weight + torch.distributions.Normal(mean, 0.5).log_prob(grid).sum(1)
            for log_weight, mean in zip(prior.log_weights, prior.means, strict=True)
        ],
        1,
    )
    log_joint = (log_prior.logsumexp(1)[:, None] + likelihood.log_prob(grid[:, None].expand(-1, len(y), -1), y)).T
    log_evidence = log_joint.logsumexp(1) + 2 * math.log(cell)
    weights = log_joint.softmax(1)
    mean = weights @ grid
    covariance = torch.einsum("bg,gi,gj->bij", weights, grid, grid) - mean[:, :, None] * mean[:, None]
    # The plane's own error at a kink is cell² · jump of the slope / 24.
    atol = 5e-4 if name == "sharp magnitude" else 2e-4
    assert torch.allclose(exact.log_evidence, log_evidence, atol=atol)
    assert torch.allclose(exact.weights, weights @ log_prior.softmax(1), atol=atol)
    assert torch.allclose(exact.mean(), mean, atol=atol)
    assert torch.allclose(exact.covariance(), covariance, atol=4 * atol)
    assert torch.allclose(exact.std() ** 2, exact.covariance().diagonal(dim1=1, dim2=2))


@pytest.mark.parametrize("sharp", [1e-1, 1e-3, 1e-6])
def test_features_are_found_however_sharp(sharp):
    prior, y = mixture(), torch.tensor([[1.0, 0.0]], dtype=DOUBLE)
    normal = torch.distributions.Normal(0.0, 1.0)
    weights, mean, width = prior.log_weights.exp(), prior.means[:, 0], math.hypot(0.5, sharp)
    signs = prior.posterior(OneBitLikelihood(FIRST, sharp), y)  # a step at 0, which is an end of a panel
    assert torch.allclose(signs.log_evidence, (weights @ normal.cdf(mean / width)).log(), atol=1e-5)
    signs = prior.posterior(OneBitLikelihood(FIRST, sharp), -y)
    assert torch.allclose(signs.log_evidence, (weights @ normal.cdf(-mean / width)).log(), atol=1e-5)
    if sharp < 0.1:  # so that the two peaks, at v and −v, are apart
        for place in (1.0, 0.8371, 2.9):
            exact = prior.posterior(GaussianLikelihood(Magnitude(FIRST), sharp), place * y)
            density = [weights @ normal.log_prob((sign * place - mean) / width).exp() / width for sign in (1, -1)]
            assert torch.allclose(exact.log_evidence, (density[0] + density[1]).log(), atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_draws_have_its_moments(name):
    likelihood, values = CASES[name]
    exact = mixture().posterior(likelihood, torch.tensor(values, dtype=DOUBLE))
    count = 40_000
    draws = exact.sample(count, seed=1)
    centred = draws - exact.mean()
    assert (centred.mean(0).abs() < 4 * exact.std() / math.sqrt(count)).all()
    products = centred[..., :, None] * centred[..., None, :]
    error = (products.mean(0) - exact.covariance()).abs()
    assert (error < 4 * products.std(0) / math.sqrt(count) + 1e-3 * exact.covariance().abs()).all()
    share = mixture().responsibilities(draws).mean(0)
    assert ((share - exact.weights).abs() < 4 * (exact.weights * (1 - exact.weights) / count).sqrt() + 1e-4).all()
    # A draw does not depend on how many there are, but for rounding: products of other sizes round otherwise.
    torch.testing.assert_close(draws[:3], exact.sample(3, seed=1), rtol=0, atol=1e-12)


def distribution_distance(draws: Tensor, density: Tensor, axis: Tensor) -> float:
    """Kolmogorov's distance between draws (S,) and a density on a grid."""
    cumulative = density.cumsum(0) / density.sum()
    at = cumulative[torch.searchsorted(axis, draws.sort().values).clamp_max(len(axis) - 1)]
    return float((at - torch.arange(1, len(draws) + 1, dtype=DOUBLE) / len(draws)).abs().max())


def test_draws_have_its_law_on_both_sides_of_a_magnitude():
    prior = GaussianMixturePrior(torch.tensor([[0.1]], dtype=DOUBLE), std=1.0)
    likelihood = GaussianLikelihood(Magnitude(Matrix(torch.ones(1, 1, dtype=DOUBLE))), 0.05)
    draws = prior.posterior(likelihood, torch.tensor([[1.0]], dtype=DOUBLE)).sample(40_000)[:, 0, 0]
    axis = torch.linspace(-3, 3, 60_001, dtype=DOUBLE)
    density = (-0.5 * (axis - 0.1) ** 2 - 0.5 * ((axis.abs() - 1) / 0.05) ** 2).exp()
    assert distribution_distance(draws, density, axis) < 1.95 / math.sqrt(40_000) + 1e-3  # probability .999; grid


def test_images_downsampled_into_counts():
    images = Noise.of(0, 30, dtype=DOUBLE).normal((1, 4, 4))[0].tanh()
    likelihood = PoissonLikelihood(Downsampling((1, 4, 4), 2), torch.tensor([20.0, 300.0], dtype=DOUBLE), 0.5)
    y = likelihood.simulate(images[:2], Noise.of(1, 2, dtype=DOUBLE))
    exact = EmpiricalPrior(images, std=1e-4).posterior(likelihood, y)
    points = EmpiricalPrior(images).posterior(likelihood, y)
    assert isinstance(exact, SeparablePosterior) and exact.mean().shape == (2, 1, 4, 4)
    # so narrow a prior is its points: log-likelihoods change by slope · std ≈ 1e-2 at most
    assert torch.allclose(exact.log_evidence, points.log_evidence, atol=2e-2)
    assert torch.allclose(exact.mean(), points.mean(), atol=2e-3)
    wide = EmpiricalPrior(images, std=0.2).posterior(likelihood, y)
    operator, draws = likelihood.operator, wide.sample(2_000)
    values = operator(draws)
    mean = operator(wide.mean())
    assert ((values.mean(0) - mean).abs() < 4 * values.std(0) / math.sqrt(2_000)).all()
    assert values.std(0)[1].max() < values.std(0)[0].min()  # brighter is sharper


def test_each_measurement_has_its_own_mask():
    prior = mixture()
    masks = torch.tensor([[True, False], [True, True], [False, True]])
    y = torch.tensor([[0.5, 0.0], [1.0, -1.0], [0.0, 2.0]], dtype=DOUBLE)
    scale = torch.tensor([0.1, 0.5, 1.0], dtype=DOUBLE)
    together = prior.posterior(LaplaceLikelihood(Inpainting(masks, (2,)), scale), y)
    for b in range(3):
        alone = prior.posterior(LaplaceLikelihood(Inpainting(masks[b]), float(scale[b])), y[b : b + 1])
        assert torch.allclose(together.log_evidence[b], alone.log_evidence[0])
        assert torch.allclose(together.mean()[b], alone.mean()[0])


def test_any_likelihood_where_the_components_are_points():
    prior = GaussianMixturePrior(torch.tensor([[0.0, 1.0], [2.0, 0.0]], dtype=DOUBLE), std=0.0)
    curved = Operator.from_callable(lambda x: x**3, event_shape=(2,), measurement_shape=(2,), dtype=DOUBLE)
    likelihood = LaplaceLikelihood(curved, 3.0)
    y = torch.tensor([[4.0, 0.0]], dtype=DOUBLE)
    expected = torch.tensor([[-5.0 / 3, -4.0 / 3]], dtype=DOUBLE).softmax(1)
    assert torch.allclose(prior.posterior(likelihood, y).weights, expected)


def test_what_does_not_separate_is_refused():
    y = torch.zeros(1, 2, dtype=DOUBLE)
    skew = Matrix(torch.tensor([[1.0, 0.0], [0.5, 1.0]], dtype=DOUBLE))
    with pytest.raises(IncompatibleError, match="not orthogonal"):
        mixture().posterior(LaplaceLikelihood(skew, 1.0), y)
    with pytest.raises(IncompatibleError, match="not orthogonal"):  # lengths differ
        mixture().posterior(LaplaceLikelihood(Matrix(torch.diag(torch.tensor([1.0, 2.0], dtype=DOUBLE))), 1.0), y)
    curved = Operator.from_callable(lambda x: x**2, event_shape=(2,), measurement_shape=(2,), dtype=DOUBLE)
    with pytest.raises(IncompatibleError, match="neither a linear operator nor the Magnitude"):
        mixture().posterior(GaussianLikelihood(curved, 1.0), y)
    spectrum = Operator.from_callable(
        lambda x: torch.fft.fft(x.to(torch.complex128)), event_shape=(2,), measurement_shape=(2,), linear=True, dtype=DOUBLE  # noqa: E501
    )  # fmt: skip
    with pytest.raises(IncompatibleError, match="complex"):
        mixture().posterior(GaussianLikelihood(Magnitude(spectrum), 1.0), y)
    with pytest.raises(IncompatibleError, match="covariance matrix"):
        gaussian(2).posterior(LaplaceLikelihood(ROTATED, 1.0), y)
    with pytest.raises(InvalidValueError, match="raw counts"):
        mixture().posterior(PoissonLikelihood(ROTATED, 1.0, 1.0), y - 1)
    with pytest.raises(InvalidValueError, match="4096 standard deviations"):
        mixture().posterior(GaussianLikelihood(Magnitude(ROTATED), 1e-3), y + 1e5)
