import pytest
import torch

from posterior import GaussianLikelihood, Posterior
from posterior.errors import IncompatibleError, InvalidValueError, NotFiniteError, ShapeError
from posterior.operators import Inpainting, Matrix, Operator, Stack
from tests.problems import DOUBLE, mixture, mixture_problem

SINGLE = Operator.from_callable(lambda x: x.abs(), event_shape=(2,), measurement_shape=(2,), dtype=torch.float32)
ELSEWHERE = Operator.from_callable(torch.abs, event_shape=(2,), measurement_shape=(2,), device="cpu").to("meta")
SPECTRUM = Operator.from_callable(torch.fft.fft, event_shape=(2,), measurement_shape=(2,), linear=True)
LINE = Matrix(torch.tensor([[1.0, 0.5]], dtype=DOUBLE))


def problem(y, operator=LINE, noise_std=0.1, **kwargs):
    return Posterior(mixture(), GaussianLikelihood(operator, noise_std), y, **kwargs)


def test_select_takes_measurements_with_their_own_noise():
    y = torch.tensor([[1.0], [2.0], [3.0]], dtype=DOUBLE)
    whole = problem(y, noise_std=torch.tensor([0.1, 0.2, 0.3], dtype=DOUBLE), ids=["a", "b", "c"])
    part = whole.select([2, 0])
    x = torch.randn(4, 3, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))
    assert part.ids == ["c", "a"]
    assert torch.equal(part.log_likelihood(x[:, [2, 0]]), whole.log_likelihood(x)[:, [2, 0]])


def test_gradient_is_that_of_the_log_likelihood():
    x = torch.randn(2, 1, 2, dtype=DOUBLE, generator=torch.Generator().manual_seed(0)).requires_grad_()
    one = mixture_problem()
    (expected,) = torch.autograd.grad(one.log_likelihood(x).sum(), x)
    assert torch.allclose(one.log_likelihood_grad(x.detach()), expected)


def test_moves_to_another_precision():
    moved = mixture_problem().to(dtype=torch.float32)
    assert moved.dtype == torch.float32
    assert moved.log_likelihood(torch.zeros(1, 1, 2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("y", "kwargs", "error", "message"),
    [
        (torch.ones(1, dtype=DOUBLE), {}, ShapeError, r"y\[None\]"),
        (torch.ones(2, 3, dtype=DOUBLE), {}, ShapeError, r"expected \(B, 1\)"),
        (torch.tensor([[1.0], [float("nan")]], dtype=DOUBLE), {}, NotFiniteError, r"measurement\(s\) \[1\]"),
        (torch.ones(1, 1, dtype=torch.int64), {}, InvalidValueError, "float"),
        (torch.ones(1, 1), {}, IncompatibleError, "float32"),
        (torch.ones(2, 1, dtype=DOUBLE), {"ids": ["a", "a"]}, InvalidValueError, "distinct"),
        (torch.ones(2, 1, dtype=DOUBLE), {"ids": ["a"]}, InvalidValueError, "ids"),
        (torch.ones(2, 1, dtype=DOUBLE), {"noise_std": torch.ones(3, dtype=DOUBLE)}, ShapeError, "3 entries for 2"),
        (torch.ones(1, 3, dtype=DOUBLE), {"operator": Matrix(torch.eye(3, dtype=DOUBLE))}, IncompatibleError, "prior"),
        (torch.ones(1, 2, dtype=DOUBLE), {"operator": Inpainting(torch.tensor([True, False]))}, InvalidValueError, "restrict"),  # noqa: E501
        (torch.ones(1, 2, dtype=DOUBLE), {"operator": SINGLE}, IncompatibleError, "CallableOperator works in torch.float32"),  # noqa: E501
        (torch.ones(1, 2, dtype=DOUBLE), {"operator": ELSEWHERE}, IncompatibleError, "CallableOperator on meta"),
        (torch.ones(1, 2, dtype=DOUBLE), {"operator": Stack([LINE, Matrix(torch.ones(1, 2))])}, IncompatibleError, "Matrix works in torch.float32"),  # noqa: E501
        (torch.ones(1, 2, dtype=DOUBLE), {"operator": SPECTRUM}, IncompatibleError, "y is real, .* measures complex"),
        (torch.ones(1, 1, dtype=torch.complex128), {}, IncompatibleError, "y is complex, .* Matrix measures real"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(y, kwargs, error, message):
    with pytest.raises(error, match=message):
        problem(y, **kwargs)
