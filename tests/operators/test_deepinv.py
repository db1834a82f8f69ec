"""Operators of deepinv; of a stand-in with its interface, and of the library itself where it is installed."""

import pytest
import torch
from torch import Tensor, nn

from posterior.errors import IncompatibleError
from posterior.operators import LinearOperator, Operator
from tests.operators.checks import assert_close, check_operator, random_images


class Physics(nn.Module):
    """What deepinv gives its linear operators: noise in forward, and none in A."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("weight", torch.tensor([[1.0, -2.0], [0.5, 3.0], [0.0, 1.0]], dtype=torch.float64))
        self.scale = scale

    def A(self, x: Tensor, **kwargs: object) -> Tensor:  # noqa: N802
        return x @ self.weight.T

    def A_adjoint(self, y: Tensor, **kwargs: object) -> Tensor:  # noqa: N802
        return self.scale * (y @ self.weight)

    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("the noisy call")


class InSingle(Physics):
    """The same in single precision, whatever it is given."""

    def A(self, x: Tensor, **kwargs: object) -> Tensor:  # noqa: N802
        return super().A(x.float().double()).float().to(x.dtype)

    def A_adjoint(self, y: Tensor, **kwargs: object) -> Tensor:  # noqa: N802
        return super().A_adjoint(y.float().double()).float().to(y.dtype)


class Nonlinear(nn.Module):
    def A(self, x: Tensor) -> Tensor:  # noqa: N802
        return x.abs()


class Parts:
    def A(self, x: Tensor) -> list[Tensor]:  # noqa: N802
        return [x, x]


def test_a_linear_one_by_its_two_functions():
    operator = Operator.from_deepinv(Physics(), (1, 4, 2))
    assert isinstance(operator, LinearOperator) and operator.measurement_shape == (1, 4, 3)
    check_operator(operator)


def test_one_of_single_precision():
    assert isinstance(Operator.from_deepinv(InSingle(), (1, 4, 2)), LinearOperator)


def test_a_nonlinear_one():
    operator = Operator.from_deepinv(Nonlinear(), (1, 2, 3))
    x = random_images(operator, 2)
    assert not isinstance(operator, LinearOperator) and torch.equal(operator(x), x.abs())


@pytest.mark.parametrize(
    ("physics", "words"),
    [(Physics(1.01), "not the adjoint"), (Parts(), "measures a list"), (nn.Identity(), "does not measure")],
)
def test_what_does_not_fit_is_refused(physics, words):
    with pytest.raises(IncompatibleError, match=words):
        Operator.from_deepinv(physics, (1, 2, 2))


def test_operators_of_the_library_itself():
    deepinv = pytest.importorskip("deepinv", reason="the extra `peers` is not installed")
    physics = deepinv.physics
    kernel = torch.ones(1, 1, 3, 3) / 9
    for one, shape in [
        (physics.Inpainting((1, 8, 8), mask=0.5), (1, 8, 8)),
        (physics.Blur(kernel, padding="circular"), (1, 8, 8)),
        (physics.Downsampling(img_size=(1, 8, 8), factor=2), (1, 8, 8)),
        (physics.MRI(torch.ones(8, 8)), (2, 8, 8)),
    ]:
        one.set_noise_model(physics.GaussianNoise(0.5))
        operator = Operator.from_deepinv(one, shape)
        assert isinstance(operator, LinearOperator)
        x = random_images(operator, 2, dtype=torch.float32)
        assert_close(operator(x), one.A(x), 1e-5)
        assert torch.equal(operator(x), operator(x))
