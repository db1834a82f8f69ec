import math

import pytest
import torch

from posterior import GaussianLikelihood, OneBitLikelihood, Posterior
from posterior.diagnostics import predictive_check
from posterior.errors import ShapeError
from posterior.operators import Identity, Matrix
from tests.diagnostics.methods import samples
from tests.problems import DOUBLE, gaussian, measure

SIZE, MEASURED = 3, 24


def problem(true_std: float, batch: int = 1) -> Posterior:
    """Each of three numbers measured eight times; a likelihood that says 0.3, and noise that has `true_std`."""
    made = measure(gaussian(SIZE), Matrix(torch.eye(SIZE, dtype=DOUBLE).repeat(8, 1)), true_std, batch)
    return Posterior(made.prior, GaussianLikelihood(made.operator, 0.3), made.y)


@pytest.mark.parametrize(
    ("true_std", "words"), [(0.3, "looks like the model's own"), (0.9, "fits the draws worse"), (0.02, "better")]
)
def test_noise_that_is_as_the_likelihood_says_or_not(true_std: float, words: str) -> None:
    posed = problem(true_std)
    exact = posed.prior.posterior(posed.likelihood, posed.y)
    check = predictive_check(samples(exact.sample(400)), posed)
    assert words in str(check)
    assert (check.p_value > 0.05).all() == (true_std == 0.3)
    assert check.p_value.shape == check.observed.shape == check.replicated.shape == (1,)


def test_p_values_of_a_true_model_are_at_most_nominal() -> None:
    posed = problem(0.3, batch=200)
    exact = posed.prior.posterior(posed.likelihood, posed.y)
    check = predictive_check(samples(exact.sample(99)), posed, seed=3)
    # Meng: at most 2α; with 4 binomial errors
    assert (check.p_value <= 0.1).double().mean() < 0.2 + 4 * math.sqrt(0.2 * 0.8 / 200)
    assert len(str(check).splitlines()) == 200


def test_draws_that_ignore_the_measurement() -> None:
    posed = problem(0.3)
    assert "fits the draws worse" in str(
        predictive_check(samples(posed.prior.exact_sample(400, posed.noise(0, 400))), posed)
    )


def test_discrepancies_by_hand() -> None:
    posed = problem(0.3, batch=2)
    x = posed.prior.exact_sample(5, posed.noise(0, 5))
    check = predictive_check(samples(x), posed)
    assert torch.allclose(check.observed, -posed.log_likelihood(x).mean(0))
    # of the replicates −log p is half a χ² with 24 degrees of freedom, and a constant: 4 errors of 5 draws
    expected = torch.full((2,), MEASURED / 2 * (1 + math.log(2 * math.pi * 0.3**2)), dtype=DOUBLE)
    assert torch.allclose(check.replicated, expected, atol=4 * (MEASURED / 2 / 5) ** 0.5)


def test_ties_do_not_count_against_a_measurement() -> None:
    # One bit of an image whose sign is certain: all replicates and y are the same.
    prior = gaussian(2)
    posed = Posterior(prior, OneBitLikelihood(Identity((2,)), 0.1), torch.ones(1, 2, dtype=DOUBLE))
    check = predictive_check(samples(torch.full((50, 1, 2), 9.0, dtype=DOUBLE)), posed)
    assert check.p_value.tolist() == [1]


def test_draws_of_another_problem() -> None:
    with pytest.raises(ShapeError, match="expected"):
        predictive_check(samples(torch.zeros(5, 1, SIZE - 1)), problem(0.3))


@pytest.mark.parametrize(("shift", "words"), [(0.0, "cannot be judged by 5 draws"), (5.0, "fits the draws worse")])
def test_few_draws_cannot_tell_but_a_gross_misfit_shows(shift: float, words: str) -> None:
    posed = problem(0.3)
    exact = posed.prior.posterior(posed.likelihood, posed.y)
    check = predictive_check(samples(exact.sample(5) + shift), posed)
    assert check.p_value > 0.3  # 2/(5 + 1) at the least
    assert words in str(check)
