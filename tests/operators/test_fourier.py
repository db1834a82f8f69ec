import numpy as np
import pytest
import torch
from torch import Tensor

from posterior.errors import InvalidValueError, ShapeError
from posterior.noise import Noise
from posterior.operators import Fourier, LinearOperator
from posterior.operators.fourier import centred_fft, centred_ifft
from tests.operators.case import Case
from tests.operators.checks import assert_close, check_operator, random_images

ROWS, COLUMNS = 4, 6
MASK = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS) % 3 == 0


def transform(x: Tensor) -> Tensor:
    """The centred orthonormal transform as a sum, with pixels and frequencies counted from the middle."""
    height, width = x.shape[-2:]
    h, w = (torch.arange(n, dtype=torch.float64) - n // 2 for n in (height, width))
    waves_h = torch.exp(-2j * torch.pi * torch.outer(h, h) / height)
    waves_w = torch.exp(-2j * torch.pi * torch.outer(w, w) / width)
    return waves_h @ x.to(torch.complex128) @ waves_w / (height * width) ** 0.5


SHARED_CASES = {
    "Fourier": Case("fourier:mask={mask}", lambda x: transform(x) * torch.as_tensor(MASK), {"mask": MASK}),
    "Fourier, all": Case("fourier", transform),
}


@pytest.mark.parametrize("shape", [(5, 7), (4, 7), (5, 6), (1, 3)])
def test_odd_and_even_sizes(shape: tuple[int, int]) -> None:
    x = Noise.of(0, 3, dtype=torch.float64).normal((2, *shape))
    assert_close(centred_fft(x), transform(x), 1e-12)
    assert_close(centred_ifft(centred_fft(x)).real, x, 1e-12)
    mask = Noise.of(1, dtype=torch.float64).uniform(shape)[0, 0] < 0.4
    mask[0, 0] = True
    operator = Fourier((2, *shape), mask).double()
    check_operator(operator)
    assert_close(operator(x), transform(x) * mask, 1e-12)


def test_masks_of_each_measurement_and_their_spectra() -> None:
    masks = Noise.of(2, 1, dtype=torch.float64).uniform((3, 1, 4, 5))[0, 0] < 0.5
    masks[..., 2, 2] = True
    operator = Fourier((2, 4, 5), masks).double()
    check_operator(operator)
    x = random_images(operator, 3)
    for b in range(3):
        one = operator.select(torch.tensor([b]))
        assert_close(operator(x)[b], one(x[b : b + 1])[0], 1e-12)
        # The base class expands in Chebyshev polynomials of AᵀA, and knows nothing of the spectrum.
        by_products = LinearOperator.gram_function(one, torch.exp, x[b : b + 1])
        assert_close(operator.gram_function(torch.exp, x)[b : b + 1], by_products, 1e-10)
    assert operator.num_measured.tolist() == [2 * int(mask.sum()) for mask in masks]


@pytest.mark.parametrize(
    ("shape", "mask", "error", "words"),
    [
        ((5,), None, ShapeError, r"\(..., H, W\)"),
        ((1, 4, 4), torch.ones(4, 5), ShapeError, "mask of Fourier has shape"),
        ((1, 4, 4), torch.full((4, 4), 0.5), InvalidValueError, "other than 0 and 1"),
        ((1, 4, 4), torch.zeros(4, 4), InvalidValueError, "measures nothing"),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...], mask: Tensor | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Fourier(shape, mask)
