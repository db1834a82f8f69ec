import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from posterior.errors import IncompatibleError, InvalidValueError, ShapeError
from posterior.noise import Noise
from posterior.operators import Identity, Matrix
from tests.operators.case import MATRIX, Case
from tests.operators.checks import assert_close, check_operator, random_images

SHARED_CASES = {
    "Matrix": Case("matrix:path={matrix}", lambda x: torch.from_numpy(MATRIX).to(x) @ x.flatten(), {"matrix": MATRIX}),
}


def random_matrix(m, n, seed=5):
    return Noise.of(seed, dtype=torch.float64).normal((m, n))[0, 0]


@settings(max_examples=15, deadline=None)
@given(m=st.integers(1, 12), shape=st.sampled_from([(6,), (2, 3), (1, 3, 4)]))
def test_matrix(m, shape):
    check_operator(Matrix(random_matrix(m, torch.Size(shape).numel()), shape))


def test_values():
    matrix = random_matrix(4, 6)
    operator = Matrix(matrix, (2, 3))
    x = random_images(operator, 5)
    torch.testing.assert_close(operator(x), x.reshape(5, 6) @ matrix.T)
    assert Matrix(matrix).event_shape == (6,)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (5, 5)])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-13)])
def test_gram_function_of_a_singular_matrix(shape, dtype, tolerance):
    """Singular values from 1 down to 1e-6 and 0: none is amplified."""
    u, _, v = Matrix(random_matrix(*shape)).svd()
    s = torch.tensor([1, 1, 1e-2, 1e-4, 1e-6][: u.shape[1] - 1] + [0.0], dtype=torch.float64)
    operator = Matrix((u * s) @ v.T).to(dtype)
    x = random_images(operator, 3)
    expected = x + (x @ v * ((1 - 0.9 * s**2).sqrt() - 1)) @ v.T
    assert_close(operator.gram_function(lambda lam: (1 - 0.9 * lam).sqrt(), x.to(dtype)), expected.to(dtype), tolerance)


def test_svd():
    operator = Matrix(random_matrix(4, 6))
    u, s, v = operator.svd()
    assert (u.shape, s.shape, v.shape) == ((4, 4), (4,), (6, 4))
    torch.testing.assert_close(u @ torch.diag(s) @ v.T, operator.matrix)
    assert operator.svd().s is s


def test_what_is_cached_follows_the_matrix():
    operator = Matrix(random_matrix(4, 6))
    norm = operator.norm()
    operator.svd()
    assert operator.to(torch.float32).svd().s.dtype == torch.float32
    assert operator.norm().dtype == torch.float32
    operator.matrix *= 2
    torch.testing.assert_close(operator.norm().double(), 2 * norm, rtol=1e-6, atol=0)
    torch.testing.assert_close(operator.svd().s[0].double(), 2 * norm, rtol=1e-6, atol=0)
    twin = copy.deepcopy(operator)
    twin.load_state_dict(Matrix(random_matrix(4, 6)).state_dict())
    torch.testing.assert_close(twin.norm().double(), norm, rtol=1e-6, atol=0)


def test_what_is_cached_serves_automatic_differentiation():
    operator = Matrix(random_matrix(4, 6))
    with torch.inference_mode():
        operator.svd()
    x = random_images(operator).requires_grad_()
    operator.gram_function(lambda values: 1 + values, x).sum().backward()
    expected = (torch.eye(6, dtype=torch.float64) + operator.matrix.T @ operator.matrix).sum(0)
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Matrix(torch.ones(3, 4), (5,)), ShapeError, "n = 5"),
        (lambda: Matrix(torch.ones(3), (3,)), ShapeError, r"\(m, n\)"),
        (lambda: Matrix(torch.ones(3, 4, dtype=torch.complex64)), InvalidValueError, "real"),
        (lambda: Matrix(torch.full((3, 4), torch.inf)), InvalidValueError, "finite"),
        (lambda: Matrix(torch.ones(3, 4))(torch.ones(4, dtype=torch.float64)), IncompatibleError, "float64"),
        (lambda: Matrix(torch.ones(3, 4)).adjoint(torch.ones(3, dtype=torch.float64)), IncompatibleError, "float64"),
        (lambda: Identity((3,)).svd(), IncompatibleError, "Identity"),
    ],
)
def test_errors(make, error, message):
    with pytest.raises(error, match=message):
        make()
