import itertools

import pytest
import torch

from posterior.linalg import chebyshev, conjugate_gradients, largest_eigenvalue, shifted_inverse
from posterior.noise import Noise
from posterior.operators import LinearOperator
from tests.operators.checks import assert_close


class Diagonal(LinearOperator):
    """x → d ⊙ x, with nothing known but products; d may carry a B."""

    def __init__(self, diagonal):
        super().__init__(diagonal.shape[-1:], diagonal.shape[-1:])
        self.register_batched("diagonal", diagonal, 1)

    def _forward(self, x):
        return self.diagonal * x

    def _adjoint(self, y):
        return self.diagonal * y


def test_norm_when_few_distinct_eigenvalues_exhaust_the_space():
    for values in ([3.0] * 63, [2.0, 1.0] * 20, [0.0] * 30 + [1e-3]):
        operator = Diagonal(torch.tensor(values))
        assert float(operator.norm()) == pytest.approx(1.02 * max(values), rel=1e-5)


def test_norm_of_zero():
    operator = Diagonal(torch.zeros(5))
    assert float(operator.norm()) == 0
    x = torch.arange(5.0)
    assert_close(operator.gram_function(lambda values: (1 - values).sqrt(), x), x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_norm_of_a_large_slowly_decaying_spectrum(dtype):
    """Eigenvalues dense up to the edge, the hard case of Lanczos iteration."""
    values = torch.linspace(0, 1, 20_000, dtype=dtype).sqrt()
    assert 1 <= float(Diagonal(values).norm()) <= 1.05


def test_the_norm_of_each_measurement_is_its_own():
    diagonal = torch.stack([torch.linspace(0, 1, 50), torch.full((50,), 1e4), torch.zeros(50)])
    operator = Diagonal(diagonal)
    assert_close(operator.norm(), torch.tensor([1.02, 1.02e4, 0.0]), 1e-4)
    for b in range(3):
        assert_close(operator.norm()[[b]], operator.select(torch.tensor([b])).norm(), 1e-6)


def test_the_eigenvalue_is_a_lower_bound():
    diagonal = Noise.of(0, dtype=torch.float64).uniform((500,))[0, 0]
    value = largest_eigenvalue(lambda x: diagonal * x, torch.ones(500, dtype=torch.float64))
    assert float(value) <= float(diagonal.max()) * (1 + 1e-12)
    assert float(value) == pytest.approx(float(diagonal.max()), rel=1e-3)


def test_chebyshev_does_not_couple_measurements():
    diagonal = torch.stack([torch.linspace(0, 1, 20), torch.linspace(0, 100, 20)]).double()
    operator = Diagonal(diagonal)
    x = Noise.of(0, 2, dtype=torch.float64).normal((20,))[0]
    kappa = 0.9 / operator.norm() ** 2
    both = operator.gram_function(lambda v: (1 - kappa.reshape(-1, *[1] * v.ndim) * v).sqrt(), x)
    for b in range(2):
        one = Diagonal(diagonal[[b]])
        alone = one.gram_function(lambda v, b=b: (1 - kappa[b] * v).sqrt(), x[[b]])
        assert_close(both[[b]], alone, 1e-12)
        assert_close(alone[0], (1 - kappa[b] * diagonal[b] ** 2).sqrt() * x[b], 1e-12)


@pytest.mark.parametrize("function", [torch.zeros_like, torch.ones_like, lambda v: 2 * v])
def test_chebyshev_of_few_terms(function):
    diagonal = torch.linspace(0, 1, 7, dtype=torch.float64)
    x = torch.arange(7.0, dtype=torch.float64)
    bound = torch.tensor(1.0, dtype=torch.float64)
    assert_close(chebyshev(lambda v: diagonal * v, bound, function, x, 1), function(diagonal) * x, 1e-13)


def system(skew: float) -> tuple[torch.Tensor, torch.Tensor]:
    """I + S + K of 30 unknowns, S symmetric and positive with eigenvalues to 1,000, K antisymmetric; a right side."""
    noise = Noise.of(0, dtype=torch.float64)
    basis = torch.linalg.qr(noise.use("basis").normal((30, 30))[0, 0]).Q
    other = noise.use("other").normal((30, 30))[0, 0]
    symmetric = torch.eye(30, dtype=torch.float64) + basis @ torch.logspace(-2, 3, 30).double().diag() @ basis.T
    return symmetric + skew * (other - other.T), noise.use("side").normal((30,))[0]


def test_conjugate_gradients_solve():
    matrix, b = system(0.0)
    found = conjugate_gradients(lambda v: (v @ matrix.T, 2 * v), b, 1, 200, 1e-12)
    assert_close(found, 2 * torch.linalg.solve(matrix, b[0])[None], 1e-8)


@pytest.mark.parametrize("skew", [0.0, 10.0, 1000.0])
def test_conjugate_gradients_do_not_go_astray(skew):
    # Where the matrix is not symmetric they do not solve, but never do they leave more than there was, or than before
    matrix, b = system(skew)
    left = [float(b.norm())]
    for count in range(1, 12):
        found = conjugate_gradients(lambda v: (v @ matrix.T, v), b, 1, count, 0.0)
        left.append(float((b - found @ matrix.T).norm()))
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(left))


def test_conjugate_gradients_do_not_enlarge_the_rounding_of_products():
    """Condition 10⁶: a step makes rounding at most that many times larger, and 40 of them find the 40 unknowns."""
    values = torch.logspace(0, 6, 40, dtype=torch.float64)
    noise = Noise.of(0, 50, dtype=torch.float64)
    b, rounding = noise.normal((40,))[0], 1 + 1e-15 * noise.use("rounding").normal((40,))[0]
    one, other = (
        conjugate_gradients(lambda v, f=factor: (values * v * f, v), b, 1, 40, 1e-10)
        for factor in (torch.ones_like(b), rounding)
    )
    assert ((one - other).norm(dim=1) < 1e-9 * one.norm(dim=1)).all()
    assert ((values * one - b).norm(dim=1) < 1e-6 * b.norm(dim=1)).all()


def test_conjugate_gradients_stop_row_by_row():
    """A row that is near enough stays as it is while others go on; one whose system is not positive stays at zero."""
    values = torch.stack([torch.linspace(1, 9, 20), torch.linspace(1, 500, 20), torch.full((20,), -1.0)]).double()
    b = Noise.of(0, 3, dtype=torch.float64).normal((20,))[0]
    found = conjugate_gradients(lambda v: (values * v, v), b, 1, 20, 0.1)
    assert (0.01 * b.norm(dim=1) < (values * found - b).norm(dim=1))[:2].all()
    assert torch.equal(found[2], torch.zeros(20, dtype=torch.float64))
    for row in range(2):
        alone = conjugate_gradients(lambda v, r=row: (values[[r]] * v, v), b[[row]], 1, 20, 0.1)
        assert_close(alone[0], found[row], 1e-12)


def test_conjugate_gradients_leave_a_row_alone_that_has_stopped():
    """In single precision, what becomes of its residual while others go on must not overflow."""
    values = torch.stack([torch.linspace(1, 1.1, 64), torch.logspace(0, 4, 64), torch.full((64,), -1.0)])
    b = Noise.of(0, 3).normal((64,))[0]
    found = conjugate_gradients(lambda v: (values * v, v), b, 1, 40, 1e-3)
    assert_close(found[:1], conjugate_gradients(lambda v: (values[:1] * v, v), b[:1], 1, 40, 1e-3), 1e-6)
    assert found.isfinite().all() and not found[2].any()


def test_gradients_of_a_shifted_inverse_are_those_of_the_dense_one():
    noise = Noise.of(0, dtype=torch.float64)
    root = noise.use("matrix").normal((8, 6))[0, 0]
    gram, pull = root.T @ root, noise.use("pull").normal((3, 6))[0, 0]
    b, shift = noise.use("b").normal((3, 6))[0, 0].requires_grad_(), torch.tensor(0.3, dtype=torch.float64)
    shift.requires_grad_()

    def gradients(x):
        return torch.autograd.grad((pull * x.sin()).sum(), (b, shift))

    dense = torch.linalg.solve(gram + shift * torch.eye(6, dtype=torch.float64), b.T).T
    calls = []

    def product(v):
        assert not torch.is_grad_enabled()
        calls.append(v)
        return v @ gram

    found = shifted_inverse(product, shift, b, 1, 20, 1e-13)
    assert_close(found.detach(), dense.detach())
    for mine, other in zip(gradients(found), gradients(dense), strict=True):
        assert_close(mine, other)
    assert len(calls) <= 14  # six or seven each way: no record of the first solution is kept


def test_few_steps_of_a_shifted_inverse_have_the_gradient_of_as_many():
    """What MoDL does: the second system is solved by as many steps as the first."""
    gram = torch.diag(torch.arange(1.0, 7.0, dtype=torch.float64))
    b = torch.ones(1, 6, dtype=torch.float64, requires_grad=True)
    slope = torch.arange(6.0, dtype=torch.float64)[None]
    found = shifted_inverse(lambda v: v @ gram, torch.tensor(0.5, dtype=torch.float64), b, 1, 2, 1e-13)
    (mine,) = torch.autograd.grad(found, b, slope)

    def system(v):
        return v @ gram + 0.5 * v, v

    assert_close(mine, conjugate_gradients(system, slope, 1, 2, 1e-13))
