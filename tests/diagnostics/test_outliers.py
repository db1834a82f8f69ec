import pytest
import torch

from posterior.diagnostics import find_outliers
from posterior.errors import InvalidValueError, ShapeError
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Identity, Inpainting
from posterior.problem import Posterior
from tests.problems import DOUBLE, mixture

EVENT = (400,)


def seen_as(y: torch.Tensor, mask: torch.Tensor | None = None, std: float = 1.0) -> Posterior:
    operator = Identity(EVENT) if mask is None else Inpainting(mask)
    return Posterior(mixture(EVENT), GaussianLikelihood(operator, std), operator.restrict(y))


def test_the_wrong_entries_are_found_whatever_the_stated_noise() -> None:
    noise = Noise.of(0, 5, dtype=DOUBLE)
    x, n = noise.use("x").normal(EVENT)[0], 0.3 * noise.use("n").normal(EVENT)[0]
    wrong = noise.use("where").uniform(EVENT)[0] < 0.3
    y = x + n + torch.where(wrong, 5.0, 0.0)
    for std in (0.1, 10.0):
        found = find_outliers(seen_as(y, std=std), x)
        assert found.shape == y.shape
        assert (found == wrong).all()  # 5 is 16 standard deviations; 4 times a scale that 30 % raise by half


def test_gaussian_residuals_pass() -> None:
    noise = Noise.of(1, 50, dtype=DOUBLE)
    x = torch.zeros(50, *EVENT, dtype=DOUBLE)
    found = find_outliers(seen_as(noise.normal(EVENT)[0]), x, cutoff=2.0)
    # 20,000 Gaussian values, 4.55 % of which are beyond 2: standard error 0.15 %, and of scales 0.05 %
    assert float(found.double().mean()) == pytest.approx(0.0455, abs=0.008)


def test_what_is_not_measured_is_no_outlier_and_does_not_count() -> None:
    mask = torch.arange(400) < 100
    y = Noise.of(2, 3, dtype=DOUBLE).normal(EVENT)[0]
    y[:, 5] = 9.0
    x = torch.zeros_like(y)
    x[:, 100:] = 50.0  # far from the zeros that stand for nothing
    found = find_outliers(seen_as(y, mask), x)
    assert found[:, 5].all() and int(found.sum()) == 3


def test_arguments_are_checked() -> None:
    problem = seen_as(torch.zeros(2, *EVENT, dtype=DOUBLE))
    with pytest.raises(ShapeError):
        find_outliers(problem, torch.zeros(2, 3, dtype=DOUBLE))
    with pytest.raises(ShapeError):
        find_outliers(problem, torch.zeros(3, *EVENT, dtype=DOUBLE))
    with pytest.raises(InvalidValueError, match="cutoff"):
        find_outliers(problem, torch.zeros(2, *EVENT, dtype=DOUBLE), cutoff=0.0)
