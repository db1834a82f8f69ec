"""Fairness measures against what is known of them, and of posterior sampling and MAP."""

import math

import pytest
import torch

from benchmarks.fairness.toy import ExactSamples, MixtureMAP
from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.fairness import ComponentGroups, FairnessStudy, Groups, Interval, by_group, fairness
from posterior.likelihoods import GaussianLikelihood
from posterior.noise import Noise
from posterior.operators import Identity
from posterior.priors import EmpiricalPrior, GaussianMixturePrior
from posterior.problem import Posterior
from tests.tables import cells

DOUBLE = torch.float64
SHARES = torch.tensor([0.867, 0.133], dtype=DOUBLE)
SIZE = 3000


def two_groups(noise_std, shares=SHARES, size=SIZE, std=0.0):
    """Images of one pixel at −1 and 1, one of each group."""
    means = torch.linspace(-1, 1, len(shares), dtype=DOUBLE).reshape(-1, 1, 1, 1)
    prior = GaussianMixturePrior(means, shares, std)
    truth = prior.exact_sample(1, Noise.of(5, size, dtype=DOUBLE))[0]
    likelihood = GaussianLikelihood(Identity((1, 1, 1)), noise_std)
    problem = Posterior(prior, likelihood, likelihood.simulate(truth, Noise.of(6, size, dtype=DOUBLE)))
    groups = ComponentGroups(prior, torch.arange(len(shares)), [f"group {k}" for k in range(len(shares))])
    return problem, truth, groups


def only(problem, truth, groups, method, num_samples=64):
    report = FairnessStudy({"toy": (problem, truth)}, [method], groups, truths_from_prior=True).run(
        num_samples, progress=False
    )
    return report.findings[0].fairness


def test_map_fails_proportional_representation_where_y_says_nothing():
    found = only(*two_groups(1e3), MixtureMAP())
    gaps = torch.tensor([0.133, -0.133], dtype=DOUBLE)
    torch.testing.assert_close(found.representation.value, gaps, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.recall.value, torch.tensor([1.0, 0.0], dtype=DOUBLE), atol=1e-9, rtol=0)
    # P(X = a | y) is its prior: p̂ − p = ±.133 at every y
    torch.testing.assert_close(found.conditional.value, gaps.abs(), atol=1e-3, rtol=0)
    assert found.representation.outside(0.05) and not found.representation.within(0.05)
    assert float(found.parity.value) == pytest.approx(1)
    torch.testing.assert_close(found.symmetry.value.abs(), found.representation.value.abs()[:1])


@pytest.mark.parametrize("noise_std", [0.5, 1.0, 2.0, 1e3])
def test_posterior_sampling_has_no_gap_but_that_of_parity(noise_std):
    found = only(*two_groups(noise_std), ExactSamples())
    for gap in (found.representation, found.conditional, found.symmetry):
        assert gap.within(0.05)
    # Errors are equally many in both directions: each group's error rate is that of the other over its share.
    errors = (1 - found.recall.value) * found.confusion.value.sum(1)
    assert float(errors[0] - errors[1]) == pytest.approx(0, abs=0.01)
    if noise_std == 1e3:  # whatever X is, X̂ is of the prior; 64 draws of 3,000: error below .001
        torch.testing.assert_close(found.recall.value, SHARES, atol=0.005, rtol=0)


def test_the_reweighted_prior_achieves_parity_of_two_groups_and_not_of_three():
    problem, truth, groups = two_groups(1.0)
    assert not only(problem, truth, groups, ExactSamples()).parity.within(0.05)
    prior = groups.equalised()
    torch.testing.assert_close(prior.log_weights.exp(), torch.full((2,), 0.5, dtype=DOUBLE))
    # The study's exact P(X ∈ a | y) is that of the true prior.
    assert only(problem, truth, groups, ExactSamples(prior)).parity.within(0.05)
    # Two of three that y cannot tell apart: recalls are ½, ½ and 1.
    means = torch.tensor([-1.0, -1.0001, 1.0], dtype=DOUBLE).reshape(3, 1, 1, 1)
    prior = GaussianMixturePrior(means, [0.2, 0.3, 0.5], 0.0)
    groups, likelihood = ComponentGroups(prior, torch.arange(3), "abc"), GaussianLikelihood(Identity((1, 1, 1)), 0.05)
    noise = Noise.of(5, 500, dtype=DOUBLE)
    problem = Posterior(prior, likelihood, likelihood.simulate(prior.exact_sample(1, noise)[0], noise.use("y")))
    exact = groups.equalised().posterior(problem.likelihood, problem.y).weights
    found = fairness(groups.given(problem), exact, exact)
    torch.testing.assert_close(found.recall.value, torch.tensor([0.5, 0.5, 1], dtype=DOUBLE), atol=1e-3, rtol=0)


def memberships(p):
    return torch.stack([1 - p, p], 1)


def draws(p, number, seed):
    generator = torch.Generator().manual_seed(seed)
    return memberships(torch.binomial(torch.full_like(p, number), p, generator=generator) / number)


def test_noise_of_few_draws_is_no_gap_and_a_bias_is_measured():
    p = torch.rand(4000, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    truth = draws(p, 1, 1)
    fair = fairness(truth, draws(p, 4, 2), draws(p, 4, 3), memberships(p))
    assert fair.conditional.within(0.05)
    biased = (p + 0.1 * (p > 0.5)).clamp_max(1)  # root mean square of what is added, known
    known = float((biased - p).square().mean().sqrt())
    found = fairness(truth, draws(biased, 4, 4), draws(biased, 4, 5), memberships(p)).conditional.worst()
    # Errors of four draws have variance 1/16 at most: products of two, and of one with the bias of .1, have together
    # at most 1/16² + 2·.1²/16, the mean of 4,000 a standard error of .0012, and its root, .07, one of .0083.
    assert float(found.value) == pytest.approx(known, abs=0.02)
    assert float(found.low) < known < float(found.high)


def test_calibration_estimated_from_truths_agrees_with_that_from_exact_probabilities():
    p = torch.rand(4000, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    mode = memberships((p > 0.5).double())
    estimated = fairness(draws(p, 1, 1), mode, mode).calibration.worst()
    exact = fairness(memberships(p), mode, mode).calibration.worst()
    assert float(exact.value) == pytest.approx(0.25, abs=0.01)  # p is uniform: the mean of 1 − p over p > ½
    assert float(estimated.low) < float(exact.value) < float(estimated.high)
    fair = memberships(p)
    assert fairness(draws(p, 1, 1), fair, fair).calibration.within(0.05)


def test_intervals_cover():
    generator = torch.Generator().manual_seed(0)
    p, inside = 0.3, 0
    for study in range(200):
        truth = memberships((torch.rand(200, generator=generator) < p).double())
        made = memberships((torch.rand(200, generator=generator) < p + 0.05).double())
        gap = fairness(truth, made, made, resamples=300, seed=study).representation
        inside += int(gap.low[1] <= 0.05 <= gap.high[1])
    assert inside >= 180  # 95 % of 200 is 190, its standard error 3.1


def test_by_group_weighs_by_membership():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    truth = memberships(torch.tensor([0.0, 0.0, 1.0, 0.5], dtype=DOUBLE))
    expected = torch.tensor([(1 + 2 + 2) / 2.5, (3 + 2) / 1.5], dtype=DOUBLE)
    torch.testing.assert_close(by_group(values, truth).value, expected)
    with pytest.raises(ShapeError, match="truth is"):
        by_group(values[:3], truth)


def test_groups_of_any_rule():
    groups = Groups(["dark", "light"], lambda x: (x.mean((1, 2, 3)) > 0).long())
    x = torch.stack([torch.full((3, 1, 2, 2), -0.5), torch.full((3, 1, 2, 2), 0.5)])
    assert groups.of(x, (1, 2, 2)).argmax(-1).tolist() == [[0, 0, 0], [1, 1, 1]]
    soft = Groups(["a", "b", "c"], lambda x: torch.full((len(x), 3), 1 / 3))
    assert soft.of(x, (1, 2, 2)).shape == (2, 3, 3)
    for rule, error, words in [
        (lambda x: torch.full((len(x),), 2), InvalidValueError, "from 0 to 1"),
        (lambda x: torch.zeros(len(x), 3), ShapeError, "probabilities"),
        (lambda x: torch.full((len(x), 2), math.nan), InvalidValueError, "sum to 1"),
    ]:
        with pytest.raises(error, match=words):
            Groups(["a", "b"], rule).of(x, (1, 2, 2))
    with pytest.raises(InvalidValueError, match="two names"):
        Groups(["a", "a"], lambda x: x)


def test_exact_probabilities_of_groups_by_components_and_by_a_rule():
    problem, _, groups = two_groups(0.7, size=5)
    rule = Groups(["left", "right"], lambda x: (x.flatten(1)[:, 0] > 0).long())
    torch.testing.assert_close(groups.given(problem), rule.given(problem))
    wide, _, by_component = two_groups(0.7, size=5, std=0.2)
    assert rule.given(wide) is None
    weights = wide.prior.posterior(wide.likelihood, wide.y).weights
    torch.testing.assert_close(by_component.given(wide), weights)
    # by the tower property the responsibilities of exact draws average to it; 4,000 draws, five standard errors
    x = wide.prior.posterior(wide.likelihood, wide.y).sample(4000)
    assert (by_component.of(x, (1, 1, 1)).mean(0) - weights).abs().max() < 5 * 0.5 / 4000**0.5


def test_points_belong_to_the_nearest_image():
    images = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0)) * 2 - 1
    groups = ComponentGroups(EmpiricalPrior(images), torch.tensor([0, 1, 2, 0, 1, 2]), "abc")
    nearby = images + 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    assert groups.of(nearby, (1, 4, 4)).argmax(-1).tolist() == [0, 1, 2, 0, 1, 2]


def test_what_cannot_be_is_refused():
    problem, truth, groups = two_groups(1.0, size=4)
    with pytest.raises(ShapeError, match="as many labels"):
        ComponentGroups(problem.prior, torch.zeros(3).long(), "ab")
    with pytest.raises(InvalidValueError, match="from 0 to 1"):
        ComponentGroups(problem.prior, torch.tensor([0, 2]), "ab")
    with pytest.raises(IncompatibleError, match="without probability"):
        ComponentGroups(problem.prior, torch.tensor([0, 0]), "ab").equalised()
    with pytest.raises(InvalidValueError, match="different names"):
        FairnessStudy({"toy": (problem, truth)}, [ExactSamples(), ExactSamples()], groups)
    with pytest.raises(ShapeError, match="'toy'"):
        FairnessStudy({"toy": (problem, truth[:3])}, [ExactSamples()], groups)
    with pytest.raises(InvalidValueError, match="even"):
        FairnessStudy({"toy": (problem, truth)}, [ExactSamples()], groups).run(3)
    p = memberships(torch.rand(4, dtype=DOUBLE))
    with pytest.raises(ShapeError, match="all alike"):
        fairness(p, p, p[:3])
    with pytest.raises(InvalidValueError, match="sum to 1"):
        fairness(p, p, 2 * p)


def test_exact_probabilities_stand_in_for_truths_only_if_these_are_of_the_prior():
    problem, truth, groups = two_groups(1e3)
    others = -truth  # the shares of the two groups change places: a model that is wrong
    measured = FairnessStudy({"toy": (problem, others)}, [ExactSamples()], groups).run(64, progress=False)
    found = measured.findings[0].fairness
    assert found.conditional is None
    # P(X̂) is the model's .867, P(X) is .133, up to a standard error of .006
    assert float(found.representation.value[0]) == pytest.approx(0.734, abs=0.03)
    # nor do they come from components that are not those with labels
    assert groups.given(two_groups(1.0, torch.tensor([0.2, 0.3, 0.5], dtype=DOUBLE), size=3)[0]) is None


def test_the_report_is_a_table():
    problem, truth, groups = two_groups(1.0, size=40)
    report = FairnessStudy({"toy": (problem, truth)}, [ExactSamples(), MixtureMAP()], groups).run(8, progress=False)
    table = cells(str(report))
    assert len(table) == 3 and table[2][:2] == ["toy", "MAP"] and "group 0" in table[2][5]
    assert isinstance(report.findings[0].errors["PSNR (dB)"], Interval)
