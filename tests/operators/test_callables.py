import pytest
import torch
from torch import nn

from posterior.errors import IncompatibleError, ShapeError
from posterior.operators import Inpainting, LinearOperator, Operator, Stack
from tests.operators.case import Case
from tests.operators.checks import assert_close, check_batching, check_operator, materialise, random_images

EVENT = (1, 4, 5)
SHARED_CASES = {"classifier": Case("classifier:folder=digits", event_shape=(1, 28, 28))}


def linear(function, event_shape=EVENT, measurement_shape=EVENT, **options):
    return Operator.from_callable(
        function, event_shape=event_shape, measurement_shape=measurement_shape, linear=True, **options
    )


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(1, 2, 3, bias=False)

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize(
    ("function", "measurement_shape"),
    [
        (lambda x: x.cumsum(-1), EVENT),
        (lambda x: torch.fft.rfft2(x), (1, 4, 3)),
        (lambda x: x[:, 0, 1:3, ::2], (2, 3)),
        (lambda x: x.sum((1, 2, 3)), ()),
    ],
)
def test_linear_functions(function, measurement_shape):
    if measurement_shape == ():
        operator = linear(function, EVENT, ())
        assert_close(operator.adjoint(torch.tensor(2.0)), torch.full(EVENT, 2.0))
    else:
        check_operator(linear(function, EVENT, measurement_shape))


def test_a_module_moves_with_the_operator():
    torch.manual_seed(0)
    check_operator(linear(Convolution(), EVENT, (2, 2, 3)))


def test_a_nonlinear_function():
    operator = Operator.from_callable(lambda x: x.abs().sqrt(), event_shape=EVENT, measurement_shape=EVENT)
    assert not isinstance(operator, LinearOperator)
    check_batching(operator)


def test_complex_measurements_give_the_real_part():
    phase = torch.polar(torch.ones(EVENT, dtype=torch.float64), torch.arange(20.0, dtype=torch.float64).reshape(EVENT))
    operator = linear(lambda x: phase * x, dtype=torch.float64)
    y = torch.complex(random_images(operator, 3), random_images(operator, 3, seed=9))
    assert_close(operator.adjoint(y), (phase.conj() * y).real)


def test_the_adjoint_works_without_gradients_and_can_be_differentiated():
    operator = linear(lambda x: 3 * x.cumsum(-1))
    y = random_images(operator)
    with torch.no_grad():
        image = operator.adjoint(y)
    assert not image.requires_grad
    y.requires_grad_()
    weights = random_images(operator, seed=4)
    (operator.adjoint(y) * weights).sum().backward()
    assert_close(y.grad, operator(weights))


def test_a_function_of_another_precision():
    matrix = torch.arange(12.0, dtype=torch.float64).reshape(3, 4)
    with pytest.raises(IncompatibleError, match="dtype="):
        linear(lambda x: x @ matrix.T, (4,), (3,))
    operator = linear(lambda x: x @ matrix.T, (4,), (3,), dtype=torch.float64)
    exact = float(torch.linalg.matrix_norm(materialise(operator), 2))
    for whole in (operator, Stack([operator]), Inpainting(torch.ones(3, dtype=torch.bool)) @ operator):
        assert 1 <= float(whole.norm()) / exact <= 1.05


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x + 1, "is not linear"),
        (lambda x: x.square(), "is not linear"),
        (lambda x: x.abs(), "is not linear"),
        (lambda x: x / x.flatten(1).norm(dim=1)[:, None, None, None], "is not linear"),
        (lambda x: x * torch.nan, "is not linear"),
        (lambda x: x.detach(), "cannot differentiate"),
        (lambda x: x + x.flip(-1).detach(), "detached"),
    ],
)
def test_functions_that_are_not_linear(function, message):
    with pytest.raises(IncompatibleError, match=message):
        linear(function)


def test_a_linear_function_does_not_follow_complex_measurements():
    spectrum = linear(torch.fft.fft2)
    with pytest.raises(IncompatibleError, match="as one function"):
        (linear(torch.fft.ifft2) @ spectrum)(torch.zeros(EVENT))


def test_precision_and_device_are_declared_where_they_are_given():
    free = linear(lambda x: 2 * x)
    assert (free.dtype, free.device) == (None, None)
    double = linear(lambda x: 2 * x, dtype=torch.float64)
    assert (double.dtype, double.device) == (torch.float64, torch.device("cpu"))
    assert double.float().dtype == torch.float32 and not double.state_dict()
    meta = linear(lambda x: 2 * x, device="cpu").to("meta")
    assert (meta.dtype, meta.device) == (None, torch.device("meta"))
    assert linear(Convolution().double(), EVENT, (2, 2, 3)).dtype == torch.float64


def test_the_trial_runs_in_the_declared_precision():
    seen = []

    def record(x):
        seen.append(x.dtype)
        return x

    for dtype, expected in ((None, torch.float32), (torch.float64, torch.float64)):
        seen.clear()
        Operator.from_callable(record, event_shape=EVENT, measurement_shape=EVENT, dtype=dtype)
        assert len(seen) == 4 and set(seen) == {expected}


@pytest.mark.parametrize("is_linear", [False, True])
@pytest.mark.parametrize("function", [lambda x: x[:, 0], lambda x: x.sum(0, keepdim=True), lambda x: [x]])
def test_functions_of_another_shape(function, is_linear):
    with pytest.raises(ShapeError, match="returned"):
        Operator.from_callable(function, event_shape=EVENT, measurement_shape=EVENT, linear=is_linear)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_linearity_is_judged_by_the_size_of_what_is_measured(scale):
    linear(lambda x: scale * x.cumsum(-1), dtype=torch.float64)
    with pytest.raises(IncompatibleError, match="not linear"):
        linear(lambda x: scale * (x.cumsum(-1) + 1e-6 * x**2), dtype=torch.float64)


def test_a_function_of_doubles_may_work_in_single_precision():
    linear(lambda x: x.float().cumsum(-1).double(), dtype=torch.float64)
