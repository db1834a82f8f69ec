import math

import pytest
import torch

from posterior.diagnostics import restricted_eigenvalue
from posterior.errors import InvalidValueError
from posterior.networks.perceptron import Perceptron
from posterior.operators import GaussianMeasurement, Identity, Matrix
from posterior.priors.generators import NetworkGenerator
from tests.problems import mixture

LINEAR = NetworkGenerator(Perceptron([3, 12], slope=1.0).double().requires_grad_(False))
RELU = NetworkGenerator(Perceptron([3, 20, 12]).double().requires_grad_(False))


def test_of_a_linear_generator_it_is_the_least_singular_value() -> None:
    """x₁ − x₂ = W(z₁ − z₂), whose ratios lie between the singular values of A on the columns' space."""
    operator = GaussianMeasurement((12,), 5).double()
    w = LINEAR.get_submodule("network.layers.0.0").weight
    q = torch.linalg.qr(w).Q
    singular = torch.linalg.svdvals(operator.algorithm.matrix @ q)
    found = restricted_eigenvalue(operator, LINEAR, num_pairs=16, steps=300)
    assert found.gamma == pytest.approx(float(singular[-1]), rel=1e-3)
    for ratios, count in zip(found, (16, 16, 32), strict=True):
        assert ratios.shape == (count,)
        assert float(ratios.min()) >= float(singular[-1]) - 1e-9
        assert float(ratios.max()) <= float(singular[0]) + 1e-9
    assert float(found.random.min()) > 1.05 * found.gamma  # random pairs do not find it


def test_adversarial_pairs_are_no_better_than_those_they_begin_at() -> None:
    found = restricted_eigenvalue(GaussianMeasurement((12,), 6).double(), RELU, num_pairs=8, steps=20)
    assert (found.adversarial <= torch.cat([found.random, found.near])).all()
    assert float(found.adversarial.min()) < 0.9 * float(found.random.min())


def test_what_sees_everything_has_ratios_of_one() -> None:
    found = restricted_eigenvalue(Identity((12,)), RELU, num_pairs=4, steps=5)
    assert all(torch.allclose(ratios, torch.ones_like(ratios)) for ratios in found)


def test_an_operator_that_sees_nothing_of_a_direction() -> None:
    w = LINEAR.get_submodule("network.layers.0.0").weight
    q = torch.linalg.qr(w).Q
    blind = Matrix((q[:, :2] @ q[:, :2].T).contiguous())  # to the third direction of three
    assert restricted_eigenvalue(blind, LINEAR, num_pairs=8, steps=300).gamma < 0.02


def test_seeds_reproduce_and_arguments_are_checked() -> None:
    first, again, other = (
        restricted_eigenvalue(GaussianMeasurement((12,), 6).double(), RELU, num_pairs=4, steps=3, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.adversarial, again.adversarial) and not torch.equal(first.random, other.random)
    assert math.isfinite(first.gamma)
    with pytest.raises(InvalidValueError, match="prior"):
        restricted_eigenvalue(Identity((2,)), mixture())  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="num_pairs"):
        restricted_eigenvalue(Identity((12,)), RELU, num_pairs=1)
