import pytest
import torch

from posterior.errors import IncompatibleError
from posterior.operators import Inpainting, Magnitude, Matrix, Operator
from tests.operators.case import MATRIX, Case
from tests.operators.checks import check_batching, random_images
from tests.problems import DOUBLE

SHARED_CASES = {
    "Magnitude": Case(
        "magnitude:operator=matrix:path={matrix}",
        lambda x: (torch.from_numpy(MATRIX).to(x) @ x.flatten()).abs(),
        {"matrix": MATRIX},
    ),
}


def fourier(n: int = 4) -> Operator:
    return Operator.from_callable(
        lambda x: torch.fft.fft(x.to(torch.complex128)),
        event_shape=(n,), measurement_shape=(n,), linear=True, dtype=DOUBLE,
    )  # fmt: skip


def test_values_are_real():
    x = torch.tensor([[3.0, -4.0]], dtype=DOUBLE)
    assert torch.equal(Magnitude(Matrix(torch.eye(2, dtype=DOUBLE)))(x), x.abs())
    spectrum = Magnitude(fourier(2))(x)
    assert spectrum.dtype == DOUBLE and torch.allclose(spectrum, torch.tensor([[1.0, 7.0]], dtype=DOUBLE))


@pytest.mark.parametrize("operator", [fourier(), Inpainting(torch.arange(4) % 2 == 0)])
def test_gradient(operator):
    x = random_images(operator, 3).requires_grad_()
    assert torch.autograd.gradcheck(Magnitude(operator), x)
    zero = torch.zeros(2, 4, dtype=DOUBLE, requires_grad=True)
    (gradient,) = torch.autograd.grad(Magnitude(operator)(zero).sum(), zero)
    assert not gradient.any()


def test_masks_are_those_of_the_linear_operator():
    masks = torch.tensor([[True, False, True], [False, True, False]])
    magnitude = Magnitude(Inpainting(masks, (3,)))
    check_batching(magnitude)
    assert magnitude.num_measured.tolist() == [2, 1]
    y = torch.ones(2, 3)
    assert torch.equal(magnitude.restrict(y), masks.float())
    one = magnitude.select(torch.tensor([1]))
    assert isinstance(one, Magnitude) and torch.equal(one.restrict(y[:1]), masks[1:].float())
    shared = Magnitude(Inpainting(masks[0]))
    assert shared.select(torch.tensor([1])) is shared


def test_what_is_not_linear_is_refused():
    with pytest.raises(IncompatibleError, match="linear"):
        Magnitude(Magnitude(fourier()))
