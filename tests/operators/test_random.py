import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.operators import GaussianMeasurement, Matrix
from tests.operators.case import Case
from tests.operators.checks import check_operator, materialise, random_images

SHARED_CASES = {
    "GaussianMeasurement": Case("GaussianMeasurement:num_measurements=5"),
    "gaussian": Case("gaussian:num_measurements=5,seed=2"),
    "gaussian, circulant": Case("gaussian:num_measurements=5,kind=circulant"),
}


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["dense", "circulant"]),
    shape=st.sampled_from([(7,), (2, 4), (1, 3, 5)]),
    m=st.integers(1, 7),
    seed=st.integers(0, 3),
)
def test_gaussian_measurement(kind, shape, m, seed):
    check_operator(GaussianMeasurement(shape, m, seed, kind))


@pytest.mark.parametrize("kind", ["dense", "circulant"])
def test_entries_have_mean_zero_and_variance_one_over_m(kind):
    m, n = 100, 400
    entries = materialise(GaussianMeasurement((1, 20, 20), m, kind=kind).to(torch.float64)) * m**0.5
    # Standard errors: of the mean 1/√N and of the variance √(2/N), with N independent entries (n of a circulant's);
    # the circulant's random signs make its mean one of N = mn nearly uncorrelated entries.
    independent = m * n if kind == "dense" else n
    assert abs(entries.mean()) < 4 / independent**0.5
    assert abs(entries.square().mean() - 1) < 4 * (2 / independent) ** 0.5


@pytest.mark.parametrize("kind", ["dense", "circulant"])
def test_the_seed_decides(kind):
    x = random_images(GaussianMeasurement((10,), 5), dtype=torch.float32)
    first, again, other = (GaussianMeasurement((10,), 5, seed, kind)(x) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_dense_is_a_matrix_whose_spectrum_is_known():
    operator = GaussianMeasurement((2, 5), 4)
    matrix = Matrix(materialise(operator.double()), (2, 5))
    for found, expected in zip(operator.svd(), matrix.svd(), strict=True):
        torch.testing.assert_close(found.abs(), expected.abs())
    assert operator.knows_spectrum and not GaussianMeasurement((10,), 4, kind="circulant").knows_spectrum


@pytest.mark.parametrize("kind", ["dense", "circulant"])
def test_types_and_errors_name_the_public_class(kind):
    operator = GaussianMeasurement((10,), 5, kind=kind)
    assert type(operator) is GaussianMeasurement
    for call in (operator, operator.adjoint, operator.gram, lambda x: operator.gram_function(torch.ones_like, x)):
        with pytest.raises(ShapeError, match="given to GaussianMeasurement"):
            call(torch.zeros(1, 7))
    if kind == "circulant":
        with pytest.raises(IncompatibleError, match="GaussianMeasurement has no cheap"):
            operator.svd()
    else:
        with pytest.raises(IncompatibleError, match=r"^a torch.float32 matrix was given torch.float64"):
            operator(torch.zeros(10, dtype=torch.float64))


def test_both_can_be_copied():
    for kind in ("dense", "circulant"):
        operator = GaussianMeasurement((10,), 5, kind=kind)
        x = random_images(operator, dtype=torch.float32)
        assert torch.equal(copy.deepcopy(operator)(x), operator(x))


def test_circulant_works_where_dense_is_too_large():
    operator = GaussianMeasurement((3, 256, 256), 20_000, kind="circulant")
    y = operator(random_images(operator, dtype=torch.float32))
    # ‖Ax‖²/‖x‖² is 1 ± √(2/m) up to the filter's own fluctuation of √(2/n)
    assert float(y.square().sum()) / (3 * 256 * 256) == pytest.approx(1, abs=5 * (2 / 20_000) ** 0.5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((3, 256, 256), 20_000), "circulant"),
        (((10,), 0), "an integer ≥ 1"),
        (((10,), 2.5), "an integer ≥ 1"),
        (((10,), 11, 0, "circulant"), "at most"),
        (((10,), 5, 0, "sparse"), "sparse"),
    ],
)
def test_errors(arguments, message):
    with pytest.raises(InvalidValueError, match=message):
        GaussianMeasurement(*arguments)
