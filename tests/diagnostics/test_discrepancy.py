import math

import pytest
import torch
from scipy.stats import energy_distance as scipy_energy_distance
from scipy.stats import wasserstein_distance
from torch import Tensor

from posterior.diagnostics import (
    covariance_error,
    energy_distance,
    mean_error,
    mode_weight_error,
    sliced_wasserstein,
    sliced_wasserstein_monte_carlo_error,
)
from posterior.errors import InvalidValueError, NotFiniteError, ShapeError
from posterior.noise import Noise


def gaussian(count: int, event: tuple[int, ...], seed: int) -> Tensor:
    return Noise.of(seed, 1, count, dtype=torch.float64).normal(event)[:, 0]


@pytest.mark.parametrize("order", [1, 2, 3.5])
def test_equal_sets_are_at_distance_zero(order: float) -> None:
    a = gaussian(50, (2, 3), 0)
    assert sliced_wasserstein(a, a, order=order).item() == 0
    shuffled = a[torch.randperm(50, generator=torch.Generator().manual_seed(0))]
    assert sliced_wasserstein(a, shuffled, order=order).item() == pytest.approx(0, abs=1e-12)
    # every point three times over: the same distribution in a set of another size
    assert sliced_wasserstein(a, a.repeat(3, 1, 1), order=order).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_a_shift_in_one_dimension(order: float) -> None:
    a = gaussian(40, (1,), 0)
    assert sliced_wasserstein(a, a - 0.7, order=order).item() == pytest.approx(0.7, abs=1e-12)


def test_two_shifted_gaussians_in_one_dimension() -> None:
    # W1 is the shift; the mean difference bounds it from below, and E W1 of N(0, 1) to its N draws is under 1/√N (each)
    size, shift = 2000, 1.5
    a, b = gaussian(size, (1,), 0), gaussian(size, (1,), 1) + shift
    assert abs(sliced_wasserstein(a, b).item() - shift) < 4 / math.sqrt(size)


@pytest.mark.parametrize(("size_a", "size_b"), [(7, 7), (7, 12), (12, 7), (1, 5), (6, 9)])
def test_one_dimension_equals_scipy(size_a: int, size_b: int) -> None:
    a, b = gaussian(size_a, (), 0), 2 * gaussian(size_b, (), 1) + 0.3
    assert sliced_wasserstein(a, b).item() == pytest.approx(wasserstein_distance(a.numpy(), b.numpy()), abs=1e-12)


def test_order_two_of_different_sizes_by_hand() -> None:
    # quantile functions of {0, 1} and {0, 1, 2} differ by 0, 1, 0, 1 on thirds and sixths: ∫ = 1/6 + 1/3
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [0.0], [1.0]])
    assert sliced_wasserstein(a, b, order=2).item() == pytest.approx(math.sqrt(1 / 6 + 1 / 3), abs=1e-6)


def test_a_shift_in_many_dimensions() -> None:
    # SW2² of a shift is E⟨θ, s⟩² = ‖s‖²/d; ⟨θ, s⟩² has variance 2(d − 1)‖s‖⁴/(d²(d + 2)); bound: 4 standard errors
    dim, directions = 12, 4000
    a = gaussian(20, (3, 2, 2), 0)
    squared = sliced_wasserstein(a, a + 1, directions, order=2).item() ** 2
    assert abs(squared - 1) < 4 * math.sqrt(2 * (dim - 1) / (dim + 2) / directions)


def test_directions_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = gaussian(30, (4,), 0), 2 * gaussian(20, (4,), 1)
    distance = sliced_wasserstein(a, b, 50, seed=3)
    assert torch.equal(distance, sliced_wasserstein(a, b, 50, seed=3))
    assert not torch.equal(distance, sliced_wasserstein(a, b, 50, seed=4))
    torch.testing.assert_close(distance, sliced_wasserstein(b, a, 50, seed=3))
    monkeypatch.setattr("posterior.diagnostics.discrepancy._CHUNK", 1)
    torch.testing.assert_close(distance, sliced_wasserstein(a, b, 50, seed=3))


def test_monte_carlo_error_is_the_mean_over_pairs_and_falls_with_size() -> None:
    sets = [gaussian(100, (3,), seed) for seed in range(3)]
    pairs = [sliced_wasserstein(sets[i], sets[j], 60) for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(sliced_wasserstein_monte_carlo_error(sets, 60), torch.stack(pairs).mean())
    larger = sliced_wasserstein_monte_carlo_error([gaussian(1600, (3,), seed) for seed in range(3)], 60)
    assert larger < 0.5 * torch.stack(pairs).mean()  # it scales as 1/√N: a quarter


def test_monte_carlo_error_needs_two_sets() -> None:
    with pytest.raises(InvalidValueError, match="two sets"):
        sliced_wasserstein_monte_carlo_error([gaussian(10, (2,), 0)])


def test_mean_error_in_closed_form() -> None:
    samples = torch.tensor([[1.0, 0.0], [3.0, 2.0]])  # mean (2, 1)
    error = mean_error(samples, torch.tensor([2.0, -4.0]), torch.tensor([3.0, 4.0]))
    assert error.item() == pytest.approx(5 / 5)


def test_mean_error_of_exact_draws() -> None:
    # N·error²/1 is chi-squared with d degrees over d here: mean 1, variance 2/d; bound: 4 standard deviations
    size, dim = 400, 200
    error = mean_error(gaussian(size, (2, 100), 0), torch.zeros(2, 100), torch.ones(2, 100)).item()
    assert abs(size * error**2 - 1) < 4 * math.sqrt(2 / dim)


def test_covariance_error_in_closed_form() -> None:
    samples = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # covariance 2/3 · identity
    assert covariance_error(samples, torch.eye(2)).item() == pytest.approx(1 / 3)
    assert covariance_error(samples + 5, 2 / 3 * torch.eye(2)).item() == pytest.approx(0, abs=1e-6)


def test_covariance_error_of_exact_draws() -> None:
    # mean square (1 + d)/(N − 1) for the identity; over many entries it is close to its mean
    size, dim = 500, 40
    error = covariance_error(gaussian(size, (dim,), 0), torch.eye(dim)).item()
    assert error**2 == pytest.approx((1 + dim) / (size - 1), rel=0.25)


def test_energy_distance_equals_scipy() -> None:
    a, b = gaussian(40, (1,), 0), 2 * gaussian(25, (1,), 1) + 0.5
    expected = scipy_energy_distance(a[:, 0].numpy(), b[:, 0].numpy()) ** 2  # scipy gives the root
    assert energy_distance(a, b).item() == pytest.approx(expected, abs=1e-9)
    assert energy_distance(a, a).item() == pytest.approx(0, abs=1e-12)


def test_energy_distance_of_exact_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    # mean (1/N + 1/M) E‖x − x'‖ with E‖x − x'‖ ≈ √(2d) in many dimensions, where it hardly varies
    a, b = gaussian(300, (5, 20), 0), gaussian(200, (5, 20), 1)
    distance = energy_distance(a, b)
    assert distance.item() == pytest.approx((1 / 300 + 1 / 200) * math.sqrt(200), rel=0.1)
    assert energy_distance(a, b + 0.2) > 3 * distance
    monkeypatch.setattr("posterior.diagnostics.discrepancy._CHUNK", 1000)
    torch.testing.assert_close(energy_distance(a, b), distance)


def test_mode_weight_error() -> None:
    exact = torch.tensor([0.5, 0.3, 0.2])
    weights = torch.tensor([[0.5, 0.3, 0.2], [0.7, 0.1, 0.2], [0.0, 0.0, 1.0]])
    torch.testing.assert_close(mode_weight_error(weights, exact), torch.tensor([0.0, 0.2, 0.8]))


def test_mode_weight_error_of_what_are_no_weights() -> None:
    exact = torch.tensor([0.5, 0.5])
    with pytest.raises(ShapeError, match="weights"):
        mode_weight_error(torch.tensor([0.2, 0.3, 0.5]), exact)
    for bad in ([0.5, 0.6], [1.5, -0.5], [math.nan, 1.0]):
        with pytest.raises(InvalidValueError, match="sum one"):
            mode_weight_error(torch.tensor(bad), exact)


@pytest.mark.parametrize("distance", [sliced_wasserstein, energy_distance])
def test_point_sets_that_do_not_fit(distance) -> None:  # type: ignore[no-untyped-def]
    a = gaussian(10, (2, 3), 0)
    with pytest.raises(ShapeError, match="same event"):
        distance(a, gaussian(10, (3, 2), 0))
    with pytest.raises(ShapeError, match="not empty"):
        distance(a, a[:0])
    bad = a.clone()
    bad[3, 1, 1] = math.nan
    with pytest.raises(NotFiniteError, match="1 of 60 values"):
        distance(a, bad)
    with pytest.raises(InvalidValueError, match="floating"):
        distance(a.int(), a.int())


def test_arguments_that_make_no_sense() -> None:
    a = gaussian(10, (3,), 0)
    for arguments in ({"num_projections": 0}, {"order": 0.5}):
        with pytest.raises(InvalidValueError, match="≥ 1"):
            sliced_wasserstein(a, a, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="exact_mean"):
        mean_error(a, torch.zeros(2), torch.ones(3))
    with pytest.raises(InvalidValueError, match="exact_std"):
        mean_error(a, torch.zeros(3), torch.zeros(3))
    with pytest.raises(ShapeError, match="exact_cov"):
        covariance_error(a, torch.eye(2))
    with pytest.raises(InvalidValueError, match="exact_cov"):
        covariance_error(a, torch.zeros(3, 3))
